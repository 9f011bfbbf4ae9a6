"""What phase two holds of one segment: its tiles by bucket and source, and their sums per bucket."""

from collections.abc import Iterable, Mapping
from typing import Final

from pipeline.core.statistics import Ints
from pipeline.core.windows.buckets import BucketRows
from pipeline.core.windows.exposure import AgeLayout, Stretches
from pipeline.core.windows.signals import SignalTable
from pipeline.core.windows.window_ends import LONGEST_WINDOW_MS
from pipeline.model.tiles import BUCKET_MS, Counters


class FunnelAges:
    """A funnel's counts by age, and the times in which what was put out of them has changed."""

    def __init__(self, rows: BucketRows) -> None:
        self.rows: Final = rows
        self.changed = Stretches()


def still_pending(shrunk: Mapping[str, set[int]], complete_ms: int | None) -> dict[str, set[int]]:
    """By signal, of the buckets in which its denominator fell those in windows that are not complete yet."""
    pending = (complete_ms - LONGEST_WINDOW_MS) if complete_ms is not None else None
    kept = {signal: {b for b in some if pending is None or b > pending} for signal, some in shrunk.items()}
    return {signal: some for signal, some in kept.items() if some}


class SegmentTiles:
    """Tiles of one segment. A newer one of the same bucket and source replaces an older one."""

    def __init__(self, table: SignalTable, layout: AgeLayout) -> None:
        self.table: Final = table
        self._layout = layout
        self._tiles: dict[int, dict[str, tuple[int, Counters]]] = {}
        self.sums: Final = BucketRows(table.width)
        self.ages: dict[str, FunnelAges] = {}
        """By funnel, those that the segment has."""
        self.dirty: set[int] = set()
        """Buckets that have changed since rows of windows that hold them were put out as complete."""
        self.shrunk: dict[str, set[int]] = {}
        """By signal: buckets in which its denominator fell, until all windows that hold them are complete."""

    def tiles_in(self, buckets: Iterable[int]) -> list[tuple[int, dict[str, tuple[int, Counters]]]]:
        """Of the buckets that are held: the bucket, and by source the version and counters."""
        return [(bucket, self._tiles[bucket]) for bucket in buckets if bucket in self._tiles]

    def forget_changes(self, complete_ms: int | None) -> None:
        """All complete rows have been put out as they are now. Those of later ends may have been, too."""
        self.dirty.clear()
        if self.shrunk:
            self.shrunk = still_pending(self.shrunk, complete_ms)
        for ages in self.ages.values():
            ages.changed = Stretches()

    def has_changed(self) -> bool:
        return bool(self.dirty) or any(ages.changed for ages in self.ages.values())

    @property
    def buckets(self) -> Ints:
        """Buckets held, ascending, in ms."""
        return self.sums.buckets

    def put(
        self, bucket_ms: int, source: str, version: int, counters: Counters, complete_ms: int | None = None
    ) -> Counters | None:
        """Take a tile, unless one as new is held; gives by how much its counters change.

        ``complete_ms``: rows up to it have been put out as complete.
        """
        held = self._tiles.setdefault(bucket_ms, {})
        old_version, old = held.get(source, (-1, {}))
        if version <= old_version:
            return None
        held[source] = (version, counters)
        row = self.sums.row(bucket_ms)
        delta = _difference(counters, old) if old else counters
        if self.table.add(row, delta) and complete_ms is not None and bucket_ms + BUCKET_MS <= complete_ms:
            self.dirty.add(bucket_ms)
        for signal in self.table.shrunk(delta) if old else ():
            self.shrunk.setdefault(signal, set()).add(bucket_ms)
        self._put_ages(bucket_ms, delta, complete_ms)
        return delta

    def _put_ages(self, bucket_ms: int, delta: Counters, complete_ms: int | None) -> None:
        effects = self._layout.effects
        touched: dict[str, tuple[memoryview, int, int]] = {}
        for name, count in delta.items():
            effect = effects.get(name)
            if effect is None:
                continue
            funnel, column, from_ms, until_ms = effect
            if funnel in touched:
                row, first, last = touched[funnel]
                touched[funnel] = row, min(first, from_ms), max(last, until_ms)
            else:
                row = self._ages_of(funnel).rows.row(bucket_ms)
                touched[funnel] = row, from_ms, until_ms
            row[column] += count
        for funnel, (_, first, last) in touched.items():
            # Ends are multiples of a bucket: none after the last of these has been put out.
            if complete_ms is not None and bucket_ms + first < complete_ms - complete_ms % BUCKET_MS:
                self.ages[funnel].changed.add(bucket_ms + first, bucket_ms + last)

    def _ages_of(self, funnel: str) -> FunnelAges:
        ages = self.ages.get(funnel)
        if ages is None:
            ages = self.ages[funnel] = FunnelAges(self._layout.new_rows(funnel))
        return ages

    def forget(self, before_ms: int) -> list[int]:
        """Drop the buckets that end at or before the time, and say which."""
        dropped = self.sums.forget(before_ms)
        for bucket in dropped:
            del self._tiles[bucket]
        for funnel in [f for f, ages in self.ages.items() if ages.rows.forget(before_ms) and not len(ages.rows)]:
            del self.ages[funnel]
        return dropped


def _difference(new: Counters, old: Counters) -> Counters:
    changed: Counters = {}
    kept = 0
    for name, count in new.items():
        before = old.get(name)
        if before is None:
            before = 0
        else:
            kept += 1
        if count != before:
            changed[name] = count - before
    if kept < len(old):
        for name, count in old.items():
            if count and name not in new:
                changed[name] = -count
    return changed
