"""Touchpoints to Kafka, each once as far as can be known, and the word that all of a request's have arrived."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException

from pipeline.collector.finishing import Finished
from pipeline.collector.identity import Seen
from pipeline.outputs.outgoing import Outgoing
from pipeline.stages.outbox import Producer
from schemas.deadletters import DEADLETTERS_TOPIC
from schemas.events import TOPIC_PREFIX

logger = logging.getLogger(__name__)
#: How often deliveries are asked for while there are any to come.
_POLL_S: Final = 0.002


class NotTakenError(RuntimeError):
    """Kafka has not acknowledged all of it in time: the sender is to come again."""


@dataclass(slots=True)
class Sent:
    """What became of a request's touchpoints."""

    new: int = 0
    copies: int = 0
    """Of events that were taken before."""
    orders_again: int = 0
    """Of orders that had been told before."""


class Producing:
    """Sends for one process. All methods are for one event loop, which also asks for the deliveries.

    A thread that waits for them would take the interpreter from the loop for each message (decisions/0021).
    """

    def __init__(self, producer: Producer, seen: Seen, wait_s: float, now_ms: Callable[[], int]) -> None:
        """``wait_s``: how long a request waits for Kafka."""
        self._producer, self._seen, self._wait_s, self._now_ms = producer, seen, wait_s, now_ms
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}
        """By key what is not acknowledged yet, of requests that wait and of those that were sent away."""
        self._batches = 0
        """Whose deliveries are not all told yet."""
        self._is_sent = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Call it in the event loop."""
        self._polling = asyncio.create_task(self._poll())

    def close(self) -> None:
        """Ask no more; what is not acknowledged by now was told to nobody."""
        if self._polling is not None:
            self._polling.cancel()

    @property
    def waiting(self) -> int:
        """Keys of touchpoints that are not acknowledged yet."""
        return len(self._under_way)

    async def send(self, touchpoints: Sequence[Finished], letters: Sequence[Outgoing], received_ms: int) -> Sent:
        """Return when all are in Kafka, each once. Raises NotTakenError."""
        told = [
            (DEADLETTERS_TOPIC, msgspec.json.encode(one.body), (one.key or "").encode(), received_ms, one.headers)
            for one in letters
        ]
        sent, others = Sent(), set[asyncio.Future[bool]]()
        batch = _Batch(asyncio.get_running_loop(), self._arrived)
        for one in touchpoints:
            if self._is_copy(one, sent, others, batch.done):
                continue
            keys = [key for key in (one.native, one.order) if key]
            self._under_way |= dict.fromkeys(keys, batch.done)
            batch.keys += keys
            topic, key = TOPIC_PREFIX + one.channel, one.session_id.encode()
            batch.messages.append((topic, one.payload, key, received_ms, ()))
        sent.new = len(batch.messages)
        batch.messages += told
        self._batches += 1
        self._is_sent.set()
        batch.put(self._producer)
        await self._all_there({batch.done, *others})
        return sent

    def _is_copy(
        self, one: Finished, sent: Sent, others: set[asyncio.Future[bool]], own: asyncio.Future[bool]
    ) -> bool:
        """Whether it was taken before, or is under way: then what it waits for is the other one."""
        for key, is_order in ((one.native, False), (one.order, True)):
            if not key:
                continue
            first = self._under_way.get(key)
            if first is None and key not in self._seen:
                continue
            if first is not None and first is not own:
                others.add(first)
            sent.copies += not is_order
            sent.orders_again += is_order
            return True
        return False

    async def _all_there(self, wanted: set[asyncio.Future[bool]]) -> None:
        done, late = await asyncio.wait(wanted, timeout=self._wait_s)
        if late:
            raise NotTakenError(f"not acknowledged within {self._wait_s:g} s")
        if not all(one.result() for one in done):
            raise NotTakenError("Kafka does not take it now")

    def _arrived(self, batch: "_Batch") -> None:
        self._batches -= 1
        try:
            if batch.has_failed:
                logger.warning("Kafka has not taken a request's events (%s)", batch.error)
            else:
                self._seen.add(batch.keys, self._now_ms())
        except OSError as error:
            # The events are in Kafka: what is lost is that a copy is known after a restart.
            logger.error("copies cannot be remembered on disk: %s", error)
        finally:
            for key in batch.keys:
                self._under_way.pop(key, None)
            if not batch.done.done():
                batch.done.set_result(not batch.has_failed)

    async def _poll(self) -> None:
        while True:
            await self._is_sent.wait()
            self._is_sent.clear()
            while self._batches:
                try:
                    self._producer.poll(0)
                except Exception as error:  # without deliveries nobody would be answered any more
                    logger.error("deliveries: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_POLL_S)


class _Batch:
    """The messages of one request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: Callable[["_Batch"], None]) -> None:
        self._loop, self._arrived = loop, arrived
        self.done: asyncio.Future[bool] = loop.create_future()
        self.keys: list[bytes] = []
        self.messages: list[tuple[str, bytes, bytes, int, Sequence[tuple[str, bytes]]]] = []
        self.has_failed = False
        self.error = ""
        self._pending = 0
        self._turn = threading.Lock()

    def put(self, producer: Producer) -> None:
        """Queue all of it. Where there is no room for one, the request has failed: it comes again whole."""
        # One more than there are, until all are queued: deliveries may be told meanwhile.
        self._pending = len(self.messages) + 1
        left = 0
        for number, (topic, value, key, at_ms, headers) in enumerate(self.messages):
            try:
                # By place, in the order of confluent-kafka's parameters (decisions/0006).
                producer.produce(topic, value, key, -1, self._delivered, None, at_ms, [*headers])
            except (BufferError, KafkaException) as error:
                self._fail(error)
                left = len(self.messages) - number
                break
        self._count(1 + left)

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._fail(error)
        self._count(1)

    def _fail(self, error: Any) -> None:
        self.has_failed, self.error = True, str(error)

    def _count(self, done: int) -> None:
        with self._turn:
            self._pending -= done
            is_over = self._pending == 0
        if is_over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived, self)
