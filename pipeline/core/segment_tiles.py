"""What phase two holds of one segment: its tiles by bucket and source, and their sums per bucket."""

from collections.abc import Iterable
from typing import Final

from pipeline.core.buckets import BucketRows, Ints
from pipeline.core.exposure import AgeLayout, Stretches
from pipeline.core.signals import SignalTable
from pipeline.core.tiles import Counters


class FunnelAges:
    """A funnel's counts by age, and the times in which what follows from them has changed."""

    def __init__(self, rows: BucketRows) -> None:
        self.rows: Final = rows
        self.changed = Stretches()
        self.passed_ms: int | None = None
        """The newest watermark when the last of these changes came: a run that has crashed since may have put
        out rows of earlier ends without it. A further journey can be what leaves nothing to be said of them."""


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
        self.shrunk: dict[str, set[int]] = {}
        """By signal: buckets in which its denominator fell."""

    def tiles_in(self, buckets: Iterable[int]) -> list[tuple[int, dict[str, tuple[int, Counters]]]]:
        """Of the buckets that are held: the bucket, and by source the version and counters."""
        return [(bucket, self._tiles[bucket]) for bucket in buckets if bucket in self._tiles]

    def forget_changes(self) -> None:
        """All rows have been put out as they are now."""
        self.dirty.clear()
        self.shrunk.clear()
        for ages in self.ages.values():
            ages.changed, ages.passed_ms = Stretches(), None

    def has_changed(self) -> bool:
        return bool(self.dirty) or any(ages.changed for ages in self.ages.values())

    @property
    def buckets(self) -> Ints:
        """Buckets held, ascending, in ms."""
        return self.sums.buckets

    def put(
        self, bucket_ms: int, source: str, version: int, counters: Counters, passed_ms: int | None = None
    ) -> None:
        """Take a tile, unless one as new is held. ``passed_ms``: the newest watermark before it came."""
        held = self._tiles.setdefault(bucket_ms, {})
        old_version, old = held.get(source, (-1, {}))
        if version <= old_version:
            return
        held[source] = (version, counters)
        row = self.sums.row(bucket_ms)
        delta = _difference(counters, old) if old else counters
        if self.table.add(row, delta):
            self.dirty.add(bucket_ms)
        for signal in self.table.shrunk(delta) if old else ():
            self.shrunk.setdefault(signal, set()).add(bucket_ms)
        self._put_ages(bucket_ms, delta, passed_ms)

    def _put_ages(self, bucket_ms: int, delta: Counters, passed_ms: int | None) -> None:
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
            ages = self.ages[funnel]
            ages.changed.add(bucket_ms + first, bucket_ms + last)
            ages.passed_ms = passed_ms

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
