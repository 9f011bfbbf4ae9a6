"""Phase two as a stage: when it forgets, when it makes room for others, and how late its signals are."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import msgspec
import pytest

from pipeline.agents.checkpoints import Checkpointer
from pipeline.agents.outbox import Outbox
from pipeline.agents.ownership import Ownership
from pipeline.agents.recovery import Recovery
from pipeline.agents.signals import SignalsStage
from pipeline.checkpoints.memory import MemoryCheckpoints
from pipeline.core.records import Record
from pipeline.core.windows import Windows
from pipeline.kafka.memory import MemoryProducer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from schemas.tiles import TILES_TOPIC
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import COLUMNS
from tests.support import ALERT_RULES, RULES, START_MS

TILES = (TILES_TOPIC, 0)
HOUR = 3_600_000


class Setting:
    def __init__(self) -> None:
        store = MemoryCheckpoints()
        self.metrics, self.now_s, self.is_saturated = Metrics(), 0.0, True
        self.ahead_s = 0.0
        """Of START_MS, the wall clock."""
        self.ownership = Ownership(Recovery(store, RULES, "d", ALERT_RULES))
        _, self.epoch = self.ownership.acquire(TILES)
        # The store knows no topics here: how many sources there are is said by each test.
        self.windows = Windows(RULES.funnels, RULES.lateness_ms, sources=2)
        self.ownership.windows[TILES].state = self.windows
        self.buffer = SinkBuffer(MemorySink(), COLUMNS, Limits(1, 0.001, 1 << 20))
        self.running = asyncio.create_task(self.buffer.run())
        self.stage = SignalsStage(
            self.ownership,
            Outbox(MemoryProducer(), self.buffer),
            self.metrics,
            Checkpointer(self.ownership, store, self.metrics, 1, "d"),
            lambda: self.now_s,
            lambda: START_MS / 1000 + self.ahead_s + self.now_s,
            lambda: self.is_saturated,
        )
        self._offset = 0

    async def take(self, source: str, version: int, watermark: int | None, *buckets: int) -> None:
        tiles = [("all", bucket, {"events": 1}) for bucket in buckets]
        body = {"source": source, "version": version, "watermark": watermark, "tiles": tiles, "appended": START_MS}
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


def test_latency_is_from_the_oldest_record_to_its_signals_stored() -> None:
    async def work(setting: Setting) -> None:
        await setting.take("touchpoints.web:0", 1, START_MS + 60_000, START_MS)
        await setting.stage.emit(force=True)
        setting.now_s = 3.0
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._setting.windows, name)

    def emit(self) -> Any:
        self._setting.now_s += self._seconds
        return self._setting.windows.emit()


def slow_down(setting: Setting, seconds: float) -> None:
    setting.ownership.windows[TILES].state = cast(Windows, Slow(setting, seconds))


@pytest.mark.parametrize(("is_saturated", "pause_s"), [(True, 2.0), (False, 0.3)])
def test_emissions_make_room_where_there_is_more_to_read_than_can_be_kept_up_with(
    is_saturated: bool, pause_s: float
) -> None:
    async def work(setting: Setting) -> None:
        setting.is_saturated = is_saturated
        slow_down(setting, 0.1)
        await setting.take("touchpoints.web:0", 1, START_MS, START_MS)
        await setting.take("touchpoints.web:1", 1, START_MS, START_MS)
        await setting.stage.emit()
        assert setting.stage.next_emission_s == pytest.approx(pause_s)

    run(work)


def test_quiet_times_pay_for_a_long_emission() -> None:
    async def work(setting: Setting) -> None:
        setting.is_saturated = False
        slow_down(setting, 2.4)
        setting.now_s += 4.8  # a third of it is saved, two thirds of 2.4 s are needed
        await setting.take("touchpoints.web:0", 1, START_MS, START_MS)
        await setting.take("touchpoints.web:1", 1, START_MS, START_MS)
        await setting.stage.emit()
        assert setting.stage.next_emission_s == pytest.approx(setting.now_s)

    run(work)


def test_while_sources_are_apart_emissions_come_rarer_but_not_for_ever() -> None:
    """History is read one partition after the other; a source that always lags is no history."""

    async def pause_after(setting: Setting, version: int, watermark: int) -> float:
        await setting.take("touchpoints.web:0", version, watermark, watermark - 60_000)
        await setting.take("touchpoints.web:1", version, START_MS, START_MS)
        await setting.stage.emit(force=True)
        return setting.stage.next_emission_s - (setting.now_s - 5.0)

    async def work(setting: Setting) -> None:
        slow_down(setting, 5.0)  # asks for a pause of fifty
        near, far = START_MS + 300_000, START_MS + HOUR
        assert await pause_after(setting, 1, near) == 3.0
        assert await pause_after(setting, 2, far) == 3.0  # apart since now: something is seen soon
        setting.now_s += 15.0
        assert await pause_after(setting, 3, far + 1_000) == 20.0
        setting.now_s += 60.0
        assert await pause_after(setting, 4, far + 2_000) == 30.0
        setting.now_s += 600.0
        assert await pause_after(setting, 5, far + 3_000) == 3.0

    run(work)


def test_what_an_emission_has_put_out_is_stored_without_waiting_for_more() -> None:
    async def work(setting: Setting) -> None:
        setting.buffer.close()
        await setting.running
        setting.buffer = SinkBuffer(MemorySink(), COLUMNS, Limits(1_000_000, 3_600.0, 1 << 20))
        setting.stage._outbox._buffer = setting.buffer
        setting.running = asyncio.create_task(setting.buffer.run())
        await setting.take("touchpoints.web:0", 1, START_MS + 60_000, START_MS)
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
        setting.ownership.release(TILES)
        await merging
        assert 0 < len(setting.windows.versions) < 900

    run(work)
