"""What is counted of each segment in each step of event time, as columns of a matrix; and what is watched.

Rows are segments, columns counters. From the counts follow *pairs* of occurrences and exposure, whose
quotients are what is usual: completions per time at risk in each bin of age of each funnel, and shares.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.life_tables import LifeTable, nowcast
from pipeline.core.statistics import Floats
from pipeline.model.ages import AgeCounters
from pipeline.model.evidence import HOUR_MS
from pipeline.model.signals import SATISFACTION, Kind, name_of, rate_of
from pipeline.model.tiles import (
    EVENTS,
    FRICTION,
    SEEN,
    elsewhere_counter,
    funnel_counters,
    moments_counter,
    opened_counter,
)
from schemas.units import UNITS_PER_ONE

_CES_SCALE: Final = 7 * UNITS_PER_ONE
ALL: Final = "all"
_SILENT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class LifeColumns:
    """Where a funnel's life table is: columns of each kind, in the order of the bins."""

    completed: slice
    abandoned: slice
    lived: slice
    at_risk: slice
    width_ms: Floats
    hazards: slice
    """Its pairs."""

    def table(self, counts: Floats) -> LifeTable:
        """Shape of ``counts``: any, columns."""
        return LifeTable(
            counts[..., self.completed],
            counts[..., self.abandoned],
            counts[..., self.lived],
            counts[..., self.at_risk],
            self.width_ms,
        )


class Measures:
    """The layout of counts and pairs for a shop's funnels."""

    def __init__(self, ages: Mapping[str, AgeCounters], rules: Sequence[str] | None = None) -> None:
        """``rules``: names of those about persons, where it is their evidence that is watched; None: it is not."""
        self.funnels: Final = tuple(ages)
        self._net: Final = tuple(ages) if rules is not None else ()
        self._rules: Final = tuple(rules or ())
        self.silent_ms: Final = HOUR_MS if rules is not None else _SILENT_MS
        """Where nothing has come in for so long, of any segment, that says nothing of the shop."""
        self.columns: Final[dict[str, int]] = {}
        self.life: Final[dict[str, LifeColumns]] = {}
        hazards = 0
        for funnel, counters in ages.items():
            bins = len(counters.edges_ms) - 1
            self.life[funnel] = LifeColumns(
                self._place(counters.completed),
                self._place(counters.abandoned),
                self._place(counters.lived),
                self._place(counters.at_risk),
                np.diff(np.array(counters.edges_ms, dtype=np.float64)),
                slice(hazards, hazards + bins),
            )
            hazards += bins
            self._place([*funnel_counters(funnel)[:3], counters.opened])
        self._place((EVENTS, FRICTION, "csat_answers", "csat_satisfied", "ces_answers", "ces_sum"))
        self._place(("nps_answers", "nps_promoters", "nps_detractors"))
        self._place([elsewhere_counter(funnel) for funnel in self._net])
        if self._rules:
            self._place([SEEN, *map(moments_counter, self._rules)])
        self.hazards: Final = hazards
        self.shares: Final = (
            *(name_of(funnel, Kind.ABANDONMENT) for funnel in self.funnels),
            *SATISFACTION,
            *(name_of(funnel, Kind.NET_ABANDONMENT) for funnel in self._net),
            *map(rate_of, self._rules),
            *(name_of(funnel, Kind.NOWCAST) for funnel in self.funnels),
        )
        first = len(self.shares) - len(self.funnels) - len(self._rules)
        self.rates: Final = slice(first, first + len(self._rules))
        """Of the shares those that are none: counts of moments against who came, which may be more."""
        self.counted_shares: Final = len(self.shares) - len(self.funnels)
        """The first of the shares, which are sums over steps; nowcasts are made of whole life tables."""
        self._numerators, self._denominators = self._share_weights()

    @property
    def pairs(self) -> int:
        """Hazards, then shares."""
        return self.hazards + len(self.shares)

    def _place(self, names: Iterable[str]) -> slice:
        """Columns for new names, side by side: looking at them copies nothing."""
        first = len(self.columns)
        for name in names:
            self.columns[name] = len(self.columns)
        return slice(first, len(self.columns))

    def _share_weights(self) -> tuple[Floats, Floats]:
        """Matrices that make the counted shares' numerators and denominators of the counts."""
        parts: list[tuple[dict[str, float], dict[str, float]]] = []
        for funnel in self.funnels:
            completed, abandoned, _, _ = funnel_counters(funnel)
            parts.append(({abandoned: 1}, {abandoned: 1, completed: 1}))
        parts.append(({"csat_satisfied": 1}, {"csat_answers": 1}))
        # From -1..1 to 0..1: a detractor counts 0, a passive one half, a promoter 1.
        nps = {"nps_answers": 0.5, "nps_promoters": 0.5, "nps_detractors": -0.5}
        parts.append((nps, {"nps_answers": 1}))
        parts.append(({"ces_sum": 1 / _CES_SCALE}, {"ces_answers": 1}))
        parts.append(({FRICTION: 1}, {EVENTS: 1}))
        for funnel in self._net:
            completed, abandoned, _, _ = funnel_counters(funnel)
            net = {abandoned: 1.0, elsewhere_counter(funnel): -1.0}
            parts.append((net, {abandoned: 1, completed: 1}))
        # A moment of one who came earlier makes it no share, but for one rule two are rarely of one visit.
        parts += [({moments_counter(rule): 1}, {SEEN: 1}) for rule in self._rules]
        weights = np.zeros((2, len(self.columns), len(parts)))
        for at, pair in enumerate(parts):
            for side, named in enumerate(pair):
                for name, weight in named.items():
                    weights[side, self.columns[name], at] = weight
        self._used = np.flatnonzero(weights.any(axis=(0, 2)))
        return weights[0, self._used], weights[1, self._used]

    def counted(self, counts: Floats) -> tuple[Floats, Floats]:
        """Numerators and denominators of the counted shares. Shape: segments, shares."""
        some = counts[..., self._used]
        return some @ self._numerators, some @ self._denominators

    def columns_of(self, funnel: str) -> NDArray[np.intp]:
        """Of a funnel's life table, and the openings last."""
        life, opened = self.life[funnel], self.columns[opened_counter(funnel)]
        kinds = (life.completed, life.abandoned, life.lived, life.at_risk, slice(opened, opened + 1))
        return np.concatenate([np.arange(kind.start, kind.stop, dtype=np.intp) for kind in kinds])

    def nowcast_of(self, funnel: str, counts: Floats) -> tuple[Floats, Floats]:
        """Nowcast share x n, and n. Shape: segments."""
        found = nowcast(self.life[funnel].table(counts))
        return found.value * found.n, found.n

    def nowcasts(self, counts: Floats) -> tuple[Floats, Floats]:
        """The same of all funnels. Shape: segments, funnels."""
        found = [self.nowcast_of(funnel, counts) for funnel in self.funnels]
        return _by_funnel([one for one, _ in found], counts), _by_funnel([n for _, n in found], counts)

    def completions(self, counts: Floats) -> Floats:
        """Completions at an age below the timeout. Shape: segments, funnels."""
        return _by_funnel([counts[..., life.completed].sum(axis=-1) for life in self.life.values()], counts)

    def expected(self, counts: Floats, rates: Floats) -> Floats:
        """Completions by the usual rates at the ages of those at risk. Shape: segments, funnels."""
        found = [
            (counts[..., life.at_risk] * rates[..., life.hazards]).sum(axis=-1) for life in self.life.values()
        ]
        return _by_funnel(found, counts)

    def occurrences(self, counts: Floats) -> tuple[Floats, Floats]:
        """All pairs: what occurred and the exposure to it. Shape: segments, pairs."""
        completed = [counts[..., life.completed] for life in self.life.values()]
        at_risk = [counts[..., life.at_risk] for life in self.life.values()]
        shares, n = self.counted(counts)
        nowcasts, nowcast_n = self.nowcasts(counts)
        return (
            np.concatenate([*completed, shares, nowcasts], axis=-1),
            np.concatenate([*at_risk, n, nowcast_n], axis=-1),
        )

    def row(self, counters: Mapping[str, int]) -> Floats:
        """One segment's counts; counters that are not watched are left out."""
        found = np.zeros(len(self.columns))
        for name, count in counters.items():
            at = self.columns.get(name)
            if at is not None:
                found[at] = count
        return found


