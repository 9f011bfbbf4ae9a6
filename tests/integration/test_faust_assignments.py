"""How partitions come and go: Faust's own way (expected to fail) and ours."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
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
from faust.types import TP

from deploy.embedded.kafka import Kafka
from pipeline.durability.store import CheckpointError
from pipeline.kafka.clients import consumer_config, new_admin, new_producer
from pipeline.kafka.logs import NoAnswerError
from pipeline.runtime.app import _add_agent
from pipeline.runtime.transport import Consumer
from pipeline.settings import KafkaSettings
from tests.integration.faust_apps import (
    ENOUGH_S,
    MOMENT_S,
    ORIGINAL,
    OURS,
    PARTITION,
    SOURCE,
    Authority,
    Processing,
    Source,
    _nothing,
    new_app,
    original_and_ours,
)


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
            if scheme != OURS:
                await until(lambda: bool(offsets))  # the defect, however slow it is
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
                await asyncio.wait_for(thread.call_thread(fail, error), ENOUGH_S)
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
