"""Phase one as a stage: what is published before what, and what is not while others own the partition."""

import asyncio
import json

from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.kafka.memory import MemoryProducer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.records import Record
from pipeline.stages.floods import FloodWatch
from pipeline.stages.journeys import JourneysStage
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from schemas.deadletters import DEADLETTERS_TOPIC
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import COLUMNS, DEAD_LETTERS
from tests.support import ALERT_RULES, RULES, START_MS, event_json

WEB = ("touchpoints.web", 0)


class Setting:
    def __init__(self) -> None:
        store, metrics = MemoryCheckpoints(), Metrics()
        self.leases = Leases(Recovery(store, RULES, "d", ALERT_RULES))
        _, self.epoch = self.leases.acquire(WEB)
        self.producer, self.sink = MemoryProducer(delivers=False), MemorySink()
        self.buffer = SinkBuffer(self.sink, COLUMNS, Limits(1, 0.001, 1 << 20))
        checkpointer = Checkpointer(self.leases, store, metrics, 1, "d")
        watch = FloodWatch(metrics, 0.5, lambda: 0.0)
        outbox = Outbox(self.producer, self.buffer)
        self.stage = JourneysStage(self.leases, outbox, metrics, lambda topic: 1, checkpointer, watch)

    def batch(self, *records: Record, epoch: int | None = None) -> RecordBatch:
        return RecordBatch(WEB, epoch or self.epoch, START_MS, list(records))


#: What each batch tells the stages that come after.
INNER = [TILES_TOPIC, VISITS_TOPIC, FACTS_TOPIC]


def test_what_the_wall_clock_refuses_is_delivered_before_anything_else_of_the_batch() -> None:
    async def work() -> None:
        setting = Setting()
        ahead = START_MS + 400_000
        batch = setting.batch(
            Record(0, START_MS, event_json(0)), Record(1, ahead, event_json(400_000, event_id="ahead"))
        )
        running = asyncio.create_task(setting.stage.process(batch))
        await asyncio.sleep(0.1)
        assert setting.producer.topics == [DEADLETTERS_TOPIC]
        assert setting.buffer.rows == 0
        setting.producer.delivers = True
        await running
        assert setting.producer.topics == [DEADLETTERS_TOPIC, *INNER]
        setting.buffer.close()
        await setting.buffer.run()
        assert [row["offset"] for row in setting.sink.tables[DEAD_LETTERS]] == [1]

    asyncio.run(asyncio.wait_for(work(), 20))


def test_other_dead_letters_hold_nothing_up() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.stage.process(setting.batch(Record(0, START_MS, b"{")))
        assert setting.producer.topics == [DEADLETTERS_TOPIC, *INNER]

    asyncio.run(asyncio.wait_for(work(), 20))


def test_the_batch_that_reaches_what_a_crashed_run_had_read_tells_all_how_far_this_is() -> None:
    async def work() -> None:
        setting = Setting()
        setting.leases.partitions[WEB].log_end = 3
        told = []
        for offset in range(4):
            setting.producer.produced.clear()
            record = Record(offset, START_MS, event_json(offset, event_id="the same"))
            await setting.stage.process(setting.batch(record))
            told.append({FACTS_TOPIC, VISITS_TOPIC} <= set(setting.producer.topics))
        assert told == [True, False, True, False]

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_batch_of_before_a_rebalance_is_dropped() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.stage.process(setting.batch(Record(0, START_MS, event_json(0)), epoch=setting.epoch + 1))
        assert setting.producer.topics == []
        setting.leases.release(WEB)
        await setting.stage.process(setting.batch(Record(0, START_MS, event_json(0))))
        assert setting.producer.topics == []

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_partition_that_is_gone_has_no_series_any_more() -> None:
    async def work() -> None:
        metrics, name = Metrics(), {"source": "touchpoints.web:0"}
        leases = Leases(Recovery(MemoryCheckpoints(), RULES, "d", ALERT_RULES), metrics.forget)
        leases.acquire(WEB)
        metrics.watermark.labels(**name).set(1)
        assert metrics.registry.get_sample_value("cx_watermark_timestamp_seconds", name) == 1
        leases.release(WEB)
        assert metrics.registry.get_sample_value("cx_watermark_timestamp_seconds", name) is None

    asyncio.run(work())


