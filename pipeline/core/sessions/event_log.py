"""What a session keeps of its events, and how: packed, for most memory of a partition is in them.

An event takes 32 bytes and its id, a third of what it takes as an object. They are unpacked when an event comes
late, when a journey ends, and when what is older than the allowed lateness is folded away.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, Final, final

from pipeline.model.dimensions import Dims
from schemas.events import EVENT_TYPES

#: Time; amount (-1: none); by place in ``names`` step and customer, together, and dimensions; type and bytes of
#: the id, together. A number for each would take half as long again.
_HEAD: Final = Struct("<qqQII")
_HEAD_BYTES: Final = _HEAD.size
_pack: Final = _HEAD.pack
_unpack: Final = _HEAD.unpack_from
_time_at: Final = Struct("<q").unpack_from
_last_at: Final = Struct("<I").unpack_from
_LAST_AT: Final = _HEAD_BYTES - 4
_TYPE_BITS: Final = 8
_TYPE_MASK: Final = (1 << _TYPE_BITS) - 1
_NAME_BITS: Final = 32
_NAME_MASK: Final = (1 << _NAME_BITS) - 1
#: A type is kept by its place in the vocabulary, to which types are only ever appended.
_CODES: Final = {kind: code for code, kind in enumerate(EVENT_TYPES)}
_NO_AMOUNT: Final = -1
#: Where in ``names`` the dimensions of the first event are. Before it is None.
FIRST_NAME: Final = 1
#: Names looked through for one that is there already; a session with more has some of them twice.
_NAMES_LOOKED_AT: Final = 32
#: Of a long log a position is kept for every so many bytes, so that looking an event up does not take longer.
_BYTES_PER_MARK: Final = 4_096

NOWHERE: Final = -1
"""The position of an event that is not in the log."""

Names = Sequence[Any]
"""None, and the steps, customers and dimensions of a session's events, which repeat."""


@final
class Entry:
    """What a session keeps of one event. Compares by value, sorts by its key."""

    __slots__ = ("amount", "at_ms", "customer_id", "dims", "event_id", "step", "type")

    def __init__(
        self,
        at_ms: int,
        event_id: str,
        type_: str,
        amount: int | None,
        step: str | None,
        customer_id: str | None,
        dims: Dims,
    ) -> None:
        self.at_ms: Final = at_ms
        self.event_id: Final = event_id
        self.type: Final = type_
        self.amount: Final = amount
        """In 1/10,000 of the shop's currency; None where absent or in another currency."""
        self.step: Final = step
        self.customer_id: Final = customer_id
        self.dims: Final = dims

    @property
    def key(self) -> tuple[int, str]:
        """By which events are in order. Text compares by code points here, the order of its UTF-8 bytes."""
        return self.at_ms, self.event_id

    @property
    def fields(self) -> tuple[Any, ...]:
        """All it holds, in the order in which it is made."""
        return self.at_ms, self.event_id, self.type, self.amount, self.step, self.customer_id, self.dims

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.key)


