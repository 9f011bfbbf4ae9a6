"""What is under way when something breaks is not done; receivers do not wait for each other."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pipeline.delivery.hooks import Hook, Message
from pipeline.delivery.posting import Delivery, signed
from pipeline.delivery.run import Runner
from pipeline.subscriptions import SubscriptionError
from sinks.base import SinkRejectedError
from sinks.http import MemoryPoster
from tests.unit.test_webhooks import NOW, SECRET, Waits, hook, journey


class Feed:
    """A subscription to some messages; then it waits, as for more, until it is stopped."""

    def __init__(self, messages: list[Message], error: Exception | None = None) -> None:
        self._messages = messages
        self._error = error
        self._stopped = threading.Event()
        self.abandoned = False
        self.closed = False

    def __iter__(self) -> Iterator[Message]:
        yield from self._messages
        if self._error is not None:
            raise self._error
        self._stopped.wait(20)

    def stop(self) -> None:
        self._stopped.set()

    def abandon(self) -> None:
        self.abandoned = True

    def close(self) -> None:
        self.closed = True


class Kept:
    """Dead letters; or none, where the broker does not take them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.bodies: list[bytes] = []
        self.error = error

    async def keep(self, hook: Hook, body: bytes, error: str) -> None:
        if self.error is not None:
            raised, self.error = self.error, None
            raise raised
        self.bodies.append(body)


def runner(feeds: list[Feed], poster: MemoryPoster, kept: Kept) -> Runner:
    waiting = iter(feeds)
    deliveries = [
        Delivery(hook(name=f"hook-{at}"), signed(SECRET), poster, lambda: NOW, Waits())
        for at, _ in enumerate(feeds)
    ]
    return Runner(lambda _: next(waiting), deliveries, kept)


def run(one: Runner, *, stop_after_s: float | None = None) -> None:
    async def all_of_it() -> None:
        if stop_after_s is not None:
            asyncio.get_running_loop().call_later(stop_after_s, one.stop)
        await one.run()

    asyncio.run(asyncio.wait_for(all_of_it(), 20))


def test_more_receivers_than_a_pool_has_threads_all_get_their_messages() -> None:
    poster = MemoryPoster()
    feeds = [Feed([journey(id=f"j-{at}")]) for at in range(40)]
    run(runner(feeds, poster, Kept()), stop_after_s=3)
    assert len(poster.posts) == 40
    assert all(feed.closed and not feed.abandoned for feed in feeds)


def test_a_message_that_is_neither_delivered_nor_kept_is_not_done() -> None:
    poster, other = MemoryPoster(), Feed([])
    poster.failures = [SinkRejectedError("410")]
    feed, again = Feed([journey()]), Feed([journey()])
    feeds = iter([feed, other, again])
    deliveries = [
        Delivery(hook(name=f"hook-{at}"), signed(SECRET), poster, lambda: NOW, Waits()) for at in range(2)
    ]
    kept = Kept(RuntimeError("no broker"))
    run(Runner(lambda _: next(feeds), deliveries, kept, pause_s=0.01), stop_after_s=3)
    assert feed.abandoned
    assert feed.closed
    assert [post[2]["webhook-id"] for post in poster.posts] == [journey().id]
    assert again.closed
    assert not again.abandoned
    assert not other.abandoned, "nobody else is held up"


def test_a_receiver_that_cannot_be_served_ends_alone() -> None:
    poster, kept = MemoryPoster(), Kept()
    broken = Feed([], SubscriptionError("not of this version"))
    well = Feed([journey(id="a"), journey(id="b")])
    with pytest.raises(SubscriptionError, match="not of this version"):
        run(runner([broken, well], poster, kept), stop_after_s=3)
    assert len(poster.posts) == 2
    assert well.closed
    assert not well.abandoned
