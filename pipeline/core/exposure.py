"""The period life table of a window from a funnel's counts by bucket of entry and by bucket of exit.

Every opening and ending counts as at the middle of its 10 s bucket. The number of journeys at risk in a bin
of age is then a balance of flows: those that have reached the bin's lower edge, less those that have
reached its upper edge, less those that ended in it; each is a running count of openings less endings by
bucket of entry, looked at one edge earlier. Time at risk within a window is that number's integral, so it
takes two running sums and no look at any single journey.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.ages import AgeCounters
from pipeline.core.buckets import BucketRows, Ints
from pipeline.core.nowcast import LifeTable
from pipeline.core.statistics import Floats
from pipeline.core.tiles import BUCKET_MS

_MIDDLE_MS: Final = BUCKET_MS // 2
_SLACK_MS: Final = 2 * BUCKET_MS


class Effect(NamedTuple):
    """Where a count is kept, and which time its change has an effect on, from its bucket's start on."""

    funnel: str
    column: int
    from_ms: int
    until_ms: int


class AgeLayout:
    """Columns of each funnel's counts by age: opened, then left, completed, abandoned, lived by bin."""

    def __init__(self, ages: Mapping[str, AgeCounters]) -> None:
        self.ages: Final = dict(ages)
        self.longest_timeout_ms: Final = max(each.edges_ms[-1] for each in ages.values())
        self.openings: Final = frozenset(each.opened for each in ages.values())
        self.effects: Final[dict[str, Effect]] = {}
        for funnel, each in self.ages.items():
            edges = each.edges_ms
            timeout_ms = edges[-1] + _SLACK_MS
            self.effects[each.opened] = Effect(funnel, 0, 0, timeout_ms)
            bins = len(edges) - 1
            for at, name in enumerate(each.left):
                self.effects[name] = Effect(funnel, 1 + at, edges[at + 1], timeout_ms)
            for kind, names in enumerate((each.completed, each.abandoned, each.lived), start=1):
                for at, name in enumerate(names):
                    width_ms = edges[at + 1] - edges[at] + _SLACK_MS
                    self.effects[name] = Effect(funnel, 1 + kind * bins + at, 0, width_ms)

    def new_rows(self, funnel: str) -> BucketRows:
        return BucketRows(1 + 4 * (len(self.ages[funnel].edges_ms) - 1))


class Stretches:
    """Stretches of time [from, until), ms, put together where they meet."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, from_ms: int, until_ms: int) -> None:
        if self._found:
            first, last = self._found[-1]
            if first <= until_ms and from_ms <= last:
                self._found[-1] = (min(first, from_ms), max(last, until_ms))
                return
        self._found.append((from_ms, until_ms))

    def merged(self) -> list[tuple[int, int]]:
        """Ascending, none touching another."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(self._found):
            if merged and first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return merged


def life_table(rows: BucketRows, ages: AgeCounters, starts_ms: Ints, ends_ms: Ints) -> LifeTable:
    """Of each window [start, end). Shape of its arrays: windows, bins.

    ``rows`` must hold everything from the earliest start less the timeout on.
    """
    edges = np.array(ages.edges_ms, dtype=np.int64)
    bins = len(edges) - 1
    first = int(np.searchsorted(rows.buckets, int(starts_ms.min()) - int(edges[-1]) - _SLACK_MS))
    last = int(np.searchsorted(rows.buckets, int(ends_ms.max())))
    counts = rows.counts[first:]
    left, by_exit = counts[:, 1 : 1 + bins], counts[:, 1 + bins :]
    ended = by_exit[:, :bins] + by_exit[:, bins : 2 * bins]
    # Endings of journeys opened before the first row: they left a bin that they never entered here.
    unopened = ended.sum(axis=0) - left.sum(axis=0)
    counts, left, by_exit, ended = (each[: last - first] for each in (counts, left, by_exit, ended))
    origin = int(starts_ms.min())
    middles = rows.buckets[first:last] - origin + _MIDDLE_MS
    starts, ends = starts_ms - origin, ends_ms - origin

    reached = np.empty((len(counts), bins + 1), dtype=np.int64)
    reached[:, 0] = counts[:, 0]
    np.subtract(counts[:, :1], np.cumsum(left, axis=1), out=reached[:, 1:])
    entries = _Running(middles, reached)
    inflow = entries.integral(ends[:, None] - edges) - entries.integral(starts[:, None] - edges)
    endings = _Running(middles, ended)
    to_end, to_start = np.repeat(ends[:, None], bins, axis=1), np.repeat(starts[:, None], bins, axis=1)
    outflow = endings.integral(to_end) - endings.integral(to_start)
    at_risk = unopened * (ends - starts)[:, None] + inflow[:, :-1] - inflow[:, 1:] - outflow

    within = np.zeros((len(by_exit) + 1, 3 * bins), dtype=np.int64)
    np.cumsum(by_exit, axis=0, out=within[1:])
    exits = within[np.searchsorted(middles, ends)] - within[np.searchsorted(middles, starts)]
    completed, abandoned, lived = (_floats(exits[:, n * bins : (n + 1) * bins]) for n in range(3))
    return LifeTable(completed, abandoned, lived, _floats(np.maximum(at_risk, 0)), _floats(np.diff(edges)))


class _Running:
    """Running counts of columns over time, and their integrals."""

    def __init__(self, times: Ints, counts: Ints) -> None:
        self._times = times
        self._sum = _running_sum(counts)
        self._moment = _running_sum(counts * times[:, None])
        self._columns = np.arange(counts.shape[1])

    def integral(self, until: Ints) -> Ints:
        """Of each column's running count up to a time of its own (shape: any, columns)."""
        at = np.searchsorted(self._times, until)
        found: Ints = until * self._sum[at, self._columns] - self._moment[at, self._columns]
        return found


def _running_sum(counts: Ints) -> Ints:
    found = np.zeros((len(counts) + 1, counts.shape[1]), dtype=np.int64)
    np.cumsum(counts, axis=0, out=found[1:])
    return found


def _floats(counts: Ints) -> Floats:
    return counts.astype(np.float64)
