"""Which rows of ``<funnel>_nowcast`` and ``<funnel>_completion_ratio`` are to be written, and the rows.

A nowcast's are the ends of all signals, a completion ratio's those of which it is known what is usual. Either
has a row where the window holds an opening or an ending of the funnel and there is something to divide by.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.life_tables import LifeTable, nowcast
from pipeline.core.statistics import Floats, Ints, ratio_interval
from pipeline.core.usual.scores import Flags
from pipeline.core.windows.exposure import life_tables, look_back_ms
from pipeline.core.windows.segment_rows import SegmentRows, buckets_since, hold_any, spread
from pipeline.core.windows.segment_tiles import FunnelAges
from pipeline.core.windows.signals import SignalColumns
from pipeline.core.windows.window_ends import WINDOWS, Ends, Reached, covering
from pipeline.model.ages import AgeCounters
from pipeline.model.signals import Kind, name_of

_NONE: Final = np.empty(0, dtype=np.int64)
_NEVER_MS: Final = -(1 << 62)
Hazards = Callable[[Ints, Ints], Floats]
"""What is usual for the segments of these numbers in windows that end then; 0: unknown. Shape: ends, bins."""


class Turn(NamedTuple):
    """Which ends a kind of row is asked of."""

    reached: Reached
    is_correcting: bool
    """Whether ends known are asked of too, where something has changed."""
    told_ms: int | None
    """Rows of ends up to it may have been put out: as not complete, or by a run that has crashed since."""


def age_rows(
    funnel: str,
    counters: AgeCounters,
    some: Sequence[FunnelAges],
    nowcasts: Turn,
    ratios: Turn,
    hazards: Hazards,
) -> Iterator[tuple[Ends, SignalColumns]]:
    """New and changed rows of one funnel in several segments: their ends, and columns over some of them."""
    changed = _Changed(some)
    all_now, all_due = changed.ends(nowcasts), changed.ends(ratios)
    rows = [ages.rows for ages in some]
    for ends in Ends.of([all_now.keys, all_due.keys]).pieces():
        now, due = all_now.among(ends), all_due.among(ends)
        windows = ends.segments, ends.starts_ms, ends.ends_ms
        grouped = SegmentRows(rows, *windows, look_back_ms(counters))
        table = life_tables(grouped, counters, *windows)
        is_covering = hold_any(grouped.keys[grouped.counts.any(axis=1)], *windows)
        if len(now):
            at, written = ends.places_of(now), _may_be_written(nowcasts, now)
            yield from _nowcasts(funnel, now, table.at(at), is_covering[at], written)
        if len(due) and (usual := hazards(due.segments, due.ends_ms)).any():
            at, written = ends.places_of(due), _may_be_written(ratios, due)
            yield from _ratios(funnel, due, table.at(at), is_covering[at], usual, written)


class _Changed:
    """The times in which something has changed, of several segments."""

    def __init__(self, some: Sequence[FunnelAges]) -> None:
        self._some = some
        merged = [ages.changed.merged() for ages in some]
        found = np.array([each for one in merged for each in one], dtype=np.int64).reshape(-1, 2)
        self._segments = np.arange(len(some), dtype=np.int64).repeat([len(one) for one in merged])
        self._from_ms, self._until_ms = found[:, 0], found[:, 1]

    def ends(self, turn: Turn) -> Ends:
        """Those newly reached, and those known whose windows reach into a time in which something has changed."""
        rows, found = [ages.rows for ages in self._some], [_NONE]
        for at, window in enumerate(WINDOWS):
            known, limit = turn.reached.known(window), turn.reached.limit(window)
            if turn.is_correcting and known is not None and len(self._segments):
                step = window.step_ms
                first = (self._from_ms // step + 1) * step
                last = np.minimum(self._until_ms + window.length_ms - 1, known)
                found.append(np.unique(spread(self._segments * len(WINDOWS) + at, first, last, step)))
            if limit is not None:
                since_ms = known - window.length_ms if known is not None else None
                found.append(np.unique(covering(*buckets_since(rows, since_ms), at, known, limit)))
        return Ends.of(found)


def _may_be_written(turn: Turn, ends: Ends) -> Flags:
    """Of which ends a row may have been put out."""
    known = np.array([turn.reached.known(window) or _NEVER_MS for window in WINDOWS])[ends.windows]
    if turn.told_ms is not None:
        known = np.maximum(known, turn.told_ms)
    found: Flags = ends.ends_ms <= known
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
        yield (
            ends,
            SignalColumns(name_of(funnel, Kind.NOWCAST), rows, value * n[rows], n[rows], value, lower, upper),
        )


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
        signal = name_of(funnel, Kind.COMPLETION_RATIO)
        yield ends, SignalColumns(signal, rows, observed, expected, value, lower, upper)
