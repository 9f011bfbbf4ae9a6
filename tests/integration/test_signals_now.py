"""``cx.signals_now``, which is SQL over tiles, gives what the core would put out of the same tiles."""

import random
import time
from collections.abc import Iterable
from typing import Any

import pytest

from pipeline.core.windows.window_ends import WINDOWS
from pipeline.core.windows.windows import Windows
from pipeline.model.facts import RECOVERABLE
from pipeline.model.rules import Rules
from pipeline.model.signals import signal_of
from pipeline.model.tiles import BUCKET_MS, SURVEY_COUNTERS, Counters, Tile
from pipeline.outputs.tiles import tile_columns
from sinks.tables import COLUMNS, TILES
from tests.support import OWN_RULES, RULES, START_MS, Store, new_windows

HOUR = 3_600_000
SOURCES = ("touchpoints.web:0", "touchpoints.app:1")
PERSONS = "cx.facts:0"
SEGMENTS = ("all", "channel=web", "store_id=a%7Cb")
BY_AGE = ("_nowcast", "_completion_ratio")
Found = dict[tuple[str, str, str], tuple[float, ...]]


def drawn(chance: random.Random, most: int, funnels: Iterable[str]) -> Counters:
    """Counters of one tile, some with sums beyond 64 bits, some zeros, some left out."""
    found: Counters = {"events": chance.randint(0, most), "friction": 0}
    found["friction"] = chance.randint(0, found["events"])
    for name in SURVEY_COUNTERS:
        found[name] = chance.randint(0, 3)
    satisfied, promoters = chance.randint(0, 3), chance.randint(0, 3)
    found |= {"csat_answers": 3, "csat_satisfied": satisfied, "nps_answers": 3, "nps_promoters": promoters}
    found["nps_detractors"] = chance.randint(0, 3 - promoters)
    scores = [10_000 * chance.randint(1, 7) for _ in range(chance.randint(0, 3))]
    found |= {"ces_answers": len(scores), "ces_sum": sum(scores), "ces_sum_sq": sum(s * s for s in scores)}
    for funnel in funnels:
        values = [chance.choice([0, 123_456, 10**16]) for _ in range(chance.randint(0, 2))]
        found |= {
            f"{funnel}_completed": chance.randint(0, 2),
            f"{funnel}_abandoned": len(values),
            f"{funnel}_value_abandoned": sum(values),
            f"{funnel}_value_abandoned_sq": sum(value * value for value in values),
        }
    return some_of(found, funnels, chance)


def drawn_of_persons(chance: random.Random, funnels: Iterable[str], rules: Iterable[str]) -> Counters:
    """The same of what persons did; not more than there were abandonments, most of the time."""
    found: Counters = {}
    if chance.random() < 0.7:
        found = {"persons_seen": chance.randint(0, 2)} | {
            f"{rule.replace('-', '_')}_moments": chance.choice([0, 0, 0, 1, 2, -1]) for rule in rules
        }
    for funnel in funnels:
        values = [chance.choice([0, 123_456, 10**16]) for _ in range(chance.randint(0, 2))]
        found |= {
            f"{funnel}_known": chance.randint(0, 1),
            f"{funnel}_elsewhere": chance.randint(0, 1),
            f"{funnel}_value_recovered_7d": sum(values),
            f"{funnel}_value_recovered_7d_sq": sum(value * value for value in values),
        }
        for after in ("1h", "1d", "7d"):
            recovered = len(values) if after == "7d" else chance.randint(0, 2)
            found |= {f"{funnel}_recovered_{after}": recovered, f"{funnel}_asked_{after}": recovered + 1}
    return some_of(found, funnels, chance)


def some_of(found: Counters, funnels: Iterable[str], chance: random.Random) -> Counters:
    left_out = tuple(funnel for funnel in funnels if chance.random() < 0.2)
    return {name: count for name, count in found.items() if not name.startswith(left_out)}


def store(engine: Any, source: str, tiles: list[Tile], version: int) -> None:
    columns = [list(column) for column in tile_columns(source, tiles, version)]
    engine.execute(f"INSERT INTO cx.{TILES} ({', '.join(COLUMNS[TILES])}) VALUES", columns, columnar=True)


