"""Which rows of ``<funnel>_nowcast`` and ``<funnel>_completion_ratio`` are to be written, and the rows.

A nowcast's are the ends that the newest watermark has reached (time at risk is not known before it has
passed), a completion ratio's those that the smallest one has: what was usual must be known. Either has a row
where the window holds an opening or an ending of the funnel and there is something to divide by.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.ages import AgeCounters
from pipeline.core.buckets import Ints
from pipeline.core.detection.scores import Flags
from pipeline.core.exposure import Stretches, life_table
from pipeline.core.nowcast import LifeTable, nowcast
from pipeline.core.segment_tiles import FunnelAges
from pipeline.core.signals import SignalColumns
from pipeline.core.statistics import Floats, ratio_interval
from pipeline.core.window_ends import Window, ends_covering, last_end

_NONE: Final = np.empty(0, dtype=np.int64)
Hazards = Callable[[Ints], Floats | None]
"""What is usual at windows that end then. Shape: ends, bins; None: unknown."""


class Reached(NamedTuple):
    """Watermarks that bound the ends there are rows of: when rows were written last (None: never), and now."""

    before_ms: int | None
    now_ms: int | None

    def known(self, window: Window) -> int | None:
        return last_end(self.before_ms, window) if self.before_ms is not None else None


def age_rows(
    funnel: str,
    counters: AgeCounters,
    ages: FunnelAges,
    window: Window,
    newest: Reached,
    smallest: Reached,
    hazards: Hazards,
) -> Iterator[tuple[Ints, SignalColumns]]:
    """New and changed rows of one funnel and window: their ends, and columns over those ends."""
    now, due = _ends(ages, window, newest), _ends(ages, window, smallest)
    usual = hazards(due)
    if usual is None:
        due = _NONE
    ends = np.union1d(now, due) if len(due) else now
    if not len(ends):
        return
    table = life_table(ages.rows, counters, ends - window.length_ms, ends)
    held = ages.rows.buckets[ages.rows.counts.any(axis=1)]
    covering = np.searchsorted(held, ends) > np.searchsorted(held, ends - window.length_ms)
    if len(now):
        at = np.searchsorted(ends, now)
        yield from _nowcasts(funnel, now, table.at(at), covering[at], _may_be_written(ages, window, newest, now))
    if usual is not None:
        at, written = np.searchsorted(ends, due), _may_be_written(ages, window, smallest, due)
        yield from _ratios(funnel, due, table.at(at), covering[at], usual, written)


def _may_be_written(ages: FunnelAges, window: Window, reached: Reached, ends: Ints) -> Flags:
    """Of which ends a row may have been written: by an earlier emission, or by a run that has crashed since."""
    known = reached.known(window)
    found: Flags = ends <= known if known is not None else np.zeros(len(ends), dtype=bool)
    if ages.passed_ms is not None:
        passed = ends <= last_end(ages.passed_ms, window)
        for from_ms, until_ms in ages.changed.merged():
            found |= passed & (ends > from_ms) & (ends <= until_ms + window.length_ms)
    return found


def _nowcasts(
    funnel: str, ends: Ints, table: LifeTable, covering: Flags, written: Flags
) -> Iterator[tuple[Ints, SignalColumns]]:
    found = nowcast(table)
    n = np.where(covering, found.n, 0.0)
    # A row that may have been written and is no more is taken back.
    rows = np.flatnonzero((n > 0) | written)
    if len(rows):
        empty = n[rows] == 0
        value, lower, upper = (
            np.where(empty, 0.0, each[rows]) for each in (found.value, found.lower, found.upper)
        )
        yield ends, SignalColumns(f"{funnel}_nowcast", rows, value * n[rows], n[rows], value, lower, upper)


def _ratios(
    funnel: str, ends: Ints, table: LifeTable, covering: Flags, usual: Floats, written: Flags
) -> Iterator[tuple[Ints, SignalColumns]]:
    expected = np.where(covering, (table.at_risk_ms * usual).sum(axis=-1), 0.0)
    observed = np.where(expected > 0, table.completed.sum(axis=-1), 0.0)
    rows = np.flatnonzero((expected > 0) | (written & usual.any(axis=-1)))
    if len(rows):
        observed, expected = observed[rows], expected[rows]
        safe = np.where(expected > 0, expected, 1.0)
        lower, upper = ratio_interval(observed, safe)
        empty = expected == 0
        value, lower, upper = (np.where(empty, 0.0, each) for each in (observed / safe, lower, upper))
        signal = f"{funnel}_completion_ratio"
        yield ends, SignalColumns(signal, rows, observed, expected, value, lower, upper)


def _ends(ages: FunnelAges, window: Window, reached: Reached) -> Ints:
    """Ends up to ``limit`` whose windows reach into a time in which something has changed, or that are new."""
    if reached.now_ms is None:
        return _NONE
    known, limit = reached.known(window), last_end(reached.now_ms, window)
    if known == limit and not ages.changed:
        return _NONE
    step, stretches = window.step_ms, Stretches()
    for from_ms, until_ms in ages.changed.merged():
        stretches.add(last_end(from_ms, window) + step, until_ms + window.length_ms)
    found = [
        np.arange(first, min(until, limit + 1), step) for first, until in stretches.merged() if first <= limit
    ]
    if known is None or known < limit:
        buckets = ages.rows.buckets
        since = buckets if known is None else buckets[np.searchsorted(buckets, known - window.length_ms) :]
        found.append(ends_covering(since, window, known, limit))
    return np.unique(np.concatenate(found)) if found else _NONE
