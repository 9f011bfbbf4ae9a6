"""How counts by bucket are packed that are kept for weeks: counter by counter, for its counts are alike.

As JSON, for squares of money can exceed 64 bits; deflated (RFC 1950). A tenth of the plain counts is left.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

Counts = dict[int, int]
"""By number of the counter."""
CountsByBucket = dict[int, Counts]
TilesByBucket = dict[int, tuple[Counts, dict[int, tuple[int, Counts]]]]
"""Counts, and by number of the source the version and counts of its tile."""
_Column = tuple[int, int, list[int], list[int]]
"""Source, counter, and of each bucket that has any, ascending: how far from the one before, and the count."""
_VERSION: Final = -1
"""Stands for a counter: of a tile the version, as difference from the one before."""
_OWN: Final = -1
"""Stands for a source: counts of no tile."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[_Column]).decode


def pack_counts(content: CountsByBucket) -> bytes:
    return _packed(
        (_OWN, name, bucket, count) for bucket in sorted(content) for name, count in content[bucket].items()
    )


def unpack_counts(stored: bytes) -> CountsByBucket:
    """Raises ValueError where it is broken."""
    found: CountsByBucket = {}
    for _, name, bucket, count in _entries(stored):
        found.setdefault(bucket, {})[name] = count
    return found


def pack_tiles(content: TilesByBucket) -> bytes:
    return _packed(_of_tiles(content))


def _of_tiles(content: TilesByBucket) -> Iterator[tuple[int, int, int, int]]:
    before: dict[int, int] = {}
    for bucket in sorted(content):
        counts, tiles = content[bucket]
        for name, count in counts.items():
            yield _OWN, name, bucket, count
        for source, (version, counters) in tiles.items():
            yield source, _VERSION, bucket, version - before.get(source, 0)
            before[source] = version
            for name, count in counters.items():
                yield source, name, bucket, count


def unpack_tiles(stored: bytes) -> TilesByBucket:
    """Raises ValueError where it is broken."""
    found: TilesByBucket = {}
    versions: dict[int, int] = {}
    for source, name, bucket, count in _entries(stored):
        counts, tiles = found.setdefault(bucket, ({}, {}))
        if source == _OWN:
            counts[name] = count
        elif name == _VERSION:
            versions[source] = versions.get(source, 0) + count
            tiles[source] = versions[source], {}
        else:
            tiles[source][1][name] = count
    return found


def _packed(entries: Iterable[tuple[int, int, int, int]]) -> bytes:
    """``entries``: source, counter, bucket and count; of each source and counter the buckets ascend."""
    columns: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    last: dict[tuple[int, int], int] = {}
    for source, name, bucket, count in entries:
        which = source, name
        column = columns.get(which)
        if column is None:
            column = columns[which] = [], []
        column[0].append(bucket - last.get(which, 0))
        column[1].append(count)
        last[which] = bucket
    return zlib.compress(_encode([(*which, *column) for which, column in columns.items()]), level=6)


def _entries(stored: bytes) -> Iterator[tuple[int, int, int, int]]:
    """As they were packed, column by column: of a source the versions first."""
    try:
        columns = _decode(zlib.decompress(stored))
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"counts that were kept are broken: {error}") from error
    for source, name, steps, counts in columns:
        bucket = 0
        for step, count in zip(steps, counts, strict=True):
            bucket += step
            yield source, name, bucket, count
