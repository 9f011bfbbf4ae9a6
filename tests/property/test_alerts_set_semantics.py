"""Which alerts there are is a function of the set of events: live, by several workers, late, and in a backtest."""

import random
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pipeline.core.detection.detector import Detector
from pipeline.core.detection.incidents import RETRACTED, Alert
from pipeline.core.sessions.partition import Partition
from pipeline.core.usual.measures import Measures
from pipeline.core.windows.windows import Windows
from pipeline.model.ages import age_counters
from pipeline.model.records import Record
from pipeline.model.source import Source, source_name
from pipeline.tools.backtest import Backtest
from tests.shops import MINUTE, logs, shop
from tests.support import DETECTOR_RULES, FETCHED_MS, RULES

TILE_PARTITIONS = 3


class Live:
    """Phases one and two and detection as workers run them: partitions in any turn, emissions at any time."""

    def __init__(self, sources: Sequence[Source], chance: random.Random) -> None:
        ages = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)
        self._chance = chance
        self._partitions = {source: Partition("web", RULES) for source in sources}
        self._windows = [
            Windows(RULES.funnels, RULES.lateness_ms, 0, len(sources)) for _ in range(TILE_PARTITIONS)
        ]
        self._detector = Detector(Measures(ages), DETECTOR_RULES, RULES.lateness_ms, TILE_PARTITIONS)
        self.last: dict[str, Alert] = {}
        self.taken_back = 0

    def run(self, all_logs: Mapping[Source, Sequence[Record]]) -> dict[str, tuple[Any, ...]]:
        """By id, all that is said in the end of the alerts that there were."""
        chance, rest = self._chance, {source: list(log) for source, log in all_logs.items()}
        while rest:
            source = chance.choice(sorted(rest))
            size = chance.choice([20, 50, 200])
            batch, rest[source] = rest[source][:size], rest[source][size:]
            if not rest[source]:
                del rest[source]
            self._process(source, batch)
            for number in chance.sample(range(TILE_PARTITIONS), chance.randrange(TILE_PARTITIONS + 1)):
                self._emit(number)
        while any(windows.is_behind() for windows in self._windows):
            for number in range(TILE_PARTITIONS):
                self._emit(number)
        return {name: alert.content() for name, alert in self.last.items() if alert.status != RETRACTED}

    def _process(self, source: Source, batch: Sequence[Record]) -> None:
        out = self._partitions[source].process(batch, FETCHED_MS)
        for number, windows in enumerate(self._windows):
            tiles = [
                (tile.segment, tile.bucket_ms, tile.counters)
                for tile in out.tiles
                if zlib.crc32(tile.segment.encode()) % TILE_PARTITIONS == number
            ]
            windows.merge(source_name(source), out.version, out.watermark_ms, tiles)

    def _emit(self, number: int) -> None:
        windows = self._windows[number]
        windows.pass_over()
        told = windows.take_told()
        self._detector.take(f"cx.tiles:{number}", windows.sources.version, told.until_ms, told.steps, told.hours)
        for decided in self._detector.decide():
            self.last.update((alert.alert_id, alert.copy()) for alert in decided.alerts)
            self.taken_back += sum(alert.status == RETRACTED for alert in decided.alerts)
        horizon = windows.horizon_ms()
        if horizon is not None:
            windows.forget(horizon)


def backtested(all_logs: Mapping[Source, Sequence[Record]]) -> list[tuple[Any, ...]]:
    test = Backtest(RULES, DETECTOR_RULES, list(all_logs))
    return sorted((alert.content() for alert in test.run(all_logs)), key=repr)


def fired(alerts: Mapping[str, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Those that a backtest tells of: that fired, and were taken in by no other."""
    return sorted((alert for alert in alerts.values() if alert[7] is not None and not alert[4]), key=repr)


@pytest.mark.parametrize("seed", range(4))
def test_alerts_are_those_of_the_events_in_whatever_order_they_come(seed: int) -> None:
    events = shop(seed, 14)
    in_order = logs(events, 0, 0)
    expected = Live(list(events), random.Random(0)).run(in_order)
    assert fired(expected) == backtested(in_order)
    assert fired(expected)
    for late_ms in (0, 2 * MINUTE, 50 * MINUTE):
        disturbed = logs(events, late_ms, seed + 1)
        live = Live(list(events), random.Random(seed + late_ms))
        assert live.run(disturbed) == expected
        assert disturbed == in_order or backtested(disturbed) == fired(expected)
        assert seed or late_ms < 50 * MINUTE or live.taken_back  # the first shop has such