class EventLog:
    """Events in order of (time, id). A *position* is where one begins in ``packed``."""

    __slots__ = ("_marks", "count", "names", "packed")

    def __init__(self, names: Names) -> None:
        """``names``: a tuple may be shared with other logs, for it is copied when it grows."""
        self.names: Names = names
        self.packed = bytearray()
        self.count = 0
        """Events that are kept."""
        self._marks: list[int] | None = None
        """Positions, ascending from 0, of some events; None while there are few."""

    def restore(self, packed: bytes | bytearray) -> None:
        """Take events as they were packed, with names as these are."""
        self.packed = bytearray(packed)
        self._mark()

    @property
    def log(self) -> list[Entry]:
        """All events."""
        return [entry for _, entry in self.entries()]

    def entries(self, start: int = 0) -> Iterator[tuple[int, Entry]]:
        """Events from a position on, each with its own."""
        while start < len(self.packed):
            yield start, self.entry_at(start)
            start = self._after(start)

    def entry_at(self, position: int) -> Entry:
        at_ms, amount, named, dims, last = _unpack(self.packed, position)
        start = position + _HEAD_BYTES
        names = self.names
        return Entry(
            at_ms,
            self.packed[start : start + (last >> _TYPE_BITS)].decode(),
            EVENT_TYPES[last & _TYPE_MASK],
            None if amount == _NO_AMOUNT else amount,
            names[named & _NAME_MASK],
            names[named >> _NAME_BITS],
            names[dims],
        )

    def put_last(self, entry: Entry) -> int:
        """Take an event that comes after all others; gives its position."""
        position = len(self.packed)
        self.packed += self._packed(entry)
        self.count += 1
        if position > _BYTES_PER_MARK:
            if self._marks is None:
                self._mark()  # counts them too
            elif position - self._marks[-1] > _BYTES_PER_MARK:
                self._marks.append(position)
        return position

    def put(self, entry: Entry) -> int:
        """Take an event wherever it belongs; gives its position, NOWHERE if it is there already.

        Those after it move up.
        """
        position = self.position_of(entry.at_ms, entry.event_id)
        if position < len(self.packed) and self._key_at(position) == entry.key:
            return NOWHERE
        if position == len(self.packed):
            return self.put_last(entry)
        packed = self._packed(entry)
        self.packed[position:position] = packed
        self.count += 1
        if self._marks is not None:
            self._marks = [mark if mark <= position else mark + len(packed) for mark in self._marks]
            self._halve(self._marks, bisect_right(self._marks, position) - 1)
        elif len(self.packed) > 2 * _BYTES_PER_MARK:
            self._mark()
        return position

    def position_of(self, at_ms: int, event_id: str) -> int:
        """Of the first event that is not before this one; the length of ``packed`` where there is none."""
        packed, position = self.packed, 0
        if self._marks is not None:
            found = bisect_left(self._marks, (at_ms, event_id), key=self._key_at)
            position = self._marks[max(0, found - 1)]
        while position < len(packed):
            time_ms: int = self._time_at(position)
            if time_ms > at_ms or (time_ms == at_ms and self._key_at(position)[1] >= event_id):
                break
            position = self._after(position)
        return position

    def has_after(self, position: int, count: int) -> bool:
        """Whether so many events begin at or after a position."""
        if self.count < count:
            return False
        left = count
        while left and position < len(self.packed):
            position = self._after(position)
            left -= 1
        return not left

    def position_of_last(self, count: int) -> int:
        """Where the last so many events begin."""
        position = 0
        for _ in range(self.count - count):
            position = self._after(position)
        return position

    def drop_before(self, position: int) -> None:
        """Forget the events before a position; those after it move there."""
        del self.packed[:position]
        self._mark()

    def drop_names(self) -> None:
        """Forget the names that no event has, if there may be many. Positions change not."""
        if len(self.names) <= _NAMES_LOOKED_AT:
            return
        kept = self.log
        self.names, self.packed = names_of(self.names[FIRST_NAME]), bytearray()
        for entry in kept:
            self.packed += self._packed(entry)

    def _mark(self) -> None:
        marks, position, count = [0], 0, 0
        while position < len(self.packed):
            if position - marks[-1] > _BYTES_PER_MARK:
                marks.append(position)
            position = self._after(position)
            count += 1
        self.count = count
        self._marks = marks if len(marks) > 1 else None

    def _halve(self, marks: list[int], at: int) -> None:
        """Put a mark in the middle where two have become too far apart."""
        first, last = marks[at], marks[at + 1] if at + 1 < len(marks) else len(self.packed)
        if last - first > 2 * _BYTES_PER_MARK:
            position = first
            while position - first < _BYTES_PER_MARK:
                position = self._after(position)
            marks.insert(at + 1, position)

    def _after(self, position: int) -> int:
        last: int = _last_at(self.packed, position + _LAST_AT)[0]
        return position + _HEAD_BYTES + (last >> _TYPE_BITS)

    def _time_at(self, position: int) -> int:
        time_ms: int = _time_at(self.packed, position)[0]
        return time_ms

    def _key_at(self, position: int) -> tuple[int, str]:
        event_id = self.packed[position + _HEAD_BYTES : self._after(position)]
        return self._time_at(position), event_id.decode()

    def _packed(self, entry: Entry) -> bytes:
        event_id = entry.event_id.encode()
        amount, step, customer, names = entry.amount, entry.step, entry.customer_id, self.names
        named = 0 if step is None else self._name(step)
        if customer is not None:
            named |= self._name(customer) << _NAME_BITS
        head: bytes = _pack(
            entry.at_ms,
            _NO_AMOUNT if amount is None else amount,
            named,
            FIRST_NAME if names[FIRST_NAME] == entry.dims else self._name(entry.dims),
            _CODES[entry.type] | len(event_id) << _TYPE_BITS,
        )
        return head + event_id

    def _name(self, name: str | Dims) -> int:
        """Its place among the names."""
        names = self.names
        first = max(0, len(names) - _NAMES_LOOKED_AT)
        for place in range(first, len(names)):
            known = names[place]
            if known is name or known == name:
                return place
        if isinstance(names, tuple):
            self.names = names = list(names)
        assert isinstance(names, list)
        names.append(name)
        return len(names) - 1


def names_of(dims: Dims) -> Names:
    """The names that the log of a session begins with whose first event has these dimensions."""
    return (None, dims)
