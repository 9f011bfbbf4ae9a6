"""Defects of Faust 0.15.3's own consumer: ours does not have them, the original has."""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import KafkaError as KafkaErrorCode
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.cimpl import NewTopic
from faust.types import TP, ConsumerMessage

from deploy.embedded.kafka import Kafka
from pipeline.durability.checkpointed import Kept
from pipeline.durability.store import CheckpointError
from pipeline.kafka.clients import consumer_config, new_admin, new_producer
from pipeline.kafka.logs import NoAnswerError
from pipeline.kafka.reader import BatchReader
from pipeline.runtime.app import _add_agent
from pipeline.runtime.transport import Consumer
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


@original_and_ours("a fresh group commits past the first record while it is in flight (issue 606)")
def test_nothing_is_committed_past_a_first_record_in_flight(scheme: str) -> None:
    async def committed() -> tuple[int | None, int | None]:
        processing = Processing.start(scheme)
        await processing.take(0, 1, 2, 3)
        processing.finish(1, 2, 3)
        before = await processing.committed()
        processing.finish(0)
        return before, await processing.committed()

    assert asyncio.run(committed()) == (None, 4)


@original_and_ours("a gap in the offsets takes in the record after it")
def test_the_record_after_a_gap_is_not_committed_while_it_is_in_flight(scheme: str) -> None:
    async def committed() -> tuple[int | None, int | None, int | None]:
        processing = Processing.start(scheme)
        await processing.take(0, 1)
        processing.finish(0, 1)
        first = await processing.committed()
        await processing.take(5, 6)
        processing.finish(6)
        before = await processing.committed()
        processing.finish(5)
        return first, before, await processing.committed()

    first, before, last = asyncio.run(committed())
    assert first == 2
    assert before is not None
    assert before <= 5, "5 is in flight"
    assert last == 7


@original_and_ours("a failed commit counts as committed")
def test_a_failed_commit_is_made_up_for(scheme: str) -> None:
    async def committed() -> tuple[int | None, int | None]:
        processing = Processing.start(scheme)
        await processing.take(0, 1)
        processing.finish(0, 1)
        processing.group.is_rebalancing = True
        failed = await processing.committed()
        processing.group.is_rebalancing = False
        return failed, await processing.committed()

    assert asyncio.run(committed()) == (None, 2)


@original_and_ours("the offsets of messages that no commit offset is computed from are kept for ever")
def test_nothing_is_kept_of_what_is_done(scheme: str) -> None:
    async def kept() -> int:
        processing = Processing.start(scheme)
        if scheme == ORIGINAL:
            processing.consumer._new_offset = lambda _: None  # as a transport that counts for itself has it
        for start in range(0, 40, 4):
            await processing.take(*range(start, start + 4))
            processing.finish(*range(start, start + 4))
            await processing.committed()
        return len(processing.consumer._acked[PARTITION]) + len(processing.consumer._acked_index[PARTITION])

    assert asyncio.run(kept()) == 0


@dataclass
class Refusing:
    """In place of aiokafka's consumer: a broker that has just started and does not know its topics yet."""

    error: Exception
    refusals: int = 0

    def assignment(self) -> set[TP]:
        return {PARTITION}

    async def commit(self, offsets: Mapping[TP, Any]) -> None:
        assert offsets
        self.refusals += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [KafkaError("Unexpected error: UnknownTopicOrPartitionError()"), AssertionError("no bootstrap?")]
)
@original_and_ours("a commit that is refused ends the worker")
def test_a_refused_commit_is_no_reason_to_end(scheme: str, error: Exception) -> None:
    async def crashed() -> tuple[bool, bool, int]:
        consumer = Processing.start(scheme).consumer
        thread = consumer._new_consumer_thread()
        thread._thread_running = asyncio.get_running_loop().create_future()
        thread._consumer = Refusing(error)
        is_done = await thread._commit({PARTITION: 7})
        if thread._thread_running.done():
            thread._thread_running.exception()
        return is_done, thread.crashed, thread._consumer.refusals

    assert asyncio.run(crashed()) == (False, False, 1)


# --- who reads what: with a broker ------------------------------------------------------------------


@dataclass
class Broker:
    settings: KafkaSettings

    def create(self, topic: str) -> None:
        admin = new_admin(self.settings)
        for future in admin.create_topics([NewTopic(topic, 1, 1)]).values():
            future.result(30)

    def send(self, topic: str, count: int) -> None:
        """Append records, all in one batch."""
        producer = new_producer(self.settings)
        for number in range(count):
            producer.produce(topic, value=b"%d" % number, partition=0)
        assert producer.flush(30) == 0

    def committed(self, group: str, topic: str) -> int:
        consumer = KafkaConsumer(consumer_config(self.settings, group))
        try:
            return int(consumer.committed([TopicPartition(topic, 0)], timeout=30)[0].offset)
        finally:
            consumer.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Kafka(tmp_path_factory.mktemp("kafka"))
    started.start()
    try:
        yield Broker(KafkaSettings(bootstrap_servers=started.address))
    finally:
        started.stop()