def test_a_partition_taken_away_while_the_buffer_is_full_is_not_gone_on_with() -> None:
    async def work() -> None:
        setting = Setting()
        records = [Record(n, START_MS, event_json(n, event_id=str(n))) for n in range(12_000)]
        setting.buffer.bytes = 1 << 30  # as if another table had filled it
        running = asyncio.create_task(setting.stage.process(setting.batch(*records)))
        while setting.producer.topics != [TILES_TOPIC]:
            await asyncio.sleep(0.005)
        assert not running.done()
        setting.leases.release(WEB)
        setting.buffer.bytes = 0
        async with setting.buffer._room:
            setting.buffer._room.notify_all()
        await running
        assert setting.producer.topics == [TILES_TOPIC]  # what comes after the tiles only its next owner tells

    asyncio.run(asyncio.wait_for(work(), 20))


class Reading:
    """How far a reader is."""

    def __init__(self, next_offset: int, handed_out: bool) -> None:
        self._next, self._handed_out = next_offset, handed_out

    def is_at_end(self, _source: tuple[str, int]) -> bool:
        return True

    def has_handed_out(self, _source: tuple[str, int]) -> bool:
        return self._handed_out

    def next_offset(self, _source: tuple[str, int]) -> int | None:
        return self._next


def test_only_a_partition_that_nothing_is_on_its_way_from_is_said_to_be_empty() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.stage.announce(Reading(7, handed_out=True))
        assert setting.producer.topics == []  # its records may be the oldest of all
        await setting.stage.announce(Reading(0, handed_out=False))
        assert setting.producer.topics == INNER
        other = Setting()
        await other.stage.process(other.batch(Record(6, START_MS, b"{")))  # refused: still no event
        published = len(other.producer.topics)
        await other.stage.announce(Reading(7, handed_out=True))
        assert len(other.producer.topics) == published + len(INNER)
        told = [json.loads(one.value or b"")["version"] for one in other.producer.produced if one.topic in INNER]
        assert set(told) == {RULES.first_version + 7}  # a lower one would be that of a run that has crashed
        gone = Setting()  # its records have been deleted, and may have been told of
        gone.leases.partitions[WEB].log_end = 9
        await gone.stage.announce(Reading(9, handed_out=False))
        told = [json.loads(one.value or b"")["version"] for one in gone.producer.produced]
        assert set(told) == {RULES.first_version + 9}

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_long_batch_lets_others_have_their_turn() -> None:
    async def work() -> None:
        setting = Setting()
        records = [Record(n, START_MS, event_json(n, event_id=str(n))) for n in range(12_000)]
        running = asyncio.create_task(setting.stage.process(setting.batch(*records)))
        while not setting.producer.topics:
            await asyncio.sleep(0)
        assert not running.done()
        assert setting.producer.topics == INNER  # of the first 5,000 records
        await running

    asyncio.run(asyncio.wait_for(work(), 20))


def test_the_watermark_is_told_when_it_comes_to_another_bucket() -> None:
    """Windows end with buckets; with facts it is told by the minute. What has tiles tells it anyway, and so does
    whoever takes the partition on.
    """

    async def work() -> None:
        setting = Setting()
        setting.producer.delivers = True
        told = []
        for offset, seconds in enumerate((0, 4, 8, 16, 24, 24.5, 66)):  # it trails by 5 s
            setting.producer.produced.clear()
            at_ms = START_MS + round(seconds * 1000)
            tick = Record(offset, at_ms, None, at_ms)
            event = Record(offset, START_MS, event_json(0))
            await setting.stage.process(setting.batch(event if offset == 0 else tick))
            told.append(len(setting.producer.produced))
        assert told == [3, 0, 3, 1, 0, 0, 3]
        setting.leases.release(WEB)
        _, setting.epoch = setting.leases.acquire(WEB)
        setting.producer.produced.clear()
        await setting.stage.process(setting.batch(Record(7, START_MS + 67_000, None, START_MS + 67_000)))
        assert setting.producer.topics == INNER

    asyncio.run(asyncio.wait_for(work(), 20))
