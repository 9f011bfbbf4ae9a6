"""The tiles of one partition: all that an accepted event could still change."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.core.cuts import MINUTE_MS
from pipeline.core.sessions.contributions import Place
from pipeline.model.dimensions import Dims
from pipeline.model.segments import Segmenter
from pipeline.model.tiles import BUCKET_MS, Counters, Tile, add


class TileBook:
    """Counters by bucket and segment."""

    def __init__(self) -> None:
        self.tiles: dict[int, dict[str, Counters]] = {}
        """By bucket and segment."""
        self._changed: set[int] = set()
        """Minutes of event time whose tiles have changed since they were last taken, by their start."""

    def fold(
        self,
        deltas: Mapping[Place, Counters],
        rewritten: Iterable[tuple[set[Dims], set[int]]],
        segmenter: Segmenter,
        latest_ms: int,
    ) -> list[Tile]:
        """Add a batch's deltas; gives every tile touched, whole.

        ``rewritten``: dimensions and buckets of tiles that are to be written again, whether or not they change.
        """
        touched: dict[tuple[str, int], Counters] = {}
        segments = segmenter.segments
        for (dims, bucket), delta in deltas.items():
            self._fold_in(bucket, segments(dims), delta, touched)
        nothing = Counters()
        for some, buckets in rewritten:
            for each in {segments(one) for one in some}:
                for bucket in buckets:
                    # Of a time that this log has not come to nothing can have been told. Timeouts lie there.
                    if bucket <= latest_ms:
                        self._fold_in(bucket, each, nothing, touched)
        # NamedTuple's own constructor is a Python function; this is C.
        return [tuple.__new__(Tile, (segment, bucket, dict(c))) for (segment, bucket), c in touched.items()]

    def _fold_in(
        self, bucket: int, segments: tuple[str, ...], delta: Counters, touched: dict[tuple[str, int], Counters]
    ) -> None:
        """Add to the tiles of a bucket. Where nothing is left of one it is written with zeros."""
        self._changed.add(bucket - bucket % MINUTE_MS)
        tiles = self.tiles.setdefault(bucket, {})
        for segment in segments:
            counters = tiles.setdefault(segment, {})
            add(counters, delta)
            touched[segment, bucket] = counters

    def forget(self, oldest_ms: int) -> None:
        """Drop the buckets that end at or before the time."""
        for bucket in [b for b in self.tiles if b + BUCKET_MS <= oldest_ms]:
            del self.tiles[bucket]
            self._changed.add(bucket - bucket % MINUTE_MS)

    def take_changed(self) -> Iterator[tuple[int, list[tuple[int, dict[str, Counters]]]]]:
        """Minutes that have changed, with their buckets and tiles; forgets that they changed."""
        changed, self._changed = self._changed, set()
        for minute in changed:
            buckets = range(minute, minute + MINUTE_MS, BUCKET_MS)
            yield minute, [(bucket, self.tiles[bucket]) for bucket in buckets if bucket in self.tiles]

    def restore(self, content: Iterable[Any]) -> None:
        """Take the buckets of a minute as ``take_changed`` gave them."""
        self.tiles.update(dict(content))
