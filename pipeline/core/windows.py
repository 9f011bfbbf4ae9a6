"""Phase two: the tiles of all sources merged per segment into rolling windows.

A source is one touchpoint partition (``topic:partition``). A tile replaces the one held for the same
segment, bucket and source if its version is higher; a window is the sum of its buckets. Which rows
exist follows DESIGN.md, section 2.3: every window end that covers data, up to the first boundary
after the newest watermark of the sources.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.cuts import MINUTE_MS
from pipeline.core.records import GENERATION_SHIFT
from pipeline.core.signals import Ints, SignalColumns, SignalTable
from pipeline.core.tiles import BUCKET_MS, Counters


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window of ``length_ms``, covering [end - length, end), ending on every ``step_ms``."""

    name: str
    length_ms: int
    step_ms: int


WINDOWS: Final = (
    Window("1m", 60_000, 10_000),
    Window("5m", 300_000, 10_000),
    Window("15m", 900_000, 60_000),
    Window("1h", 3_600_000, 60_000),
)
LONGEST_WINDOW_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class SignalRows:
    """One signal of one segment and window: parallel columns, ends in ms since the epoch."""

    segment: str
    window: str
    version: int
    ends_ms: Ints
    columns: SignalColumns


class SegmentTiles:
    """What is held of one segment: tiles by bucket and source, and their sum per bucket."""

    def __init__(self, table: SignalTable) -> None:
        self._table = table
        self._tiles: dict[int, dict[str, tuple[int, Counters]]] = {}
        self._rows: dict[int, int] = {}
        """Row of each bucket in the two arrays, which are in order of time once ``_settle`` was called."""
        self._buckets = np.empty(16, dtype=np.int64)
        self._sums = np.zeros((16, table.width), dtype=np.int64)
        self._in_order = True
        self.dirty: set[int] = set()
        self.shrunk: dict[str, set[int]] = {}
        """By signal: buckets in which its denominator fell."""

    def tiles_in(self, buckets: Iterable[int]) -> list[tuple[int, dict[str, tuple[int, Counters]]]]:
        """Of the buckets that are held: the bucket, and by source the version and counters."""
        return [(bucket, self._tiles[bucket]) for bucket in buckets if bucket in self._tiles]

    def forget_changes(self) -> None:
        """All rows have been put out as they are now."""
        self.dirty.clear()
        self.shrunk.clear()

    @property
    def buckets(self) -> Ints:
        """Buckets held, ascending, in ms."""
        self._settle()
        return self._buckets[: len(self._rows)]

    def put(self, bucket_ms: int, source: str, version: int, counters: Counters) -> None:
        """Take a tile, unless one as new is held."""
        held = self._tiles.setdefault(bucket_ms, {})
        old_version, old = held.get(source, (-1, {}))
        if version <= old_version:
            return
        held[source] = (version, counters)
        at = self._row(bucket_ms)  # first: it may move the sums
        row = self._sums[at]
        self._table.add(row, old, sign=-1)
        self._table.add(row, counters)
        for signal in self._table.shrunk(old, counters) if old else ():
            self.shrunk.setdefault(signal, set()).add(bucket_ms)
        self.dirty.add(bucket_ms)

    def window_sums(self, window: Window, ends_ms: Ints) -> Ints:
        """Sums of the buckets in each window; ``ends_ms`` ascending. Shape: ends, width."""
        first = np.searchsorted(self.buckets, ends_ms - window.length_ms)
        last = np.searchsorted(self.buckets, ends_ms)
        low, high = int(first[0]), int(last[-1])
        running = np.zeros((high - low + 1, self._table.width), dtype=np.int64)
        np.cumsum(self._sums[low:high], axis=0, out=running[1:])
        result: Ints = running[last - low] - running[first - low]
        return result

    def forget(self, before_ms: int) -> list[int]:
        """Drop the buckets that end at or before the time, and say which."""
        count = int(np.searchsorted(self.buckets, before_ms - BUCKET_MS, side="right"))
        dropped: list[int] = self.buckets[:count].tolist()
        for bucket in dropped:
            del self._tiles[bucket]
        self._keep(np.arange(count, len(self._rows)))
        return dropped

    def _row(self, bucket_ms: int) -> int:
        at = self._rows.get(bucket_ms)
        if at is None:
            at = len(self._rows)
            if at == len(self._buckets):
                self._buckets = np.concatenate([self._buckets, np.empty(at, dtype=np.int64)])
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._in_order = self._in_order and (at == 0 or bool(bucket_ms > self._buckets[at - 1]))
            self._buckets[at] = bucket_ms
            self._sums[at] = 0
            self._rows[bucket_ms] = at
        return at

    def _settle(self) -> None:
        # Tiles of history come source by source: sorting once before the rows are read, instead of
        # making room for each, takes a replayed month from 40 s to 2 s.
        if not self._in_order:
            self._keep(np.argsort(self._buckets[: len(self._rows)]))
            self._in_order = True

    def _keep(self, order: Ints) -> None:
        """Keep these rows, in this order."""
        room = max(16, len(order))
        buckets, sums = np.empty(room, dtype=np.int64), np.zeros((room, self._table.width), dtype=np.int64)
        buckets[: len(order)], sums[: len(order)] = self._buckets[order], self._sums[order]
        self._buckets, self._sums = buckets, sums
        self._rows = {bucket: at for at, bucket in enumerate(buckets[: len(order)].tolist())}


