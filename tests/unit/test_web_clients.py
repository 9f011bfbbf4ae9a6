"""Who listens gets every frame in order, or is let go; there are only so many."""

import asyncio

import pytest

from pipeline.web.asked import StreamParameters
from pipeline.web.clients import MOST_WAITING, Clients, Frame, TooManyClients

ALL = StreamParameters()


def test_frames_come_in_order_and_end_with_a_close() -> None:
    async def listen() -> list[str | None]:
        client = Clients(1).join(ALL)
        client.put_all([Frame("a", "1"), Frame("b", "2")])
        waiting = asyncio.create_task(client.next())
        first = await waiting
        second = await client.next()
        later = asyncio.create_task(client.next())
        await asyncio.sleep(0)
        client.close()
        return [first and first.event, second and second.event, await later and "more"]

    assert asyncio.run(listen()) == ["a", "b", None]


def test_a_client_that_does_not_keep_up_is_let_go_and_holds_nothing() -> None:
    clients = Clients(2)
    slow, quick = clients.join(ALL), clients.join(ALL)

    async def listen() -> None:
        for number in range(MOST_WAITING + 1):
            clients.put(Frame("vitals", str(number)))
            assert (await quick.next()) == Frame("vitals", str(number))
        assert await slow.next() is None

    asyncio.run(listen())
    assert slow.is_slow
    assert not quick.is_slow
    slow.put(Frame("vitals", "more"))
    assert asyncio.run(slow.next()) is None


def test_one_more_than_allowed_is_refused_until_one_leaves() -> None:
    counts: list[int] = []
    clients = Clients(1, counts.append)
    first = clients.join(ALL)
    with pytest.raises(TooManyClients, match="1 clients"):
        clients.join(ALL)
    clients.leave(first)
    assert counts == [1, 0]
    clients.join(ALL)


def test_once_closed_nobody_joins_and_all_have_ended() -> None:
    clients = Clients(5)
    client = clients.join(ALL)
    clients.close()
    assert asyncio.run(client.next()) is None
    with pytest.raises(TooManyClients):
        clients.join(ALL)