async def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.05)


@original_and_ours("records are delivered before the seek of a new assignment has ended")
def test_nothing_is_delivered_before_the_partition_is_positioned(scheme: str, broker: Broker) -> None:
    topic = f"defect-seek-{scheme}"

    async def received() -> tuple[list[int], list[int]]:
        authority = Authority(start=4)
        app = new_app(scheme, topic, broker.settings.bootstrap_servers, authority, table_standby_replicas=0)
        offsets: list[int] = []

        async def agent(stream: Any) -> None:
            async for event in stream.events():
                value = event.value
                offsets.extend([r.offset for r in value.records] if scheme == OURS else [event.message.offset])

        channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name="agent")(agent)
        _seek_to_where_the_authority_says(app, authority)
        broker.create(topic)
        broker.send(topic, 10)
        first = AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker.settings.bootstrap_servers,
            group_id=topic,
            client_id="a",  # goes before Faust's, so that it has the partition
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
            enable_auto_commit=False,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        )
        await first.start()
        await until(lambda: bool(first.assignment()))
        async with app:
            # Without any partition at first: fetching goes on from then, whatever comes to be assigned.
            await until(lambda: app.unassigned and app.tables.recovery.completed.is_set())
            authority.may_acquire.clear()
            await first.stop()
            await until(authority.asked.is_set)
            await asyncio.sleep(MOMENT_S)
            early = list(offsets)
            authority.may_acquire.set()
            await until(lambda: 9 in offsets)
            return early, offsets

    early, offsets = asyncio.run(received())
    assert early == []
    assert offsets == [4, 5, 6, 7, 8, 9]


def _seek_to_where_the_authority_says(app: faust.App, authority: Authority) -> None:
    consumer = app.consumer
    if isinstance(consumer, Consumer):
        return

    async def seek_to_committed() -> Mapping[TP, int]:
        tps = consumer.assignment()
        for tp in tps:
            offset, _ = await asyncio.to_thread(authority.acquire, (tp.topic, tp.partition))
            await consumer.seek(tp, offset)
        return dict.fromkeys(tps, authority.start)

    consumer.seek_to_committed = seek_to_committed


@pytest.mark.parametrize(
    "is_ours",
    [
        pytest.param(
            False,
            marks=pytest.mark.xfail(
                strict=True,
                raises=AssertionError,
                reason="Faust 0.15.3: an event is acked though its agent raised",
            ),
        ),
        True,
    ],
)
def test_what_an_agent_failed_on_is_not_committed_and_the_app_stops(is_ours: bool, broker: Broker) -> None:
    topic = f"defect-agent-{is_ours}"
    broker.create(topic)
    broker.send(topic, 1)

    async def failed() -> tuple[int, BaseException | None]:
        app = new_app(ORIGINAL, topic, broker.settings.bootstrap_servers, broker_commit_interval=0.2)
        seen = asyncio.Event()

        async def process(_: bytes) -> None:
            seen.set()
            raise ValueError("no such state")

        async def plain(stream: Any) -> None:
            async for value in stream:
                await process(value)

        if is_ours:
            _add_agent(app, "agent", (topic,), process)
        else:
            app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"), name="agent")(plain)
        async with app:
            await asyncio.wait_for(seen.wait(), ENOUGH_S)
            await asyncio.sleep(MOMENT_S)
            crash_reason = app.crash_reason if app.crashed else None
        return broker.committed(topic, topic), crash_reason

    committed, crash_reason = asyncio.run(failed())
    assert committed < 1, "0 is not done"
    assert isinstance(crash_reason, ValueError)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_partition_that_is_revoked_while_its_state_is_restored_is_let_go(is_cancelled: bool) -> None:
    async def held() -> tuple[Iterable[Source], Iterable[Source]]:
        processing = Processing.start(OURS)
        consumer, authority = processing.consumer, processing.authority
        authority.release(SOURCE)
        await consumer.on_partitions_assigned({PARTITION})
        authority.asked.clear()
        authority.may_acquire.clear()
        seek = asyncio.ensure_future(consumer.perform_seek())
        await until(authority.asked.is_set)
        await consumer.on_partitions_revoked({PARTITION})
        processing.group.assigned = set()
        if is_cancelled:
            seek.cancel()
        authority.may_acquire.set()
        await asyncio.wait([seek])
        await asyncio.sleep(0.5)
        positioned = consumer.reader.positioned
        consumer.reader.close()
        return positioned, authority.owned

    positioned, owned = asyncio.run(held())
    assert not positioned
    assert not owned


AWAY = (NoAnswerError("no answer for 10 s"), KafkaException(KafkaErrorCode(KafkaErrorCode.LEADER_NOT_AVAILABLE)))


