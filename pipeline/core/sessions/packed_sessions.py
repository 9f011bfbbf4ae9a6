"""Sessions as a checkpoint has them, and what the fast lane stores of one, read without it.

The lane stores sessions one behind the other: the bytes of a block (4) and of the id in it (2), little-endian,
then the block. A block is the session's id and the records of its events: a head of 32 bytes, the event's id, and
texts that no event before it had, each with its length (2) before it. A head refers to texts by their distance
from the block's beginning, 0 for none (``native/block.pxd``).
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from pipeline.core.sessions.event_log import Entry, EventLog, Names, names_of
from pipeline.core.sessions.walk import Walk
from pipeline.model.dimensions import Dims
from schemas.events import EVENT_TYPES

_SIZES: Final = Struct("<IH")
#: Time; amount; where dims, step and customer are; bytes of the record; bytes of the id and type.
_HEAD: Final = Struct("<qqIIIHH")
_LENGTH: Final = Struct("<H")
_ABSENT: Final = 0xFFFF
_TYPE_BITS: Final = 7
_DIMENSIONS_STORED: Final = 4
"""Besides the channel, which is the partition's."""


class PackedSession(NamedTuple):
    """All that a session follows from; texts and numbers as ``event_log`` keeps them."""

    session_id: str
    base: Walk | None
    names: Names
    packed: bytes | bytearray


def unpacked(stored: bytes, channel: str) -> Iterator[PackedSession]:
    """The sessions that a lane has stored."""
    at = 0
    while at < len(stored):
        size, id_size = _SIZES.unpack_from(stored, at)
        at += _SIZES.size
        yield _session(stored[at : at + size], id_size, channel)
        at += size


def _session(block: bytes, id_size: int, channel: str) -> PackedSession:
    log: EventLog | None = None
    position = id_size
    while position < len(block):
        at_ms, amount, where, step, customer, size, id_type = _HEAD.unpack_from(block, position)
        start = position + _HEAD.size
        entry = Entry(
            at_ms,
            block[start : start + (id_type >> _TYPE_BITS)].decode(),
            EVENT_TYPES[id_type & (1 << _TYPE_BITS) - 1],
            None if amount < 0 else amount,
            _text(block, step),
            _text(block, customer),
            (channel, *_dims(block, where)),
        )
        if log is None:
            log = EventLog(names_of(entry.dims))
        log.put_last(entry)
        position += size
    assert log is not None, "a session without events is not stored"
    return PackedSession(block[:id_size].decode(), None, log.names, log.packed)


def _text(block: bytes, position: int) -> str | None:
    if not position:
        return None
    start = position + _LENGTH.size
    return block[start : start + _LENGTH.unpack_from(block, position)[0]].decode()


def _dims(block: bytes, position: int) -> Dims:
    """Store, region, device and campaign, each behind its length."""
    at, found = position + _LENGTH.size, list[str | None]()
    for _ in range(_DIMENSIONS_STORED):
        size = _LENGTH.unpack_from(block, at)[0]
        at += _LENGTH.size
        found.append(None if size == _ABSENT else block[at : at + size].decode())
        at += 0 if size == _ABSENT else size
    return tuple(found)
