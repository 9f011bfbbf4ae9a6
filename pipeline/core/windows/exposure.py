"""The period life table of a window from a funnel's counts by bucket of entry and by bucket of exit.

Every opening and ending counts as at the middle of its 10 s bucket. The number of journeys at risk in a bin
of age is then a balance of flows: those that have reached the bin's lower edge, less those that have
reached its upper edge, less those that ended in it; each is a running count of openings less endings by
bucket of entry, looked at one edge earlier. Time at risk within a window is that number's integral, so it
takes two running sums and no look at any single journey.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.life_tables import LifeTable
from pipeline.core.statistics import Floats, Ints
from pipeline.core.windows.buckets import BucketRows
from pipeline.core.windows.segment_rows import SegmentRows, groups_of, keys_of, running_sums
from pipeline.model.ages import AgeCounters
from pipeline.model.tiles import BUCKET_MS, is_by_step

_MIDDLE_MS: Final = BUCKET_MS // 2
_SLACK_MS: Final = 2 * BUCKET_MS


class Effect(NamedTuple):
    """Where a count is kept, and which time its change has an effect on, from its bucket's start on."""

    funnel: str
    column: int
    from_ms: int
    until_ms: int


class _IsUntabled(dict[str, bool]):
    """Worked out once for each of the few names there are: asked for every counter of every tile."""

    def __init__(self, openings: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(openings, True))

    def __missing__(self, counter: str) -> bool:
        self[counter] = found = is_by_step(counter)
        return found


class AgeLayout:
    """Columns of each funnel's counts by age: opened, then left, completed, abandoned, lived by bin."""

    def __init__(self, ages: Mapping[str, AgeCounters]) -> None:
        self.ages: Final = dict(ages)
        self.longest_timeout_ms: Final = max(each.edges_ms[-1] for each in ages.values())
        self.is_untabled: Final = _IsUntabled(each.opened for each in ages.values())
        """By counter: whether it is an opening or counted by step, so that no column holds it."""
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


def look_back_ms(ages: AgeCounters) -> int:
    """How far before its start a window's life table needs what was counted."""
    return ages.edges_ms[-1] + _SLACK_MS


def life_tables(rows: SegmentRows, ages: AgeCounters, groups: Ints, starts_ms: Ints, ends_ms: Ints) -> LifeTable:
    """Of each window [start, end) of its group. Shape of the arrays: windows, bins.

    ``rows`` must hold what these windows need, with :func:`look_back_ms`.
    """
    edges = np.array(ages.edges_ms, dtype=np.int64)
    bins = len(edges) - 1
    left, by_exit = rows.counts[:, 1 : 1 + bins], rows.counts[:, 1 + bins :]
    ended = by_exit[:, :bins] + by_exit[:, bins : 2 * bins]
    # Small numbers: what is summed up below is then far from 64 bits.
    origin = int(starts_ms.min())
    middles = rows.buckets - origin + _MIDDLE_MS
    starts, ends = (starts_ms - origin)[:, None], (ends_ms - origin)[:, None]

    reached = np.empty((len(left), bins + 1), dtype=np.int64)
    reached[:, 0] = rows.counts[:, 0]
    np.subtract(rows.counts[:, :1], left.cumsum(axis=1), out=reached[:, 1:])
    entries = _Running(rows, middles, reached)
    inflow = entries.between(groups, starts - edges, ends - edges)
    endings = _Running(rows, middles, ended)
    outflow = endings.between(groups, starts, ends)
    at_risk = _unopened(rows, bins)[groups] * (ends - starts) + inflow[:, :-1] - inflow[:, 1:] - outflow

    exits = rows.sums_of(by_exit, groups, starts_ms, ends_ms)
    completed, abandoned, lived = (_floats(exits[:, n * bins : (n + 1) * bins]) for n in range(3))
    return LifeTable(completed, abandoned, lived, _floats(np.maximum(at_risk, 0)), _floats(np.diff(edges)))


def _unopened(rows: SegmentRows, bins: int) -> Ints:
    """Endings of journeys opened before the group's first row: they left a bin that they never entered here.

    Shape: groups, bins. All rows from the first one on count, for an opening may come long before its ending.
    """
    running = running_sums(_balance(rows.counts, bins))
    within: Ints = running[rows.begins[1:]] - running[rows.begins[:-1]]
    return within + _balance(rows.after(), bins)


def _balance(counts: Ints, bins: int) -> Ints:
    """Endings in each bin by bucket of ending, less the same by bucket of entry."""
    left, by_exit = counts[:, 1 : 1 + bins], counts[:, 1 + bins :]
    found: Ints = by_exit[:, :bins] + by_exit[:, bins : 2 * bins] - left
    return found


class _Running:
    """Running counts of columns over time, and their integrals."""

    def __init__(self, rows: SegmentRows, times: Ints, counts: Ints) -> None:
        self._begins = rows.begins
        self._keys = keys_of(groups_of(rows.keys), times)
        self._sum = running_sums(counts)
        self._moment = running_sums(counts * times[:, None])
        self._columns = np.arange(counts.shape[1])

    def between(self, groups: Ints, starts: Ints, ends: Ints) -> Ints:
        """Integral of each column's running count, between times of its own.

        Shape of ``starts`` and ``ends``: groups, columns or 1.
        """
        # What the group's first row begins with is in both integrals; only with the time does it count.
        first = self._keys.searchsorted(keys_of(groups[:, None], starts))
        last = self._keys.searchsorted(keys_of(groups[:, None], ends))
        begin = self._sum[self._begins[groups]]
        upper = ends * (self._sum[last, self._columns] - begin) - self._moment[last, self._columns]
        lower = starts * (self._sum[first, self._columns] - begin) - self._moment[first, self._columns]
        found: Ints = upper - lower
        return found


def _floats(counts: Ints) -> Floats:
    return counts.astype(np.float64)
