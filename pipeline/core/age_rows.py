"""Which rows of ``<funnel>_nowcast`` and ``<funnel>_completion_ratio`` are to be written, and the rows.

A nowcast's are the ends that the newest watermark has reached (time at risk is not known before it has
passed), a completion ratio's those that the smallest one has: what was usual must be known. Either has a row
where the window holds an opening or an ending of the funnel and there is something to divide by.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.ages import AgeCounters
from pipeline.core.buckets import Ints
from pipeline.core.detection.scores import Flags
from pipeline.core.exposure import life_tables, look_back_ms
from pipeline.core.grouped import GroupedRows, buckets_since, hold_any, keys_of, spread
from pipeline.core.nowcast import LifeTable, nowcast
from pipeline.core.segment_tiles import FunnelAges
from pipeline.core.signals import SignalColumns
from pipeline.core.statistics import Floats, ratio_interval
from pipeline.core.window_ends import WINDOWS, Ends, Window, covering, last_end

_NONE: Final = np.empty(0, dtype=np.int64)
_STEPS_MS: Final = np.array([window.step_ms for window in WINDOWS], dtype=np.int64)
Hazards = Callable[[Ints, Ints], Floats]
"""What is usual for the segments of these numbers in windows that end then; 0: unknown. Shape: ends, bins."""


class Reached(NamedTuple):
    """Watermarks that bound the ends there are rows of: when rows were written last (None: never), and now."""

    before_ms: int | None
    now_ms: int | None

    def known(self, window: Window) -> int | None:
        return last_end(self.before_ms, window) if self.before_ms is not None else None


def age_rows(
    funnel: str,
    counters: AgeCounters,
    some: Sequence[FunnelAges],
    newest: Reached,
    smallest: Reached,
    hazards: Hazards,
) -> Iterator[tuple[Ends, SignalColumns]]:
    """New and changed rows of one funnel in several segments: their ends, and columns over some of them."""
    changed = _Changed(some)
    all_now, all_due = changed.ends(newest), changed.ends(smallest)
    rows = [ages.rows for ages in some]
    for ends in Ends.of([all_now.keys, all_due.keys]).pieces():
        now, due = all_now.among(ends), all_due.among(ends)
        windows = ends.segments, ends.starts_ms, ends.ends_ms
        grouped = GroupedRows(rows, *windows, look_back_ms(counters))
        table = life_tables(grouped, counters, *windows)
        is_covering = hold_any(grouped.keys[grouped.counts.any(axis=1)], *windows)
        if len(now):
            at, written = ends.places_of(now), changed.may_be_written(newest, now)
            yield from _nowcasts(funnel, now, table.at(at), is_covering[at], written)
        if len(due) and (usual := hazards(due.segments, due.ends_ms)).any():
            at, written = ends.places_of(due), changed.may_be_written(smallest, due)
            yield from _ratios(funnel, due, table.at(at), is_covering[at], usual, written)


class _Changed:
    """The times in which something has changed, of several segments."""

    def __init__(self, some: Sequence[FunnelAges]) -> None:
        self._some = some
        merged = [ages.changed.merged() for ages in some]
        found = np.array([each for one in merged for each in one], dtype=np.int64).reshape(-1, 2)
        self._segments = np.arange(len(some), dtype=np.int64).repeat([len(one) for one in merged])
        self._from_ms, self._until_ms = found[:, 0], found[:, 1]

    def ends(self, reached: Reached) -> Ends:
        """Those reached whose windows reach into a time in which something has changed, or that are new."""
        rows, found = [ages.rows for ages in self._some], [_NONE]
        for at, window in enumerate(WINDOWS):
            if reached.now_ms is None:
                continue
            known, limit = reached.known(window), last_end(reached.now_ms, window)
            if len(self._segments):
                step = window.step_ms
                first = (self._from_ms // step + 1) * step
                last = np.minimum(self._until_ms + window.length_ms - 1, limit)
                found.append(np.unique(spread(self._segments * len(WINDOWS) + at, first, last, step)))
            if known is None or known < limit:
                from_ms = known - window.length_ms if known is not None else None
                found.append(np.unique(covering(*buckets_since(rows, from_ms), at, known, limit)))
        return Ends.of(found)

    def may_be_written(self, reached: Reached, ends: Ends) -> Flags:
        """Of which ends a row may be written: by an earlier emission, or by a run that has crashed since."""
        found: Flags = np.zeros(len(ends), dtype=bool)
        if reached.before_ms is not None:
            known = np.array([last_end(reached.before_ms, window) for window in WINDOWS])
            found |= ends.ends_ms <= known[ends.windows]
        has_passed = np.array([ages.passed_ms is not None for ages in self._some])
        if has_passed.any():
            passed_ms = np.array([ages.passed_ms or 0 for ages in self._some], dtype=np.int64)[ends.segments]
            last_ends = passed_ms - passed_ms % _STEPS_MS[ends.windows]
            found |= has_passed[ends.segments] & (ends.ends_ms <= last_ends) & self._touch(ends)
        return found

    def _touch(self, ends: Ends) -> Flags:
        """Whether a window reaches into a time in which something has changed: from < end, start <= until."""
        # As the stretches of a segment are ascending and apart, so many more have begun than have ended.
        begun = keys_of(self._segments, self._from_ms).searchsorted(keys_of(ends.segments, ends.ends_ms))
        ended = keys_of(self._segments, self._until_ms).searchsorted(keys_of(ends.segments, ends.starts_ms))
        found: Flags = begun > ended
        return found


def _nowcasts(
    funnel: str, ends: Ends, table: LifeTable, covering: Flags, written: Flags
) -> Iterator[tuple[Ends, SignalColumns]]:
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
    funnel: str, ends: Ends, table: LifeTable, covering: Flags, usual: Floats, written: Flags
) -> Iterator[tuple[Ends, SignalColumns]]:
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
