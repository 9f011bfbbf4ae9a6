"""Tiles: message and row. Compiled, for it is done for each that a batch has touched."""

import hashlib
from typing import Any, Final

import msgspec

from pipeline.model.tiles import BUCKET_MS, Counters, Tile, is_by_age, is_by_person, is_by_step
from pipeline.outputs.outgoing import Outgoing, Output
from schemas.cloudevents import headers
from schemas.tiles import TILES_TOPIC, TILES_TYPE, tiles_message_id
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import COUNTERS, TILES

#: Of one message, about. A tile's counters are named after steps, which are input: it is counted in bytes, not
#: tiles.
_BYTES_PER_MESSAGE: Final = 400_000
_MAX_PLACES: Final = 100_000
_encode: Final = msgspec.json.Encoder().encode
_COLUMNS: Final = {name: place for place, name in enumerate(COUNTERS)}


class TileRouter:
    """Spreads tiles over the partitions of ``cx.tiles`` by their segment."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._places: dict[str, int] = {}

    def split(self, tiles: list[Tile]) -> dict[int, list[list[msgspec.Raw]]]:
        """By partition, the tiles of each message, as JSON; all tiles of a segment are in one partition.

        Every partition has at least one, without tiles where there are none: the watermark may be to be told.
        """
        by_segment: dict[str, list[Tile]] = {}
        for tile in tiles:
            by_segment.setdefault(tile.segment, []).append(tile)
        messages: dict[int, list[list[msgspec.Raw]]] = {p: [[]] for p in range(self._partitions)}
        sizes = [0] * self._partitions
        for segment, group in by_segment.items():
            partition = self._partition(segment)
            parts = messages[partition]
            for tile in group:
                text = _encode(tile)
                size = len(text)
                if parts[-1] and sizes[partition] + size > _BYTES_PER_MESSAGE:
                    parts.append([])
                    sizes[partition] = 0
                parts[-1].append(msgspec.Raw(text))
                sizes[partition] += size
        return messages

    def output(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        tiles: list[Tile],
        told: dict[int, int | None],
        appended_ms: int | None = None,
    ) -> Output:
        """Of the tiles that a batch has touched, and of how far the time of its source has come.

        ``told``: by partition, which bucket the watermark last sent to it was in; brought up to date. Windows end
        with buckets, so a watermark within one says nothing new. ``appended_ms``: when the oldest touchpoint of
        the batch was appended.
        """
        bucket = None if watermark_ms is None else watermark_ms // BUCKET_MS
        messages = []
        for partition, parts in self.split(tiles).items():
            if not parts[0] and bucket is not None and told.get(partition) == bucket:
                continue
            told[partition] = bucket
            for part, some in enumerate(parts):
                more = part < len(parts) - 1
                body = {
                    "schema_version": SCHEMA_VERSION,
                    "source": source,
                    "version": version,
                    "watermark": None if more else watermark_ms,  # time has passed when all is said
                    "tiles": some,
                    "more": more,
                    "appended": appended_ms,
                }
                event_id = tiles_message_id(source, version, partition, part)
                messages.append(Outgoing(body, headers(TILES_TYPE, event_id), None, partition))
        return Output(TILES_TOPIC, messages, TILES, tile_columns(source, tiles, version) if tiles else [])

    def _partition(self, segment: str) -> int:
        place = self._places.get(segment)
        if place is None:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            hashed = int.from_bytes(_hash(segment), "big")
            place = self._places[segment] = hashed % self._partitions
        return place


def _hash(segment: str) -> bytes:
    return hashlib.blake2b(segment.encode(), digest_size=8).digest()


def tile_columns(source: str, tiles: list[Tile], version: int) -> list[list[Any]]:
    """The columns of the table ``tiles``."""
    count = len(tiles)
    # A tile has a few of the many counters: they are put in place, not each place looked for in it.
    columns = [[0] * count for _ in COUNTERS]
    by_age: list[Counters] = []
    by_step: list[Counters] = []
    by_funnel: list[Counters] = []
    by_person: list[Counters] = []
    for at, (_, _, counters) in enumerate(tiles):
        ages: Counters = {}
        steps: Counters = {}
        others: Counters = {}
        persons: Counters = {}
        for name, number in counters.items():
            place = _COLUMNS.get(name, -1)
            if place >= 0:
                columns[place][at] = number
            elif is_by_step(name):
                steps[name] = number
            elif is_by_age(name):
                ages[name] = number
            elif is_by_person(name):
                persons[name] = number
            else:
                others[name] = number
        by_age.append(ages)
        by_step.append(steps)
        by_funnel.append(others)
        by_person.append(persons)
    segments, buckets = [tile.segment for tile in tiles], [tile.bucket_ms for tile in tiles]
    return [
        segments,
        buckets,
        [source] * count,
        *columns,
        by_age,
        by_step,
        by_funnel,
        by_person,
        [version] * count,
    ]
