"""Persons as a stage: what it tells, when, and what a checkpoint may count as told."""

import asyncio
import json
from typing import Any

import msgspec

from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.kafka.memory import MemoryProducer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.facts import ASKED_AFTER_MS
from pipeline.model.records import Record
from pipeline.model.tiles import SEEN, moments_counter
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from pipeline.stages.persons import PersonsStage
from schemas.facts import FACTS_TOPIC, Fact, Statement
from schemas.tiles import TILES_TOPIC
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import COLUMNS
from tests.support import ALERT_RULES, RULES, START_MS

FACTS = (FACTS_TOPIC, 0)
FIRST = RULES.first_version
MINUTE = 60_000
T0 = START_MS
HOUR = ASKED_AFTER_MS["1h"]
WEB, VISITS = "touchpoints.web:0", "cx.visits:0"


class Setting:
    """The stage with one partition of ``cx.facts``, which two sources tell."""

    def __init__(self) -> None:
        store, metrics, self.now_s = MemoryCheckpoints(), Metrics(), 100.0
        self.leases = Leases(Recovery(store, RULES, "d", ALERT_RULES))
        _, self._epoch = self.leases.acquire(FACTS)
        self.producer, self._offset, self._version = MemoryProducer(), 0, FIRST
        outbox = Outbox(self.producer, SinkBuffer(MemorySink(), COLUMNS, Limits(1, 0.001, 1 << 20)))
        checkpointer = Checkpointer(self.leases, store, metrics, 1, "d")
        self.stage = PersonsStage(
            self.leases, outbox, metrics, checkpointer, lambda _: 1, clock=lambda: self.now_s
        )

    @property
    def lease(self) -> Any:
        return self.leases.persons[FACTS]

    async def take(self, source: str, watermark: int | None, *statements: Statement) -> None:
        self._version += 1
        body = {
            "source": source,
            "version": self._version,
            "watermark": watermark,
            "more": False,
            "statements": statements,
        }
        record = Record(self._offset, -1, msgspec.json.encode(body))
        self._offset += 1
        await self.stage.process(RecordBatch(FACTS, self._epoch, 0, [record]))

    async def pass_to(self, at_ms: int) -> None:
        for source in (WEB, VISITS):
            await self.take(source, at_ms)

    def told(self) -> list[dict[str, Any]]:
        """Messages on ``cx.tiles`` since the last call."""
        found = [json.loads(one.value or b"") for one in self.producer.produced if one.topic == TILES_TOPIC]
        self.producer.produced.clear()
        return found

    def counted(self, name: str) -> int:
        """Over all tiles that have been told since, of all."""
        return sum(
            counters.get(name, 0)
            for message in self.told()
            for segment, _, counters in message["tiles"]
            if segment == "all"
        )


def cart(ended_ms: int, number: int = 1) -> Statement:
    times = ended_ms - 30 * MINUTE, ended_ms
    which = "abandoned", "cart", "web", "s", f"e-{number}"
    return Statement("c:anna", True, Fact(*which, *times, 10.0, None, (None, None, "mobile")))


def test_tiles_are_told_with_a_step_of_time_or_after_a_while() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.pass_to(T0)
        setting.told()
        await setting.take(WEB, T0 + 1, cart(T0 - MINUTE))
        await setting.stage.tell_waiting()
        assert setting.told() == []
        setting.now_s += 10.0
        await setting.stage.tell_waiting()
        (message,) = setting.told()
        assert message["version"] == FIRST + 3
        assert {segment for segment, _, _ in message["tiles"]} == {
            "all",
            "channel=web",
            "channel=web|device=mobile",
        }
        counters = dict.fromkeys(map(moments_counter, RULES.about_persons), 0) | {SEEN: 1, "cart_known": 1}
        assert [row[2] for row in message["tiles"]] == [counters] * 3
        setting.now_s += 10.0
        await setting.stage.tell_waiting()
        assert setting.told() == [], "nothing waits any more"
        await setting.take(WEB, T0 + 2, cart(T0 - MINUTE, 2))
        await setting.pass_to(T0 + MINUTE)
        assert setting.counted("cart_known") == 2

    asyncio.run(asyncio.wait_for(work(), 20))


def test_what_a_crashed_run_may_have_read_ends_with_telling_how_far_this_is() -> None:
    """Whoever heard that run waits for as much again, and nothing new may come for long."""

    async def work() -> None:
        setting = Setting()
        setting.lease.log_end = 4
        await setting.pass_to(T0)
        assert len(setting.told()) == 1
        await setting.take(WEB, T0 + 1)
        assert setting.told() == []
        await setting.take(WEB, T0 + 2)
        assert [(one["version"], one["tiles"]) for one in setting.told()] == [(FIRST + 4, [])]
        await setting.take(WEB, T0 + 3)
        assert setting.told() == []

    asyncio.run(asyncio.wait_for(work(), 20))


def test_what_is_being_told_is_in_no_checkpoint_as_told() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.pass_to(T0)
        await setting.take(WEB, T0 + 1, cart(T0 - MINUTE))
        setting.now_s += 10.0
        setting.producer.delivers, setting.producer.room = False, 0
        telling = asyncio.create_task(setting.stage.tell_waiting())
        await asyncio.sleep(0.05)
        assert setting.lease.cut_at is None, "a cut made now would have them as told"
        setting.producer.room = 100
        await telling
        offset = setting.lease.cut_at
        assert offset == 3
        assert not setting.lease.is_done(offset), "its messages are on their way"

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_partition_that_begins_with_something_old_takes_nothing_back_and_counts_nothing_twice() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.take(VISITS, None)  # it is empty
        await setting.take(WEB, T0 + HOUR + 5 * MINUTE, cart(T0))
        await setting.take(VISITS, None)
        await setting.take(WEB, T0 + HOUR + 6 * MINUTE)
        assert setting.counted("cart_asked_1h") == 1
        await setting.take(VISITS, T0 + HOUR - 5 * MINUTE)
        await setting.take(VISITS, T0 + HOUR - 4 * MINUTE, cart(T0 + MINUTE, 2))
        await setting.pass_to(T0 + 2 * HOUR)
        await setting.take(WEB, T0 + 2 * HOUR + MINUTE, cart(T0 + 2 * MINUTE, 3))
        await setting.pass_to(T0 + 2 * HOUR + 2 * MINUTE)
        tiles = {bucket: counters for message in setting.told() for segment, bucket, counters in message["tiles"]}
        assert {counters.get("cart_asked_1h", 1) for counters in tiles.values()} == {1}

    asyncio.run(asyncio.wait_for(work(), 20))