def merge(windows: Windows, source: str, version: int, watermark: int, tiles: list[Tile]) -> None:
    windows.merge(source, version, watermark, [(tile.segment, tile.bucket_ms, tile.counters) for tile in tiles])


def now(engine: Any, where: str = "1") -> tuple[set[int], Found]:
    rows = engine.execute(
        "SELECT toUnixTimestamp64Milli(window_end), signal, segment, window, numerator, denominator, value, "
        f"lower, upper FROM cx.signals_now WHERE {where}"
    )
    return {row[0] for row in rows}, {(row[1], row[2], row[3]): row[4:] for row in rows}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shop", [RULES, OWN_RULES], ids=["as it is", "funnels of its own"])
def test_sql_and_core_agree(engine: Any, shop: Rules, seed: int) -> None:
    """Where the newest bucket ends on the hour, so that every window has a row of that end."""
    engine.execute("TRUNCATE TABLE cx.tiles")
    funnels = [funnel.name for funnel in shop.funnels.all]
    chance, windows = random.Random(seed), new_windows(shop, persons=1)
    end = START_MS - START_MS % HOUR + 3 * HOUR
    for version, source in enumerate(SOURCES, 1):
        rounds = [(version, HOUR), (version + 10, HOUR // 2)]  # the second replaces, and takes some back
        for number, reach in rounds:
            tiles = [
                Tile(segment, bucket, drawn(chance, 9, funnels) if chance.random() < 0.9 else {"events": 0})
                for segment in SEGMENTS
                for bucket in range(end - reach - 3 * BUCKET_MS, end, BUCKET_MS)
                if chance.random() < (0.3 if segment != "all" else 0.8) or bucket == end - BUCKET_MS
            ]
            store(engine, source, tiles, number)
            merge(windows, source, number, end, tiles)
    bought_in = [funnel for funnel in funnels if funnel in RECOVERABLE]
    for number, reach in ((1, HOUR), (2, HOUR // 2)):
        tiles = [
            Tile(segment, bucket, drawn_of_persons(chance, bought_in, shop.about_persons))
            for segment in SEGMENTS
            for bucket in range(end - reach - 3 * BUCKET_MS, end, BUCKET_MS)
            if chance.random() < 0.5
        ]
        store(engine, PERSONS, tiles, number)
        merge(windows, PERSONS, number, end, tiles)
    emitted = Store()
    emitted.take_signals(windows)
    expected: Found = {
        key[:3]: row
        for key, (_, row) in emitted.signals.items()
        if key[3] == end and row.denominator and not key[0].endswith(BY_AGE)
    }
    assert len(expected) > len(WINDOWS) * len(SEGMENTS) * 10
    assert sum(signal_of(key[0]).is_of_persons for key in expected) > len(WINDOWS) * len(SEGMENTS) * 5
    ends, found = now(engine)
    assert ends == {end}
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == pytest.approx(tuple(row), rel=1e-9, abs=1e-9), key
        value, lower, upper = found[key][2:]
        assert lower <= value <= upper, key
    only = now(engine, "window = '1m' AND segment = 'all'")[1]
    assert only == {key: row for key, row in found.items() if key[1:] == ("all", "1m")}


def test_an_event_from_the_future_is_not_the_present(engine: Any) -> None:
    engine.execute("TRUNCATE TABLE cx.tiles")
    bucket = int(time.time()) * 1000 // BUCKET_MS * BUCKET_MS
    store(engine, SOURCES[0], [Tile("all", bucket - BUCKET_MS, {"events": 4})], 1)
    store(engine, SOURCES[0], [Tile("all", bucket + 240_000, {"events": 1})], 2)
    ends, found = now(engine, "window = '1m'")
    later = int(time.time()) * 1000 // BUCKET_MS * BUCKET_MS
    assert ends <= set(range(bucket + BUCKET_MS, later + 2 * BUCKET_MS, BUCKET_MS))
    assert found["friction", "all", "1m"][1] == 4


def test_where_there_are_no_tiles_there_is_no_present(engine: Any) -> None:
    engine.execute("TRUNCATE TABLE cx.tiles")
    assert now(engine) == (set(), {})
