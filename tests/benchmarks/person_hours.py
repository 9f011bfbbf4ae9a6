"""What two weeks of one segment take for the signals of persons, by how many carts are left in ten seconds.

python -m tests.benchmarks.person_hours
"""

import numpy as np

from pipeline.core.cuts import Cut
from pipeline.core.hours import HOUR_MS
from pipeline.core.persons.tiles import PersonTiles
from pipeline.core.windows.person_windows import PersonWindows
from pipeline.model.facts import ASKED_AFTER_MS
from pipeline.model.tiles import (
    BUCKET_MS,
    Counters,
    asked_counters,
    elsewhere_counter,
    funnel_counters,
    known_counter,
    recovered_value_counters,
)

HOURS = 12
SOURCES = 4
_SHARES = {"cart": 1.0, "checkout": 0.25, "basket": 0.05}
_KEPT_HOURS = 15 * 24
_TIMES_CLOSED = 20
"""Hours are packed some at a time."""


def of_persons(chance: np.random.Generator, rate: float) -> Counters:
    """One partition's tile of a bucket."""
    found: Counters = {}
    for funnel, share in _SHARES.items():
        found[known_counter(funnel)] = int(chance.poisson(0.9 * rate * share))
        found[elsewhere_counter(funnel)] = int(chance.poisson(0.03 * rate * share))
        recovered = 0
        for after in ASKED_AFTER_MS:
            asked = int(chance.poisson(0.85 * rate * share))
            recovered = int(chance.binomial(asked, 0.05))
            found |= dict(zip(asked_counters(funnel, after), (asked, recovered), strict=True))
        units = int(recovered * 400_000 * (1 + chance.random()))
        found |= dict(zip(recovered_value_counters(funnel), (units, units * units), strict=True))
    return {name: count for name, count in found.items() if count}


def of_touchpoints(chance: np.random.Generator, rate: float) -> Counters:
    found: Counters = {}
    for funnel, share in _SHARES.items():
        for name in funnel_counters(funnel)[:2]:
            found[name] = int(chance.poisson(rate * share))
    return {name: count for name, count in found.items() if count}


def measured(rate: float) -> tuple[int, int]:
    """Bytes in phase two, and in the partitions of persons together."""
    chance = np.random.default_rng(1)
    windows, tiles = PersonWindows(list(_SHARES), HOUR_MS, 0, SOURCES), [PersonTiles() for _ in range(SOURCES)]
    for bucket in range(0, HOURS * HOUR_MS, BUCKET_MS):
        windows.count("all", bucket, of_touchpoints(chance, rate))
        for number, one in enumerate(tiles):
            if told := of_persons(chance, rate / SOURCES):
                windows.merge(f"cx.facts:{number}", bucket + 1, bucket, [("all", bucket, told)], more=False)
                one.fold({(("web",), bucket): told}, [], lambda _: ("all",))
    for _ in range(_TIMES_CLOSED):
        windows.hours.close(HOURS * HOUR_MS)
        for one in tiles:
            one.hours.close(HOURS * HOUR_MS)
    cut, others = Cut({}), Cut({})
    windows.snapshot(cut)
    for number, one in enumerate(tiles):
        one.hours.snapshot(others, f"{number}-")
    sizes = [sum(len(content) for content in made.changed.values()) for made in (cut, others)]
    return sizes[0] * _KEPT_HOURS // HOURS, sizes[1] * _KEPT_HOURS // HOURS


def main() -> None:
    for rate in (0.1, 1.5, 15.0, 150.0):
        windows, persons = measured(rate)
        sizes = f"{windows / 1e6:.1f} MB in phase two, {persons / 1e6:.1f} MB of persons"
        print(f"{rate:g} carts in ten seconds: {sizes}")


if __name__ == "__main__":
    main()
