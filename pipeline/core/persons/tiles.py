"""The tiles that a partition of persons adds to: two weeks of them, for so long a journey's row can change."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pipeline.core.cuts import TILES, Cut, Head, Shards
from pipeline.core.hours import HOUR_MS, Hours, hour_of
from pipeline.core.persons.counts import Place
from pipeline.model.facts import RECOVERABLE
from pipeline.model.packing import CountsByBucket, pack_counts, unpack_counts
from pipeline.model.tiles import BUCKET_MS, SEEN, Counters, Tile, moments_counter, person_counters


class _Hour:
    """Tiles of one segment, by bucket."""

    def __init__(self, stored: bytes | None) -> None:
        self.tiles: CountsByBucket = {} if stored is None else unpack_counts(stored)

    def within(self, since_ms: int, until_ms: int) -> list[Any]:
        """Plain data, see :class:`pipeline.core.hours.Hour`."""
        return [[at, self.tiles[at]] for at in range(since_ms, until_ms, BUCKET_MS) if at in self.tiles]

    def add(self, content: list[Any]) -> None:
        for bucket, counts in content:
            self.tiles[bucket] = {int(name): count for name, count in counts.items()}

    def packed(self) -> bytes:
        return pack_counts(self.tiles)


class PersonTiles:
    """Counters by segment and bucket, and which of them are to be told."""

    def __init__(self, rules: Iterable[str] = ()) -> None:
        """``rules``: names of those about persons."""
        moments = tuple(map(moments_counter, rules))
        self._never: Final[Counters] = dict.fromkeys(moments, 0)
        self._names: Final = (*person_counters(sorted(RECOVERABLE)), SEEN, *moments)
        """Kept by their places here."""
        self._places: Final = {name: place for place, name in enumerate(self._names)}
        self.hours: Final = Hours(_Hour)
        self._untold: dict[int, set[str]] = {}
        """By bucket, of which segments the tile has changed since it was told."""

    @property
    def untold(self) -> int:
        """How many tiles are to be told."""
        return sum(len(segments) for segments in self._untold.values())

    def fold(
        self,
        deltas: Mapping[Place, Counters],
        rewritten: Iterable[Place],
        segments_of: Callable[[tuple[str | None, ...]], tuple[str, ...]],
    ) -> None:
        """Add deltas. ``rewritten``: places whose tiles are to be told again, whether or not they change."""
        for (dims, bucket), delta in deltas.items():
            for segment in segments_of(dims):
                self._add(segment, bucket, delta)
        for dims, bucket in rewritten:
            for segment in segments_of(dims):
                self._add(segment, bucket, {})

    def _add(self, segment: str, bucket: int, delta: Counters) -> None:
        tile = self.hours.change(bucket, segment).tiles.setdefault(bucket, {})
        for name, count in delta.items():
            place = self._places[name]
            tile[place] = tile.get(place, 0) + count
        self._untold.setdefault(bucket, set()).add(segment)

    def take_untold(self) -> list[Tile]:
        """The tiles that are to be told, whole."""
        untold, self._untold = self._untold, {}
        tiles: list[Tile] = []
        for bucket in sorted(untold):
            for segment in sorted(untold[bucket]):
                hour = self.hours.get(hour_of(bucket), segment)
                counts = {} if hour is None else hour.tiles.get(bucket, {})  # packed, an empty one is none
                counters = {self._names[place]: count for place, count in counts.items()}
                # By these it is known of which rules there can have been moments (``cx.signals_now``).
                tiles.append(Tile(segment, bucket, self._never | counters if SEEN in counters else counters))
        return tiles

    def forget(self, oldest_ms: int) -> None:
        """Drop the hours that ended by then. To be called when all has been told."""
        self.hours.forget(oldest_ms)

    def rest(self, passed_ms: int) -> None:
        """Keep only what is new open."""
        self.hours.close(passed_ms - HOUR_MS)

    def head(self) -> dict[str, Any]:
        return {"untold": [[bucket, sorted(segments)] for bucket, segments in self._untold.items()]}

    def snapshot(self, cut: Cut) -> None:
        """Put what has changed since the last one into a cut."""
        self.hours.snapshot(cut, TILES)

    def restore(self, head: Head, shards: Shards) -> None:
        """Raises ValueError where they are broken."""
        self.hours.restore(shards, TILES)
        self._untold = {bucket: set(segments) for bucket, segments in head["untold"]}
