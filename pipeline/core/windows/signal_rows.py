"""Which rows of the signals that are sums of counters are to be written, and the rows, of several segments."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final, Protocol

import numpy as np

from pipeline.core.statistics import Ints
from pipeline.core.windows.segment_rows import Rows, SegmentRows, buckets_since, hold_any, keys_of, numbered
from pipeline.core.windows.signals import SignalColumns, SignalTable
from pipeline.core.windows.window_ends import WINDOWS, Ends, Reached, covering

_NONE: Final = np.empty(0, dtype=np.int64)


class Counted(Protocol):
    """What is counted of one segment: :class:`pipeline.core.windows.segment_tiles.SegmentTiles`, for one."""

    @property
    def sums(self) -> Rows:
        """Columns as in the table."""
        ...

    @property
    def dirty(self) -> Set[int]:
        """Buckets that have changed since rows of windows that hold them were put out as complete."""
        ...

    @property
    def shrunk(self) -> Mapping[str, Set[int]]:
        """By signal: buckets in which its denominator fell, until all windows that hold them are complete."""
        ...


def signal_rows(
    table: SignalTable, some: Sequence[Counted], reached: Reached, is_correcting: bool
) -> Iterator[tuple[Ends, SignalColumns]]:
    """Rows of the ends newly reached, and of those known whose windows have changed: the ends, and columns over
    some of them. ``is_correcting``: False to leave the latter for another time.
    """
    sums = [held.sums for held in some]
    for ends in _ends(some, reached, is_correcting).pieces():
        windows = ends.segments, ends.starts_ms, ends.ends_ms
        found = SegmentRows(sums, *windows).sums(*windows)
        for columns in table.compute(found, ends.ends_ms - ends.starts_ms, _kept_at_zero(some, ends)):
            yield ends, columns


def _ends(some: Sequence[Counted], reached: Reached, is_correcting: bool) -> Ends:
    dirty = [np.array(sorted(held.dirty), dtype=np.int64) if is_correcting else _NONE for held in some]
    changed = numbered(dirty)
    sums = [held.sums for held in some]
    found = [_NONE]
    for at, window in enumerate(WINDOWS):
        known, limit = reached.known(window), reached.limit(window)
        if known is not None and len(changed[0]):
            found.append(np.unique(covering(*changed, at, limit_ms=known)))
        if limit is not None:
            since_ms = known - window.length_ms if known is not None else None
            found.append(np.unique(covering(*buckets_since(sums, since_ms), at, known, limit)))
    return Ends.of(found)


def _kept_at_zero(some: Sequence[Counted], ends: Ends) -> dict[str, Ints]:
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
