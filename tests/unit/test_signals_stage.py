"""Phase two as a stage: when it forgets, what it waits for, and how late its signals are."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import msgspec
import pytest

from pipeline.core.windows.windows import Windows
from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import BEGINNING, Recovery, Where
from pipeline.kafka.memory import MemoryProducer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from pipeline.stages.signals import SignalsStage
from schemas.tiles import TILES_TOPIC
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import COLUMNS
from tests.support import RULES, START_MS

TILES = (TILES_TOPIC, 0)
HOUR = 3_600_000


class Given(Recovery):
    """Gives the windows that a test has made."""

    def __init__(self, state: Windows) -> None:
        self.state = state

    def windows(self, source: Source) -> tuple[Windows, Where]:
        return self.state, Where(BEGINNING, None)


class Setting:
    def __init__(self) -> None:
        store = MemoryCheckpoints()
        self.metrics, self.now_s = Metrics(), 0.0
        self.ahead_s = 0.0
        """Of START_MS, the wall clock."""
        self.windows = Windows(RULES.funnels, RULES.lateness_ms, sources=2)
        self.given = Given(self.windows)
        self.leases = Leases(self.given)
        _, self.epoch = self.leases.acquire(TILES)
        self.sink = MemorySink()
        self.buffer = SinkBuffer(self.sink, COLUMNS, Limits(1, 0.001, 1 << 20))
        self.running = asyncio.create_task(self.buffer.run())
        self.stage = SignalsStage(
            self.leases,
            Outbox(MemoryProducer(), self.buffer),
            self.metrics,
            Checkpointer(self.leases, store, self.metrics, 1, "d"),
            lambda: self.now_s,
            lambda: START_MS / 1000 + self.ahead_s + self.now_s,
        )
        self._offset = 0
        self.age_s = 0.0
        """Of the touchpoints that tiles are of, when these are merged."""

    def windows_of(self, state: Windows) -> None:
        """Take the partition on anew, with this state."""
        self.given.state = state
        self.leases.release(TILES)
        _, self.epoch = self.leases.acquire(TILES)

    async def take(self, source: str, version: int, watermark: int | None, *buckets: int) -> None:
        await self.take_tiles(source, version, watermark, [("all", bucket, {"events": 1}) for bucket in buckets])

    async def take_old(self, age_s: float) -> None:
        """Tiles of touchpoints that were appended so long ago."""
        self.age_s = age_s
        await self.take("touchpoints.web:0", 1 + self._offset, START_MS + self._offset, START_MS)
        self.age_s = 0.0

    async def take_tiles(
        self, source: str, version: int, watermark: int | None, tiles: list[tuple[str, int, dict[str, int]]]
    ) -> None:
        body = {
            "source": source,
            "version": version,
            "watermark": watermark,
            "tiles": tiles,
            "appended": START_MS + round((self.ahead_s + self.now_s - self.age_s) * 1000),
        }
        record = Record(self._offset, START_MS, msgspec.json.encode(body))
        self._offset += 1
        await self.stage.process(RecordBatch(TILES, self.epoch, START_MS, [record]))

    async def stored(self) -> None:
        while self.buffer.rows:
            await asyncio.sleep(0.005)


def run(work: Callable[[Setting], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        setting = Setting()
        await work(setting)
        setting.buffer.close()
        await setting.running

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_a_horizon_of_a_minute_ago_goes_no_further_than_the_one_of_now() -> None:
    """A source that was taken for empty has begun since, far back."""

    async def work(setting: Setting) -> None:
        setting.ahead_s = 110 * HOUR / 1000
        await setting.take("touchpoints.web:0", 1, START_MS + 100 * HOUR, START_MS)
        await setting.take("touchpoints.web:1", 1, None)
        await setting.stage.emit(force=True)
        await setting.take("touchpoints.web:1", 2, START_MS + HOUR, START_MS + HOUR)
        setting.now_s = 61.0
        await setting.stage.emit(force=True)
        await setting.take("touchpoints.web:1", 3, START_MS + 2 * HOUR, START_MS)
        assert setting.windows.refused == 0
        assert setting.windows.segments["all"].buckets.tolist() == [START_MS, START_MS + HOUR]

    run(work)


def test_what_all_have_passed_is_forgotten_a_minute_later() -> None:
    async def work(setting: Setting) -> None:
        setting.ahead_s = 110 * HOUR / 1000
        for source in ("touchpoints.web:0", "touchpoints.web:1"):
            await setting.take(source, 1, START_MS + 100 * HOUR, START_MS)
        await setting.stage.emit(force=True)
        setting.now_s = 61.0
        await setting.take("touchpoints.web:0", 2, START_MS + 101 * HOUR, START_MS + 100 * HOUR)
        await setting.stage.emit(force=True)
        assert setting.windows.segments["all"].buckets.tolist() == [START_MS + 100 * HOUR]

    run(work)


def test_latency_is_from_the_oldest_record_to_its_first_row_stored() -> None:
    async def work(setting: Setting) -> None:
        await setting.take("touchpoints.web:0", 1, START_MS + 5_000, START_MS)
        await setting.take("touchpoints.web:1", 1, START_MS + 60_000)
        await setting.stage.emit()
        await setting.stored()
        setting.stage.measure()
        assert setting.metrics.registry.get_sample_value("cx_signal_latency_seconds_count") == 0
        setting.now_s = 3.0
        await setting.take("touchpoints.web:0", 2, START_MS + 10_000)
        await setting.stage.emit()
        await setting.stored()
        setting.stage.measure()
        registry = setting.metrics.registry
        assert registry.get_sample_value("cx_signal_latency_seconds_count") == 1
        assert registry.get_sample_value("cx_signal_latency_seconds_sum") == 3.0

    run(work)


class Slow:
    """Windows on a slow machine: an emission takes so long."""

    def __init__(self, setting: Setting, seconds: float) -> None:
        self._setting = setting
        self._seconds = seconds
        self.emissions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._setting.windows, name)

    def emit(self, *given: Any) -> Any:
        self._setting.now_s += self._seconds
        self.emissions += 1
        return self._setting.windows.emit(*given)


@pytest.mark.parametrize(("takes_s", "pause_s"), [(0.5, 1.5), (2.0, 3.0)])
def test_emissions_take_no_more_than_a_third_of_the_time_and_come_every_three_seconds_at_least(
    takes_s: float, pause_s: float
) -> None:
    async def work(setting: Setting) -> None:
        slow = Slow(setting, takes_s)
        setting.windows_of(cast(Windows, slow))
        began_s, version = setting.now_s, 1
        while slow.emissions < 4:
            version += 1
            await setting.take("touchpoints.web:0", version, START_MS + version, START_MS)
            await setting.stage.emit()
            setting.now_s += 0.01
        paused = setting.now_s - began_s - 4 * takes_s
        assert paused == pytest.approx(3 * (pause_s - takes_s), abs=0.1)

    run(work)


def rows_of(setting: Setting) -> list[tuple[int, int, int]]:
    """Of the 1m rows of friction: end in seconds after START_MS, denominator, whether it is complete."""
    return [
        ((row["window_end"] - START_MS) // 1000, int(row["denominator"]), row["complete"])
        for row in setting.sink.tables.get("signals", [])
        if (row["signal"], row["window"]) == ("friction", "1m")
    ]


def test_a_source_that_stands_still_holds_rows_back_for_half_a_minute_and_they_come_again() -> None:
    async def work(setting: Setting) -> None:
        await setting.take("touchpoints.web:0", 1, START_MS + 12_000, START_MS)
        await setting.take("touchpoints.web:1", 1, START_MS + 1_000, START_MS)
        for _ in range(29):
            await setting.stage.emit()
            setting.now_s += 1.0
        await setting.stored()
        assert rows_of(setting) == []
        setting.now_s += 1.0
        await setting.stage.emit()
        await setting.stored()
        assert rows_of(setting) == [(10, 2, 0)]
        assert setting.leases.windows[TILES].cut_at == 2, "all that was merged is put out"
        await setting.take("touchpoints.web:1", 2, START_MS + 12_000)
        setting.now_s += 1.0
        await setting.stage.emit()
        await setting.stored()
        assert rows_of(setting) == [(10, 2, 0), (10, 2, 1)]

    run(work)


def test_a_record_of_a_time_to_come_keeps_no_other_from_being_measured() -> None:
    async def work(setting: Setting) -> None:
        await setting.take("touchpoints.web:0", 1, START_MS + 12_000, START_MS + 240_000)
        await setting.take("touchpoints.web:1", 1, START_MS + 12_000, START_MS)
        await setting.stage.emit()
        await setting.stored()
        setting.stage.measure()
        assert setting.metrics.registry.get_sample_value("cx_signal_latency_seconds_count") == 1

    run(work)


def test_a_partition_that_comes_back_is_waited_for_anew() -> None:
    """Its state is of its checkpoint: what had long been passed is to be read again first."""

    async def work(setting: Setting) -> None:
        await setting.take("touchpoints.web:0", 1, START_MS + 12_000, START_MS)
        await setting.take("touchpoints.web:1", 1, START_MS + 1_000, START_MS)
        await setting.stage.emit()
        setting.windows = Windows(RULES.funnels, HOUR, sources=2)
        setting.windows_of(setting.windows)
        setting.now_s = 31.0
        await setting.take("touchpoints.web:0", 1, START_MS + 2_000, START_MS)
        await setting.stage.emit()
        assert setting.windows.out_ms is None
        assert not rows_of(setting)

    run(work)


def test_corrections_are_put_together_and_nothing_is_done_before_they_are_out() -> None:
    async def work(setting: Setting) -> None:
        lease = setting.leases.windows[TILES]
        for source in ("touchpoints.web:0", "touchpoints.web:1"):
            await setting.take(source, 1, START_MS + 12_000, START_MS)
        await setting.stage.emit()
        await setting.stored()
        assert lease.cut_at == 2
        for second in range(1, 10):
            setting.now_s = float(second)
            body = [("all", START_MS, {"events": 1 + second})]
            await setting.take_tiles("touchpoints.web:0", 1 + second, START_MS + 12_000, body)
            await setting.stage.emit()
            assert lease.cut_at is None
            assert lease.is_done(2)
            assert setting.leases.unfinished() > 0
        setting.now_s = 10.0
        await setting.stage.emit()
        await setting.stored()
        assert rows_of(setting) == [(10, 2, 1), (10, 11, 1)]
        assert lease.cut_at == 11
        assert setting.leases.unfinished() == 0

    run(work)


def test_what_an_emission_has_put_out_is_stored_without_waiting_for_more() -> None:
    async def work(setting: Setting) -> None:
        setting.buffer.close()
        await setting.running
        setting.buffer = SinkBuffer(MemorySink(), COLUMNS, Limits(1_000_000, 3_600.0, 1 << 20))
        setting.stage._outbox._buffer = setting.buffer
        setting.running = asyncio.create_task(setting.buffer.run())
        await setting.take("touchpoints.web:0", 1, START_MS + 60_000, START_MS)
        await setting.take("touchpoints.web:1", 1, START_MS + 60_000)
        await setting.stage.emit(force=True)
        await asyncio.wait_for(setting.stored(), 5)

    run(work)


def test_a_partition_taken_away_while_a_batch_is_merged_is_not_gone_on_with() -> None:
    async def work(setting: Setting) -> None:
        body = {"watermark": START_MS, "tiles": [("all", START_MS, {"events": 1})], "appended": START_MS}
        records = [
            Record(n, START_MS, msgspec.json.encode(body | {"source": f"touchpoints.web:{n}", "version": 1}))
            for n in range(900)
        ]
        merging = asyncio.create_task(setting.stage.process(RecordBatch(TILES, setting.epoch, START_MS, records)))
        await asyncio.sleep(0)
        assert not merging.done()  # others have their turn in between
        setting.leases.release(TILES)
        await merging
        assert 0 < len(setting.windows.sources.versions) < 900

    run(work)


def test_of_a_backlog_rows_are_put_out_every_ten_seconds_and_when_it_is_worked_off() -> None:
    async def work(setting: Setting) -> None:
        slow = Slow(setting, 0.0)
        setting.windows_of(cast(Windows, slow))
        for age_s, pause_s in ((60.0, 10.0), (1.0, 0.0)):
            await setting.take_old(age_s)
            began_s, emissions = setting.now_s, slow.emissions
            while slow.emissions == emissions:
                setting.now_s += 0.5
                await setting.take_old(age_s)
                await setting.stage.emit()
            assert setting.now_s - began_s == max(0.5, pause_s)
        await setting.take_old(60.0)
        emissions = slow.emissions
        setting.now_s += 1.0
        await setting.stage.emit()
        assert slow.emissions == emissions + 1

    run(work)