@pytest.mark.parametrize(
    ("errors", "is_taken_on"),
    [
        (AWAY, True),
        ((*AWAY, CheckpointError("made under other rules")), False),
        ((KafkaException(KafkaErrorCode(KafkaErrorCode.TOPIC_AUTHORIZATION_FAILED)),), False),
    ],
)
def test_a_state_is_asked_for_until_kafka_answers(errors: tuple[Exception, ...], is_taken_on: bool) -> None:
    async def taken_on() -> tuple[list[Source], bool]:
        processing = Processing.start(OURS)
        consumer, authority = processing.consumer, processing.authority
        authority.errors = list(errors)
        await consumer.on_partitions_assigned({PARTITION})
        with contextlib.suppress(CheckpointError, KafkaException):
            await asyncio.wait_for(consumer.perform_seek(), ENOUGH_S)
        positioned = list(consumer.reader.positioned)
        consumer.reader.close()
        assert not authority.errors
        return positioned, consumer.app.crashed

    assert asyncio.run(taken_on()) == ([SOURCE] if is_taken_on else [], not is_taken_on)


def test_a_worker_that_ends_does_not_wait_for_states_that_kafka_does_not_give() -> None:
    async def ended() -> tuple[list[Source], bool]:
        processing = Processing.start(OURS)
        consumer, authority = processing.consumer, processing.authority
        authority.errors = [NoAnswerError("no answer for 10 s")] * 1_000
        await consumer.on_partitions_assigned({PARTITION})
        authority.may_acquire.clear()
        seek = asyncio.ensure_future(consumer.perform_seek())
        await until(authority.asked.is_set)
        consumer.app._stopped_set()
        await asyncio.wait_for(seek, ENOUGH_S)
        authority.may_acquire.set()
        await asyncio.sleep(MOMENT_S)
        positioned = list(consumer.reader.positioned)
        consumer.reader.close()
        return positioned, consumer.app.crashed

    assert asyncio.run(ended()) == ([], False)


def test_nothing_is_taken_on_between_a_revocation_and_the_next_assignment() -> None:
    async def held() -> list[Source]:
        processing = Processing.start(OURS)
        consumer = processing.consumer
        await consumer.on_partitions_assigned({PARTITION})
        await consumer.on_partitions_revoked({PARTITION})
        await consumer.perform_seek()  # as getmany does when it finds the flow stopped
        positioned = list(consumer.reader.positioned)
        consumer.reader.close()
        return positioned

    assert asyncio.run(held()) == []


@pytest.mark.parametrize("scheme", ["kafka", "cxbatch"])
def test_the_end_of_a_partition_is_behind_its_last_record(scheme: str, broker: Broker) -> None:
    topic = f"defect-end-{scheme}"
    partition = TP(topic, 0)
    broker.create(topic)
    broker.send(topic, 10)

    async def end() -> int:
        app = new_app(scheme, topic, broker.settings.bootstrap_servers)
        consumer: Any = app.transport.create_consumer(
            callback=_nothing, on_partitions_revoked=_nothing, on_partitions_assigned=_nothing
        )
        async with consumer:
            if not isinstance(consumer, Consumer):
                return int((await consumer.highwaters(partition))[partition])
            consumer.reader.position((topic, 0), 0, epoch=1)
            await until(lambda: bool(consumer._read()))
            return consumer.highwater(partition)

    assert asyncio.run(end()) == 10


async def _raise(error: Exception) -> None:
    raise error


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_group_goes_on_after_an_error_that_no_poll_hears(broker: Broker) -> None:
    topic = "defect-unheard"
    broker.create(topic)

    async def went_on() -> None:
        app = new_app(OURS, topic, broker.settings.bootstrap_servers)
        consumer: Any = app.transport.create_consumer(
            callback=_nothing, on_partitions_revoked=_nothing, on_partitions_assigned=_nothing
        )
        async with consumer:
            await consumer.subscribe([topic])
            thread = consumer._thread
            coordinator = thread._consumer._coordinator

            async def fail(error: Exception) -> None:
                await coordinator._push_error_to_user(error)

            for error in (KafkaError("the heartbeat failed"), AssertionError("no bootstrap?")):
                await asyncio.wait_for(thread.call_thread(fail, error), 10)
                assert not thread.crashed

            await until(lambda: coordinator._heartbeat_task is not None)
            failed: list[Any] = []

            async def heartbeat_fails() -> None:
                """As after an answer that it does not know."""
                coordinator._heartbeat_task.cancel()
                coordinator._heartbeat_task = asyncio.ensure_future(_raise(KafkaError("an unknown answer")))
                failed.append(coordinator._heartbeat_task)

            await thread.call_thread(heartbeat_fails)
            await until(lambda: coordinator._heartbeat_task not in (None, *failed))
            assert not thread.crashed

    asyncio.run(went_on())
