"""Which rows of the signals that are sums of counters are to be written, and the rows, of several segments."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.core.buckets import Ints
from pipeline.core.grouped import GroupedRows, buckets_since, hold_any, keys_of, numbered
from pipeline.core.segment_tiles import SegmentTiles
from pipeline.core.signals import SignalColumns, SignalTable
from pipeline.core.window_ends import WINDOWS, Ends, covering, next_end


def signal_rows(
    table: SignalTable, some: Sequence[SegmentTiles], before_ms: int | None, newest_ms: int
) -> Iterator[tuple[Ends, SignalColumns]]:
    """New and changed rows: the ends, and columns over some of them.

    ``before_ms``: the newest watermark when rows were written last; None: they never were.
    """
    sums = [held.sums for held in some]
    for ends in _ends(some, before_ms, newest_ms).pieces():
        windows = ends.segments, ends.starts_ms, ends.ends_ms
        found = GroupedRows(sums, *windows).sums(*windows)
        for columns in table.compute(found, _kept_at_zero(some, ends)):
            yield ends, columns


def _ends(some: Sequence[SegmentTiles], before_ms: int | None, newest_ms: int) -> Ends:
    """Ends whose windows hold a bucket that has changed, or that the newest watermark has come to."""
    dirty = numbered([np.array(sorted(held.dirty), dtype=np.int64) for held in some])
    sums = [held.sums for held in some]
    found = []
    for at, window in enumerate(WINDOWS):
        limit = next_end(newest_ms, window)
        found.append(np.unique(covering(*dirty, at, limit_ms=limit)))
        if before_ms is not None and (known := next_end(before_ms, window)) < limit:
            found.append(np.unique(covering(*buckets_since(sums, known - window.length_ms), at, known, limit)))
    return Ends.of(found)


def _kept_at_zero(some: Sequence[SegmentTiles], ends: Ends) -> dict[str, Ints]:
    """By signal: places in ``ends`` whose row may have been published with a denominator above 0."""
    shrunk: dict[str, list[Ints]] = {}
    for number, held in enumerate(some):
        for signal, buckets in held.shrunk.items():
            keys = keys_of(number, np.array(sorted(buckets), dtype=np.int64))
            shrunk.setdefault(signal, []).append(keys)
    return {
        signal: np.flatnonzero(hold_any(np.concatenate(keys), ends.segments, ends.starts_ms, ends.ends_ms))
        for signal, keys in shrunk.items()
    }
