"""What phase two holds of one segment in one hour for the signals of persons: packed where it is not worked on.

Of touchpoints the sums are kept, for their tiles are held as long as they can change
(:mod:`pipeline.core.windows.segment_tiles`); of partitions of ``cx.facts`` the newest tile of each, for weeks.
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.windows.buckets import BucketRows
from pipeline.core.windows.signals import SignalTable
from pipeline.model.packing import Counts, TilesByBucket, pack_tiles, unpack_tiles
from pipeline.model.tiles import BUCKET_MS, Counters


class Layout:
    """The counters of the table, by place."""

    def __init__(self, table: SignalTable) -> None:
        self.table: Final = table
        self.names: Final = table.counters
        self.places: Final = {name: place for place, name in enumerate(self.names)}

    def counts(self, counters: Mapping[str, int]) -> Counts:
        return {self.places[name]: count for name, count in counters.items() if count and name in self.places}

    def counters(self, counts: Counts) -> Counters:
        return {self.names[place]: count for place, count in counts.items()}


class PersonHour:
    """Its rows, by bucket, are sums over all sources."""

    def __init__(self, layout: Layout, stored: bytes | None) -> None:
        """``stored``: what was packed; None where nothing was. Raises ValueError where it is broken."""
        self._layout = layout
        self.rows: Final = BucketRows(layout.table.width)
        self._content: TilesByBucket = {}
        if stored is not None:
            for bucket, content in unpack_tiles(stored).items():
                self._take(bucket, *content)

    def within(self, since_ms: int, until_ms: int) -> list[Any]:
        """Plain data, see :class:`pipeline.core.hours.Hour`."""
        held = self._content
        return [[at, *held[at]] for at in range(since_ms, until_ms, BUCKET_MS) if at in held]

    def add(self, content: list[Any]) -> None:
        for bucket, counts, tiles in content:
            found = {int(source): (version, _numbered(one)) for source, (version, one) in tiles.items()}
            self._take(bucket, _numbered(counts), found)

    def _take(self, bucket_ms: int, touched: Counts, tiles: dict[int, tuple[int, Counts]]) -> None:
        self._content[bucket_ms] = touched, tiles
        for counts in (touched, *(counts for _, counts in tiles.values())):
            self._add(bucket_ms, self._layout.counters(counts))

    def packed(self) -> bytes:
        return pack_tiles(self._content)

    def row(self, bucket_ms: int) -> bytes:
        """As it is now."""
        return bytes(self.rows.row(bucket_ms))

    def count(self, bucket_ms: int, delta: Mapping[str, int]) -> None:
        """Add what tiles of touchpoints have changed by."""
        touched, _ = self._content.setdefault(bucket_ms, ({}, {}))
        for name, count in delta.items():
            place = self._layout.places[name]
            touched[place] = touched.get(place, 0) + count
        self._add(bucket_ms, delta)

    def put(self, bucket_ms: int, source: int, version: int, counters: Mapping[str, int]) -> Counters:
        """Take a tile of persons, unless one as new is held; gives by how much the counters change."""
        _, tiles = self._content.setdefault(bucket_ms, ({}, {}))
        before = tiles.get(source)
        if before is not None and version <= before[0]:
            return {}
        new, old = self._layout.counts(counters), before[1] if before is not None else {}
        tiles[source] = version, new
        changed = {place: new.get(place, 0) - old.get(place, 0) for place in {**old, **new}}
        delta = self._layout.counters({place: count for place, count in changed.items() if count})
        self._add(bucket_ms, delta)
        return delta

    def _add(self, bucket_ms: int, delta: Mapping[str, int]) -> None:
        row: Any = self.rows.row(bucket_ms)
        self._layout.table.add(row, delta)


def _numbered(counts: Mapping[Any, int]) -> Counts:
    """JSON has texts for keys."""
    return {int(place): count for place, count in counts.items()}