class Forgotten:
    """Stretches of event time in which buckets were dropped, longest windows apart."""

    def __init__(self, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self.stretches: list[tuple[int, int]] = list(stretches)

    def add(self, buckets: list[int]) -> None:
        stretches = sorted([*self.stretches, *((bucket, bucket) for bucket in buckets)])
        self.stretches = stretches[:1]
        for first, last in stretches[1:]:
            if first - self.stretches[-1][1] <= LONGEST_WINDOW_MS:
                first_before, last_before = self.stretches[-1]
                self.stretches[-1] = (first_before, max(last, last_before))
            else:
                self.stretches.append((first, last))

    def touches(self, bucket_ms: int) -> bool:
        """Whether a window can hold both this bucket and a dropped one."""
        # They are in order and further apart than a window: only the two around it can.
        at = bisect_right(self.stretches, (bucket_ms, bucket_ms))
        reach = LONGEST_WINDOW_MS
        near = self.stretches[max(0, at - 1) : at + 1]
        return any(first - reach < bucket_ms < last + reach for first, last in near)


class Windows:
    """State of phase two for the segments of one partition of ``cx.tiles``."""

    def __init__(self, table: SignalTable, lateness_ms: int, generation: int = 0, sources: int = 0) -> None:
        """``sources``: how many there are, heard of or not."""
        self._table = table
        self._lateness_ms = lateness_ms
        self.first_version = generation << GENERATION_SHIFT
        self._sources = sources
        self.versions: dict[str, int] = {}
        """By source: the highest version received."""
        self.watermarks: dict[str, int] = {}
        """By source, ms."""
        self.segments: dict[str, SegmentTiles] = {}
        self.refused = 0
        """Tiles of a source first heard of when what they belong to had been dropped."""
        self.forgotten = Forgotten()
        self.newest_ms: int | None = None
        """The newest watermark at the last emission."""
        self.changed_minutes: set[int] = set()
        """Minutes of event time whose tiles have changed since the last cut, by their start."""
        self.in_minute: dict[int, set[str]] = {}
        """By minute, the segments with tiles in it; those forgotten are taken out by the next cut."""

    def merge(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        tiles: Iterable[tuple[str, int, Counters]],
    ) -> None:
        """Take what one source sent after one batch: its watermark and its changed tiles.

        What is left in the topic from an earlier generation is passed over: that log is told anew.
        """
        if version < self.first_version:
            return
        self.versions[source] = max(version, self.versions.get(source, version))
        if watermark_ms is not None:
            self.watermarks[source] = watermark_ms
        for segment, bucket_ms, counters in tiles:
            if self.forgotten.touches(bucket_ms):
                # Merged with nothing it would replace the rows of the whole (law 5).
                self.refused += 1
                continue
            self.held(segment).put(bucket_ms, source, version, counters)
            minute = bucket_ms - bucket_ms % MINUTE_MS
            self.changed_minutes.add(minute)
            self.in_minute.setdefault(minute, set()).add(segment)

    @property
    def version(self) -> int:
        """Of a row as it is now: the sum over all sources.

        One not heard of counts as standing at the beginning of its log. Else the first rows of a new
        generation, made from few sources, would lose to older ones made from many.
        """
        unheard = max(0, self._sources - len(self.versions))
        return sum(self.versions.values()) + unheard * self.first_version

    def held(self, segment: str) -> SegmentTiles:
        """What is held of a segment, new where there is nothing yet."""
        found = self.segments.get(segment)
        if found is None:
            found = self.segments[segment] = SegmentTiles(self._table)
        return found

    def emit(self) -> Iterator[SignalRows]:
        """Every row that is new or has changed since the last call."""
        if not self.watermarks:
            return
        newest = max(self.watermarks.values())
        before = self.newest_ms
        self.newest_ms = newest if before is None else max(before, newest)
        for name, held in self.segments.items():
            if held.dirty or self._may_gain_rows(held, before):
                for window in WINDOWS:
                    yield from self._rows(name, held, window, before)
                held.forget_changes()

    def _may_gain_rows(self, held: SegmentTiles, before_ms: int | None) -> bool:
        if before_ms is None or before_ms == self.newest_ms or not len(held.buckets):
            return False
        return bool(held.buckets[-1] > before_ms - LONGEST_WINDOW_MS - BUCKET_MS)

    def _rows(
        self, segment: str, held: SegmentTiles, window: Window, before_ms: int | None
    ) -> Iterator[SignalRows]:
        assert self.newest_ms is not None
        limit = _limit(self.newest_ms, window)
        dirty = np.array(sorted(held.dirty), dtype=np.int64)
        ends = _ends_covering(dirty, window, None, limit)
        if before_ms is not None and (known := _limit(before_ms, window)) < limit:
            since = held.buckets[np.searchsorted(held.buckets, known - window.length_ms) :]
            ends = np.union1d(ends, _ends_covering(since, window, known, limit))
        if not len(ends):
            return
        sums = held.window_sums(window, ends)
        for columns in self._table.compute(sums, _kept_at_zero(held, window, ends)):
            yield SignalRows(segment, window.name, self.version, ends[columns.rows], columns)

    def horizon_ms(self) -> int | None:
        """Buckets that end before it can be forgotten: no source heard of can change their windows."""
        if not self.watermarks:
            return None
        return min(self.watermarks.values()) - self._lateness_ms - LONGEST_WINDOW_MS

    def forget(self, horizon_ms: int) -> None:
        """Drop the buckets that end at or before the horizon."""
        dropped: set[int] = set()
        for name in [n for n, h in self.segments.items() if h.buckets[0] + BUCKET_MS <= horizon_ms]:
            held = self.segments[name]
            dropped.update(held.forget(horizon_ms))
            if not len(held.buckets):
                del self.segments[name]
        if dropped:
            self.forgotten.add(sorted(dropped))
            self.changed_minutes.update(bucket - bucket % MINUTE_MS for bucket in dropped)


def _limit(watermark_ms: int, window: Window) -> int:
    """The first boundary after the watermark."""
    return watermark_ms - watermark_ms % window.step_ms + window.step_ms


def _ends_covering(buckets: Ints, window: Window, after_ms: int | None, limit_ms: int) -> Ints:
    """Window ends in (after, limit] whose window holds one of the buckets; ascending."""
    step = window.step_ms
    first = -(-(buckets + BUCKET_MS) // step) * step
    if after_ms is not None:
        first = np.maximum(first, after_ms + step)
    last = np.minimum((buckets + window.length_ms) // step * step, limit_ms)
    counts = np.maximum((last - first) // step + 1, 0)
    starts = np.repeat(first, counts)
    nth = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(starts + nth * step)


def _kept_at_zero(held: SegmentTiles, window: Window, ends: Ints) -> dict[str, Ints]:
    """By signal: places in ``ends`` whose row may have been published with a denominator above 0."""
    kept = {}
    for signal, buckets in held.shrunk.items():
        touched = np.array(sorted(buckets), dtype=np.int64)
        covering = _ends_covering(touched, window, None, int(ends[-1]))
        kept[signal] = np.flatnonzero(np.isin(ends, covering))
    return kept
