"""The nowcast's interval holds the true share 93 to 97 times in 100, on drawn journeys, from n = 30 on.

The journeys are counted by bucket of entry and of ending as tiles count them; the windows do not overlap.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.core.life_tables import Nowcast, nowcast
from pipeline.core.statistics import Ints
from pipeline.core.windows.buckets import BucketRows
from pipeline.core.windows.exposure import AgeLayout, life_tables, look_back_ms
from pipeline.core.windows.segment_rows import SegmentRows
from pipeline.model.ages import AgeCounters
from pipeline.model.tiles import BUCKET_MS

HOUR = 3_600_000


class Shop(NamedTuple):
    per_min: float
    completes: float
    cancels: float
    median_s: float
    timeout_s: int
    window_min: int
    hours: int = 400


SHOPS = {
    "checkout": Shop(8, 0.7, 0.03, 90, 900, 5),
    "busy checkout, a quarter of an hour": Shop(20, 0.7, 0.03, 90, 900, 15),
    "nearly all complete": Shop(20, 0.95, 0.0, 90, 900, 15),
    "hardly any completes": Shop(20, 0.1, 0.02, 90, 900, 15),
    "search": Shop(10, 0.8, 0.0, 12, 120, 5),
    "cart": Shop(10, 0.4, 0.0, 200, 1_800, 15),
    "a small shop's hour": Shop(1, 0.7, 0.03, 90, 900, 60, 1_500),
}


def counted(shop: Shop, seed: int) -> tuple[BucketRows, AgeCounters]:
    chance = np.random.default_rng(seed)
    counters = AgeCounters.of("x", shop.timeout_s * 1000)
    layout = AgeLayout({"x": counters})
    rows = layout.new_rows("x")
    count = chance.poisson(shop.per_min * 60 * shop.hours)
    opened = np.sort(chance.integers(0, shop.hours * HOUR, count))
    fate = chance.random(count)
    lasts = (chance.lognormal(math.log(shop.median_s * 1000), 0.6, count)).astype(np.int64)
    leaves = (fate < shop.completes + shop.cancels) & (lasts < shop.timeout_s * 1000)
    for at, age, completes, ends in zip(
        opened.tolist(), lasts.tolist(), (fate < shop.completes).tolist(), leaves.tolist(), strict=True
    ):
        entry = rows.row(at - at % BUCKET_MS)
        entry[layout.effects[counters.opened].column] += 1
        place = counters.bin_of(age) if ends else None
        if place is None:
            continue
        entry[layout.effects[counters.left[place]].column] += 1
        end = rows.row((at + age) // BUCKET_MS * BUCKET_MS)
        kind = counters.completed if completes else counters.abandoned
        end[layout.effects[kind[place]].column] += 1
        end[layout.effects[counters.lived[place]].column] += age - counters.edges_ms[place]
    return rows, counters


def windows_of(shop: Shop) -> tuple[Ints, Ints]:
    length = shop.window_min * 60_000
    ends = np.arange(2 * HOUR, shop.hours * HOUR, length)
    return ends - length, ends


def truth(shop: Shop) -> float:
    """Lognormal times, cut at the timeout."""
    within = 0.5 * (1 + math.erf(math.log(shop.timeout_s / shop.median_s) / 0.6 / math.sqrt(2)))
    return 1 - shop.completes * within


def held(found: Nowcast, share: float, least_n: float = 30) -> tuple[int, int]:
    enough = found.n >= least_n
    holds = (found.lower <= share) & (share <= found.upper) & enough
    return int(holds.sum()), int(enough.sum())


@pytest.mark.parametrize("name", SHOPS)
def test_the_interval_holds_the_truth_as_often_as_it_says(name: str) -> None:
    shop = SHOPS[name]
    rows, counters = counted(shop, seed=1)
    starts_ms, ends_ms = windows_of(shop)
    places = np.zeros_like(starts_ms), starts_ms, ends_ms
    found = nowcast(life_tables(SegmentRows([rows], *places, look_back_ms(counters)), counters, *places))
    holds, windows = held(found, truth(shop))
    assert windows > 1_000
    # Of 1,000 windows and more, chance alone moves the share by 0.7 points and less.
    assert 0.93 <= holds / windows <= 0.97
    assert float(found.value[found.n > 0].mean()) == pytest.approx(truth(shop), abs=0.01)
