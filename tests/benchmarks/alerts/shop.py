"""Simulated weeks of a shop, drawn as journeys and counted as phase two counts them.

Journeys are drawn with times to the millisecond, then counted by leaf segment (channel, device and region
online, the store at the till), step and age.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.usual.measures import Measures
from pipeline.model.ages import AgeCounters
from pipeline.model.evidence import STEP_MS
from pipeline.model.tiles import BUCKET_MS, EVENTS, funnel_counters
from pipeline.tools.simulator.shop import CHECKOUT_STEPS, REGIONS
from pipeline.tools.simulator.traffic import rhythm

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
NEVER: Final = np.int64(1) << 60
ONLINE: Final = (
    ("web", "desktop", 0.27),
    ("web", "mobile", 0.31),
    ("web", "tablet", 0.05),
    ("app", "mobile", 0.30),
    ("app", "tablet", 0.07),
)
STORES: Final = 240
OPEN_FROM: Final = 8 * HOUR
OPEN_UNTIL: Final = 20 * HOUR


@dataclass(frozen=True)
class Trouble:
    """An incident of known extent. ``strength``: the share of what it hits that fails, or a factor."""

    kind: str
    from_ms: int
    until_ms: int
    strength: float = 1.0
    store: int = 0


@dataclass
class Journeys:
    """Of one funnel: parallel arrays. ``ended`` is NEVER where it neither completes nor is abandoned."""

    leaf: Ints
    opened: Ints
    ended: Ints
    completed: NDArray[np.bool_]
    last: Ints
    """Time of the last event, from which the timeout counts."""


@dataclass
class Day:
    """All that happens from one midnight to the next, some of it ending later."""

    online: dict[str, Journeys] = field(default_factory=dict)
    till: dict[str, Journeys] = field(default_factory=dict)
    steps: list[tuple[str, Ints, Ints]] = field(default_factory=list)
    """Counter, leaf, time."""


class Shop:
    """Draws days. The same seed and size give the same days."""

    def __init__(self, checkouts_per_min: float, seed: int, troubles: tuple[Trouble, ...] = ()) -> None:
        self.rate: Final = checkouts_per_min
        self.troubles = troubles
        self._seed = seed
        self.leaves: Final = [(c, d, r, w / 4) for c, d, w in ONLINE for r in REGIONS]

    def day(self, number: int) -> Day:
        """Day 0 begins at time 0, a Monday."""
        r = np.random.default_rng([self._seed, number])
        start = number * DAY
        mood = float(r.normal(0, 0.03))
        sale = 2.0 if self._is_on("sale", start + DAY // 2) else 1.0
        found = Day()
        self._shop_online(found, r, start, sale, mood)
        self._shop_at_tills(found, r, start, sale)
        return found

    def _is_on(self, kind: str, at_ms: int) -> bool:
        return any(t.kind == kind and t.from_ms <= at_ms < t.until_ms for t in self.troubles)

    def _arrivals(self, r: np.random.Generator, start: int, per_min: float) -> Ints:
        """Times in a day with the simulator's rhythm; weekends are a quarter busier, hours vary a little."""
        weekend = 1.25 if start // DAY % 7 >= 5 else 1.0
        busy = np.repeat(r.lognormal(0, 0.08, 24), 60)
        means = np.array([rhythm(minute * MINUTE) for minute in range(1440)]) * per_min * weekend * busy
        counts = r.poisson(means)
        minutes = np.repeat(np.arange(1440), counts)
        return start + minutes * MINUTE + r.integers(0, MINUTE, len(minutes))

    def _shop_online(self, day: Day, r: np.random.Generator, start: int, sale: float, mood: float) -> None:
        weights = np.array([weight for *_, weight in self.leaves])
        searched = self._arrivals(r, start, 3.0 * self.rate * sale)
        leaf = r.choice(len(weights), len(searched), p=weights)
        day.online["search"] = self._search(r, leaf, searched)
        added = self._arrivals(r, start, 2.0 * self.rate * sale)
        leaf = r.choice(len(weights), len(added), p=weights)
        goes = r.random(len(added)) < 0.5
        begins = added + _lognormal(r, 150, 0.8, len(added))
        checkout = self._checkout(day, r, leaf[goes], begins[goes], mood)
        day.online["checkout"] = checkout
        ended, last = np.full(len(added), NEVER), added + _lognormal(r, 60, 0.8, len(added))
        ended[goes] = np.where(checkout.completed, checkout.ended, NEVER)
        last[goes] = np.maximum(checkout.last, added[goes])
        day.online["cart"] = _followed(Journeys(leaf, added, ended, ended < NEVER, last), 30 * MINUTE)

    def _search(self, r: np.random.Generator, leaf: Ints, opened: Ints) -> Journeys:
        fits = r.random(len(opened)) < 0.86
        for trouble in self._of("search-broken"):
            hit = _within(opened, trouble) & (r.random(len(opened)) < trouble.strength)
            fits &= ~hit
        ended = np.where(fits, opened + _lognormal(r, 12, 0.6, len(opened)), NEVER)
        return _followed(Journeys(leaf, opened, ended, fits, opened), 2 * MINUTE)

    def _checkout(self, day: Day, r: np.random.Generator, leaf: Ints, opened: Ints, mood: float) -> Journeys:
        count = len(opened)
        lasts = _lognormal(r, 100, 0.5, count)
        for trouble in self._of("checkout-slow"):
            lasts = np.where(_within(opened, trouble), (lasts * trouble.strength).astype(np.int64), lasts)
        hour = opened // HOUR % 24
        willing = 0.74 + 0.03 * np.sin((hour - 10) / 24 * 2 * np.pi) + mood
        stays = r.random(count) < willing
        stops_at = r.choice(4, count, p=[0.3, 0.25, 0.3, 0.15])
        pays_at = opened + (lasts * 0.7).astype(np.int64)
        mobile = np.array([device == "mobile" for _, device, _, _ in self.leaves])[leaf]
        fails = np.zeros(count, dtype=bool)
        for trouble in self._of("payment-mobile"):
            fails |= mobile & _within(pays_at, trouble) & (r.random(count) < trouble.strength)
        reached = np.where(stays, 4, stops_at)
        reached = np.where(fails & (reached > 2), 2, reached)
        completed = reached == 4
        cancels = ~completed & (r.random(count) < 0.08)
        moments = [opened + (lasts * share).astype(np.int64) for share in (0.05, 0.3, 0.55, 0.85)]
        for at, step in enumerate(CHECKOUT_STEPS):
            seen = reached >= at
            day.steps.append((f"step_viewed_{step}", leaf[seen], moments[at][seen]))
            done = reached > at
            day.steps.append((f"step_completed_{step}", leaf[done], moments[at][done] + lasts[done] // 8))
        stopped = np.choose(np.minimum(reached, 3), moments)
        ended = np.where(completed, opened + lasts, np.where(cancels, stopped + 15_000, NEVER))
        found = Journeys(leaf, opened, ended, completed, np.where(completed, ended, stopped))
        return _followed(found, 15 * MINUTE)

    def _shop_at_tills(self, day: Day, r: np.random.Generator, start: int, sale: float) -> None:
        joined = self._arrivals(r, start, 1.5 * self.rate * sale)
        of_day = joined - start
        joined = joined[(of_day >= OPEN_FROM) & (of_day < OPEN_UNTIL)]
        leaf = r.integers(0, STORES, len(joined))
        waits, patience = _lognormal(r, 75, 0.8, len(joined)), 60_000 + _lognormal(r, 300, 0.4, len(joined))
        for trouble in self._of("till-queue"):
            hit = _within(joined, trouble) & ((leaf == trouble.store) | (trouble.store < 0))
            waits = np.where(hit, (waits * trouble.strength).astype(np.int64), waits)
        served = waits <= patience
        ended = joined + np.where(served, waits, patience)
        day.till["queue"] = _followed(Journeys(leaf, joined, ended, served, ended), 20 * MINUTE)
        opened = ended[served] + 2_000
        lasts, voided = _lognormal(r, 60, 0.5, len(opened)), r.random(len(opened)) < 0.02
        basket = Journeys(leaf[served], opened, opened + lasts, ~voided, opened + lasts)
        day.till["basket"] = _followed(basket, 10 * MINUTE)

    def _of(self, kind: str) -> Iterator[Trouble]:
        return (trouble for trouble in self.troubles if trouble.kind == kind)


def _lognormal(r: np.random.Generator, median_s: float, sigma: float, count: int) -> Ints:
    return (r.lognormal(np.log(median_s * 1000), sigma, count)).astype(np.int64)


def _within(at: Ints, trouble: Trouble) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (at >= trouble.from_ms) & (at < trouble.until_ms)
    return found


def _followed(journeys: Journeys, timeout_ms: int) -> Journeys:
    """What ends after the timeout is lost sight of: nobody stays active for so long here."""
    over = (journeys.ended < NEVER) & (journeys.ended - journeys.opened >= timeout_ms)
    journeys.ended[over] = NEVER
    journeys.completed &= ~over
    return journeys


class Counter:
    """Counts of leaves and of all segments, step by step."""

    def __init__(self, shop: Shop, measures: Measures, ages: dict[str, AgeCounters]) -> None:
        self._measures = measures
        self._ages = ages
        online = [(f"channel={c}", f"device={d}", f"region={region}") for c, d, region, _ in shop.leaves]
        self._top: list[str] = ["all"]
        rows: list[list[int]] = [list(range(len(online) + STORES))]
        tills = list(range(len(online), len(online) + STORES))
        groups: dict[str, list[int]] = {"channel=pos": tills}
        for at, (channel, device, region) in enumerate(online):
            for name in (channel, region, f"{channel}|{device}"):
                groups.setdefault(name, []).append(at)
        for store in range(STORES):
            groups.setdefault(f"region={REGIONS[store % 4]}", []).append(len(online) + store)
        for name in sorted(groups):
            self._top.append(name)
            rows.append(groups[name])
        self.compared: Final = len(rows)
        """The first of the segments, without single stores."""
        self._weights = np.zeros((len(rows), len(online) + STORES))
        for at, members in enumerate(rows):
            self._weights[at, members] = 1.0
        self._online = len(online)
        self.names: Final = [
            *self._top,
            *(f"store_id={store:03d}" for store in range(STORES)),
            *(f"channel=pos|store_id={store:03d}" for store in range(STORES)),
        ]

    def steps(self, days: list[Day], start: int, end: int) -> Iterator[tuple[int, Floats]]:
        """Counts of every step in [start, end). Shape: segments, columns."""
        counts = np.zeros(((end - start) // STEP_MS, self._weights.shape[1], len(self._measures.columns)))
        for part, first in (("online", 0), ("till", self._online)):
            for funnel in self._ages:
                some = [found for day in days if (found := getattr(day, part).get(funnel)) is not None]
                if some:
                    self._count(counts, funnel, some, first, start, end)
        for at, rows in enumerate(counts):
            top = self._weights @ rows
            stores = rows[self._online :]
            yield start + at * STEP_MS, np.concatenate([top, stores, stores])

    def _count(self, counts: Floats, funnel: str, some: list[Journeys], first: int, start: int, end: int) -> None:
        ages, timeout = self._ages[funnel], self._ages[funnel].edges_ms[-1]
        columns = self._measures.columns
        j = Journeys(*(np.concatenate([getattr(each, n) for each in some]) for n in Journeys.__annotations__))
        near = (j.opened >= start - 3 * timeout) & (j.opened < end)
        j = Journeys(*(getattr(j, name)[near] for name in Journeys.__annotations__))
        left = j.ended < NEVER
        timed_out = np.where(left, NEVER, j.last + timeout)
        completed, abandoned, _, _ = funnel_counters(funnel)
        for name, at, which in (
            (ages.opened, j.opened, np.ones(len(left), dtype=bool)),
            (EVENTS, j.opened, np.ones(len(left), dtype=bool)),
            (completed, j.ended, left & j.completed),
            (abandoned, j.ended, left & ~j.completed),
            (abandoned, timed_out, ~left),
        ):
            inside = which & (at >= start) & (at < end)
            step, leaf = (at[inside] - start) // STEP_MS, first + j.leaf[inside]
            np.add.at(counts, (step, leaf, np.full(len(step), columns[name])), 1.0)
        edges = np.array(ages.edges_ms)
        age = np.where(left, j.ended - j.opened, 0)
        bins = np.searchsorted(edges, age, side="right") - 1
        inside = left & (j.ended >= start) & (j.ended < end)
        step, leaf = (j.ended[inside] - start) // STEP_MS, first + j.leaf[inside]
        for names, which in ((ages.completed, j.completed[inside]), (ages.abandoned, ~j.completed[inside])):
            place = np.array([columns[name] for name in names])[bins[inside]]
            np.add.at(counts, (step[which], leaf[which], place[which]), 1.0)
        place = np.array([columns[name] for name in ages.lived])[bins[inside]]
        np.add.at(counts, (step, leaf, place), (age - edges[bins])[inside].astype(float))
        self._at_risk(counts, funnel, j, first, start, end)

    def _at_risk(self, counts: Floats, funnel: str, j: Journeys, first: int, start: int, end: int) -> None:
        """Time at risk, openings and endings taken as at the middle of their buckets."""
        edges = self._ages[funnel].edges_ms
        entered = j.opened // BUCKET_MS * BUCKET_MS + BUCKET_MS // 2
        exits = np.where(j.ended < NEVER, j.ended // BUCKET_MS * BUCKET_MS + BUCKET_MS // 2, NEVER)
        exits = np.minimum(exits, entered + edges[-1])
        bins = np.searchsorted(np.array(edges), np.where(j.ended < NEVER, j.ended - j.opened, NEVER), "right") - 1
        for at, (low, high) in enumerate(itertools.pairwise(edges)):
            # An ending is in the bin of its exact age, which the middles may miss by a bucket.
            until = np.where(bins == at, exits, np.minimum(exits, entered + high))
            here = (entered + low < until) & (bins >= at)
            column = self._measures.columns[self._ages[funnel].at_risk[at]]
            self._spend(counts, column, first + j.leaf[here], (entered + low)[here] - start, until[here] - start)

    def _spend(self, counts: Floats, column: int, leaf: Ints, since: Ints, until: Ints) -> None:
        steps = len(counts)
        while len(leaf):
            step = since // STEP_MS
            stop = np.minimum(until, (step + 1) * STEP_MS)
            inside = (step >= 0) & (step < steps)
            place = np.full(int(inside.sum()), column)
            np.add.at(counts, (step[inside], leaf[inside], place), (stop - since)[inside].astype(float))
            more = stop < until
            leaf, since, until = leaf[more], stop[more], until[more]
