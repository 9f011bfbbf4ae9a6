"""Faust with our transport, or its own, around a fake of what a worker does."""

import tempfile
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP, ConsumerMessage

from pipeline.durability.checkpointed import Kept
from pipeline.kafka.reader import BatchReader
from pipeline.settings import KafkaSettings, PipelineSettings
from pipeline.stages.lease import PartitionLease

TOPIC = "touchpoints.web"
PARTITION = TP(TOPIC, 0)
SOURCE = (TOPIC, 0)
Source = tuple[str, int]
ENOUGH_S = 60.0
MOMENT_S = 3.0
"""Long enough for a record to arrive that should not."""

ORIGINAL, OURS = "kafka", "cxbatch"


def original_and_ours(reason: str) -> pytest.MarkDecorator:
    fails = pytest.mark.xfail(strict=True, raises=AssertionError, reason=f"Faust 0.15.3: {reason}")
    return pytest.mark.parametrize("scheme", [pytest.param(ORIGINAL, marks=fails), OURS])


class Authority:
    """In place of the pipeline's: no state, but its account of what is done."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.owned: dict[Source, PartitionLease[None]] = {}
        self.taken: list[int] = []
        self.may_acquire = threading.Event()
        self.may_acquire.set()
        self.asked = threading.Event()
        self.errors: list[Exception] = []
        """To be raised, one each time that it is asked."""

    def acquire(self, source: Source) -> tuple[int, int]:
        self.asked.set()
        assert self.may_acquire.wait(ENOUGH_S)
        if self.errors:
            raise self.errors.pop(0)
        self.owned[source] = PartitionLease(source, None, 1, Kept(None))
        return self.start, 1

    def release(self, source: Source) -> None:
        self.owned.pop(source, None)

    def watermarks(self) -> Mapping[Source, int | None]:
        return {}

    def committable(self) -> Mapping[Source, int]:
        done = [offset for offset in self.taken if self.owned[SOURCE].is_done(offset)]
        return {SOURCE: max(done)} if done else {}


def new_app(
    scheme: str, group: str, servers: str = "127.0.0.1:1", authority: Any = None, **more: Any
) -> faust.App:
    """The app that has the consumer; ``more`` are Faust's settings."""
    app = faust.App(
        group,
        broker=f"{scheme}://{servers}",
        datadir=tempfile.gettempdir(),
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        **more,
    )
    app.cx_authority = authority or Authority()
    app.cx_batch = PipelineSettings()
    app.cx_new_reader = lambda: BatchReader(KafkaSettings(bootstrap_servers=servers, group=group))
    return app


# --- commits: a consumer without a broker -----------------------------------------------------------


class Group:
    """In place of aiokafka's thread: the group's offsets."""

    def __init__(self) -> None:
        self.committed: dict[TP, int] = {}
        self.assigned = {PARTITION}
        self.is_rebalancing = False

    def assignment(self) -> set[TP]:
        return self.assigned

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        if not self.is_rebalancing:
            self.committed.update(offsets)
        return not self.is_rebalancing

    async def pause_fetching(self, tps: Iterable[TP]) -> None:
        pass


class Output:
    """In place of a stage's receipt."""

    def __init__(self) -> None:
        self.done = False

    def is_done(self) -> bool:
        return self.done


class Flushed:
    """In place of Faust's producer."""

    async def flush(self) -> None:
        pass


@dataclass
class Processing:
    """A consumer that is given records, and what becomes of them."""

    consumer: Any
    group: Group
    authority: Authority
    in_flight: dict[int, tuple[ConsumerMessage, Output]] = field(default_factory=dict)

    @classmethod
    def start(cls, scheme: str) -> "Processing":
        authority = Authority()
        authority.acquire(SOURCE)
        app = new_app(scheme, "cx-defects", authority=authority)
        app.producer = Flushed()
        app.topics.acking_topics.add(TOPIC)
        consumer: Any = app.transport.create_consumer(
            callback=_nothing, on_partitions_revoked=_nothing, on_partitions_assigned=_nothing
        )
        consumer._thread = Group()
        return cls(consumer, consumer._thread, authority)

    async def take(self, *offsets: int) -> None:
        """Receive records as Faust's fetcher does."""
        messages = [_message(offset) for offset in offsets]
        fetcher = SimpleNamespace(_stopped=threading.Event())

        async def getmany(timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
            for message in messages:
                yield PARTITION, message
            fetcher._stopped.set()

        self.consumer.getmany = getmany
        await self.consumer._drain_messages(fetcher)
        for message in messages:
            output = Output()
            self.authority.owned[SOURCE].unfinished.append((message.offset + 1, output))  # type: ignore[arg-type] # a fake receipt
            self.authority.taken.append(message.offset + 1)
            self.in_flight[message.offset] = message, output

    def finish(self, *offsets: int) -> None:
        for offset in offsets:
            message, output = self.in_flight.pop(offset)
            output.done = True
            message.ack(self.consumer)

    async def committed(self) -> int | None:
        """The group's offset after a commit."""
        await self.consumer.commit()
        return self.group.committed.get(PARTITION)


async def _nothing(*_: Any) -> None:
    pass


def _message(offset: int) -> ConsumerMessage:
    return ConsumerMessage(TOPIC, 0, offset, 0.0, 0, [], None, b"", None, 0, 0, PARTITION)
