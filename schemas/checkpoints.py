"""Checkpoint topics: where a source's state is kept between two workers (law 3). Inner, compacted.

The checkpoints of a topic's partition n are in partition n of the topic's checkpoint topic. A shard is
stored in parts of at most 512 KiB, then the manifest alone, which names the offset of each part: so a
restore finds the newest manifest at the end of the log and reads from there only what it names, however
long the log is. Keys are (partition, shard, slot, part), or (partition, manifest); a slot is never the
one that the newest manifest names, nor another writer's.
"""

import zlib
from typing import Any, Final

import msgspec

from schemas.versioning import SCHEMA_VERSION

_PREFIX: Final = "cx.checkpoints."
MAX_PART_BYTES: Final = 512 * 1024
MANIFEST_KEY: Final = "manifest"
_MOST_DEFLATED: Final = 256 * 1024
_BEGINS_ZLIB: Final = b"\x78"
"""A number in MessagePack, which no content is."""
_BEGINS_JSON: Final = (b"{", b"[", b'"')
_pack: Final = msgspec.msgpack.Encoder().encode
_to_json: Final = msgspec.json.Encoder().encode


def checkpoint_topic(topic: str) -> str:
    """``cx.checkpoints.web`` for ``touchpoints.web``, ``cx.checkpoints.tiles`` for ``cx.tiles``."""
    return _PREFIX + topic.rpartition(".")[2]


class ShardRef(msgspec.Struct, frozen=True):
    """Where the content of a shard is."""

    slot: str
    offsets: list[int]
    """Of its parts, in order."""
    crc: int
    """CRC-32 of the whole content."""


class Freed(msgspec.Struct, frozen=True):
    """Content that no manifest names any more, and which is to be removed."""

    shard: str
    slot: str
    parts: int
    since_ms: int
    """Wall clock, ms since the epoch."""


class Manifest(msgspec.Struct, frozen=True):
    """One checkpoint of one source. Resuming at ``next_offset`` with these shards loses nothing."""

    source: str
    """``topic:partition``."""
    generation: int
    rules: str
    """Digest of what decides the content: another state would follow from other rules."""
    next_offset: int
    taken_ms: int
    """Wall clock, ms since the epoch."""
    dead_letters: dict[int, int]
    """By partition of ``cx.deadletters``: no letter of this source's next records is before it."""
    head: dict[str, Any]
    shards: dict[str, ShardRef]
    freed: list[Freed]
    topic_id: str = ""
    """Of the source's topic, by which one that was deleted and made anew is told; empty where brokers tell
    none."""
    topic_partitions: int = 0
    """How many it had; 0: not told."""
    erasures: int = 0
    """Who is erased by the records of ``cx.erasures`` before this offset is not in it."""
    writer: str = ""
    """Begins the slots that it wrote; nobody else writes to these."""
    schema_version: str = SCHEMA_VERSION


def encode_shard(content: Any) -> bytes:
    """A shard's content: bytes as MessagePack has them, as JSON they would be a third larger; all else as JSON.

    That is deflated (RFC 1950) where it is small, as in a small shop, in which checkpoints are most of what each
    event causes to be written.
    """
    if isinstance(content, bytes):
        return _pack(content)
    text = _to_json(content)
    return zlib.compress(text, level=1) if len(text) <= _MOST_DEFLATED else text


def decode_shard(text: bytes) -> Any:
    """The content, a list or a dict, whichever way it was written: in JSON bytes are Base64, as text.

    Raises ValueError or zlib.error where it is broken.
    """
    if text[:1] == _BEGINS_ZLIB:
        text = zlib.decompress(text)
    return msgspec.json.decode(text) if text[:1] in _BEGINS_JSON else msgspec.msgpack.decode(text)


def part_key(source: str, shard: str, slot: str, part: int) -> str:
    return f"{source}/{shard}/{slot}/{part}"


def manifest_key(source: str) -> str:
    return f"{source}/{MANIFEST_KEY}"
