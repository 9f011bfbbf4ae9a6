"""How counts by bucket are packed that are kept for weeks.

As JSON, for squares of money can exceed 64 bits; most of it is alike, so that deflating (RFC 1950) leaves a fifth.
"""

import zlib
from typing import Any, Final

import msgspec

Counts = dict[int, int]
"""By number of the counter."""
CountsByBucket = dict[int, Counts]
_TilesByBucket = dict[int, tuple[Counts, dict[int, tuple[int, Counts]]]]
"""Counts, and by number of the source the version and counts of its tile."""
_encode: Final = msgspec.json.Encoder().encode
_by_bucket: Final = msgspec.json.Decoder(CountsByBucket).decode
_tiles: Final = msgspec.json.Decoder(_TilesByBucket).decode


def pack_counts(content: Any) -> bytes:
    return zlib.compress(_encode(content), level=1)


def unpack_counts(stored: bytes) -> CountsByBucket:
    """Raises ValueError where it is broken."""
    return _by_bucket(_inflated(stored))


def unpack_tiles(stored: bytes) -> _TilesByBucket:
    """Raises ValueError where it is broken."""
    return _tiles(_inflated(stored))


def _inflated(stored: bytes) -> bytes:
    try:
        return zlib.decompress(stored)
    except zlib.error as error:
        raise ValueError(f"counts that were kept are broken: {error}") from error