def _by_funnel(columns: Sequence[Floats], counts: Floats) -> Floats:
    """Side by side; a shop may follow none of the funnels in question."""
    return np.stack(columns, axis=-1) if columns else np.zeros((*counts.shape[:-1], 0))


class Segments:
    """Rows of the segments, in the order in which they were first heard of; and each one's parent."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def fork(self) -> "Segments":
        """The same, to go on by itself."""
        found = Segments()
        found.names, found._rows = list(self.names), dict(self._rows)
        return found

    def row(self, name: str) -> int:
        at = self._rows.get(name)
        if at is None:
            at = self._rows[name] = len(self.names)
            self.names.append(name)
        return at

    def find(self, name: str) -> int | None:
        return self._rows.get(name)

    def making_up(self, where: frozenset[str]) -> list[int]:
        """Rows of the segments that together are all that these dimensions pick out.

        That is one segment where there is one; else those with the fewest dimensions beyond.
        """
        kinds: dict[frozenset[str], list[int]] = {}
        for row, name in enumerate(self.names):
            theirs = dimensions(name)
            if where <= theirs:
                kinds.setdefault(frozenset(each.partition("=")[0] for each in theirs), []).append(row)
        return kinds[min(kinds, key=lambda kind: (len(kind), sorted(kind)))] if kinds else []

    def parents(self, count: int | None = None) -> list[int]:
        """Row of each segment's parent: the same without its last dimension, or the nearest that there is.

        -1 where there is none. ``count``: as it was when there were so many; None: now.
        """
        count = len(self.names) if count is None else count
        return [self._parent(name, count) for name in self.names[:count]]

    def _parent(self, name: str, count: int) -> int:
        while name != ALL:
            name = name.rpartition("|")[0] or ALL
            at = self._rows.get(name, count)
            if at < count:
                return at
        return -1


def counts_of(measures: Measures, segments: Segments, rows: Mapping[str, Mapping[str, int]]) -> Floats:
    """Counts from counters by segment; new segments get rows. Shape: segments, columns."""
    places = [segments.row(name) for name in rows]
    counts = np.zeros((len(segments), len(measures.columns)))
    for at, counters in zip(places, rows.values(), strict=True):
        counts[at] = measures.row(counters)
    return counts


def dimensions(segment: str) -> frozenset[str]:
    """``channel=web`` and ``device=mobile`` of ``channel=web|device=mobile``; nothing of ``all``."""
    return frozenset() if segment == ALL else frozenset(segment.split("|"))


def levels(parents: Sequence[int]) -> list[NDArray[np.intp]]:
    """Rows by their distance from the root: parents come before their children."""
    depth: list[int] = []
    for at in range(len(parents)):
        steps, above = 0, parents[at]
        while above >= 0:
            steps, above = steps + 1, parents[above]
        depth.append(steps)
    found = np.array(depth, dtype=np.intp)
    return [np.flatnonzero(found == level) for level in range(int(found.max(initial=-1)) + 1)]
