"""Which rows of ``<funnel>_nowcast`` are to be written, and the rows.

There is one for each end that the newest watermark has reached (time at risk is not known before it has
passed) and whose window holds an opening or an ending of the funnel, where every age that matters was seen.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from pipeline.core.ages import AgeCounters
from pipeline.core.buckets import Ints
from pipeline.core.exposure import Stretches, life_table
from pipeline.core.nowcast import nowcast
from pipeline.core.segment_tiles import FunnelAges
from pipeline.core.signals import SignalColumns
from pipeline.core.window_ends import Window, ends_covering, last_end

_NONE: Final = np.empty(0, dtype=np.int64)


def nowcast_rows(
    funnel: str, counters: AgeCounters, ages: FunnelAges, window: Window, before_ms: int | None, newest_ms: int
) -> Iterator[tuple[Ints, SignalColumns]]:
    """New and changed rows of one funnel and window: their ends, and columns over those ends.

    ``before_ms``: the newest watermark when rows were written last; None: never.
    """
    limit = last_end(newest_ms, window)
    known = last_end(before_ms, window) if before_ms is not None else None
    if known == limit and not ages.changed:
        return
    ends = _ends(ages, window, known, limit)
    if not len(ends):
        return
    table = life_table(ages.rows, counters, ends - window.length_ms, ends)
    found = nowcast(table)
    held = ages.rows.buckets[ages.rows.counts.any(axis=1)]
    covering = np.searchsorted(held, ends) > np.searchsorted(held, ends - window.length_ms)
    n = np.where(covering, found.n, 0.0)
    # A row that may have been written and is no more is taken back.
    rows = np.flatnonzero((n > 0) | (ends <= known) if known is not None else n > 0)
    if len(rows):
        empty = n[rows] == 0
        value, lower, upper = (
            np.where(empty, 0.0, each[rows]) for each in (found.value, found.lower, found.upper)
        )
        yield ends, SignalColumns(f"{funnel}_nowcast", rows, value * n[rows], n[rows], value, lower, upper)


def _ends(ages: FunnelAges, window: Window, known: int | None, limit: int) -> Ints:
    """Ends up to ``limit`` whose windows reach into a time in which something has changed, or that are new."""
    step, stretches = window.step_ms, Stretches()
    for from_ms, until_ms in ages.changed.merged():
        stretches.add(last_end(from_ms, window) + step, until_ms + window.length_ms)
    found = [
        np.arange(first, min(until, limit + 1), step) for first, until in stretches.merged() if first <= limit
    ]
    if known is not None and known < limit:
        buckets = ages.rows.buckets
        since = buckets[np.searchsorted(buckets, known - window.length_ms) :]
        found.append(ends_covering(since, window, known, limit))
    return np.unique(np.concatenate(found)) if found else _NONE
