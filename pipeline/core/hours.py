"""What is kept of segments for weeks, by hour of event time.

New hours stay open and are written by the minute as they fill up (law 3); what is worked on no more is packed into
a book, and opened again where something changes.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from pipeline.core.book import Book
from pipeline.core.cuts import MINUTE, MINUTE_MS, Cut, Shards, packed_of

HOUR_MS: Final = 3_600_000
_PACKED_AT_A_TIME: Final = 20
"""Packing one takes some milliseconds; all segments' hours end at once ..."""
_MOST_WAITING: Final = 500
"""... and where history is read a day's at once: of these so many may wait."""

_MOST_OPENED: Final = 256
"""Of packed hours so many are open at a time while they are looked at or changed."""


class Hour(Protocol):
    """What there is of one segment in one hour."""

    def within(self, since_ms: int, until_ms: int) -> Any:
        """What is of buckets in [since, until), as plain data; nothing: something false."""

    def add(self, content: Any) -> None:
        """Take what ``within`` gave."""

    def packed(self) -> bytes:
        """All of it."""


Content = TypeVar("Content", bound=Hour)
Place = tuple[int, str]
"""Start of the hour, ms; segment."""


def hour_of(at_ms: int) -> int:
    """Start of the hour that holds the instant, ms."""
    return at_ms - at_ms % HOUR_MS


class Hours(Generic[Content]):
    """Content by segment and hour."""

    def __init__(self, opened: Callable[[bytes | None], Content]) -> None:
        """``opened``: gives what was packed, or new content where nothing was."""
        self._opened: Final = opened
        self._book: Final = Book()
        self._open: dict[Place, Content] = {}
        self._loose: set[Place] = set()
        """Those that are not in the book yet: what they hold is in shards of a minute each."""
        self._changed: set[Place] = set()
        """Of those in the book."""
        self._changed_minutes: set[int] = set()
        """In which something has changed of what is loose, or is loose no more."""
        self.segments: dict[int, set[str]] = {}
        """By hour, of which segments there is anything."""

    def __len__(self) -> int:
        return sum(len(some) for some in self.segments.values())

    @property
    def open(self) -> int:
        """How many are not packed."""
        return len(self._open)

    def get(self, hour_ms: int, segment: str) -> Content | None:
        """To be looked at; None where there is nothing."""
        place = hour_ms, segment
        found = self._open.get(place)
        if found is None and segment in self.segments.get(hour_ms, ()):
            if len(self._open) - len(self._loose) >= _MOST_OPENED:
                self._close_some()
            found = self._open[place] = self._opened(self._book.get(_key(place)))
        return found

    def _close_some(self) -> None:
        """Pack those that were opened first: of many corrections at once each may open another hour."""
        opened = [place for place in self._open if place not in self._loose]
        for place in opened[: _MOST_OPENED // 2]:
            self._pack(place)
            del self._open[place]

    def change(self, bucket_ms: int, segment: str) -> Content:
        """The hour of a bucket that is to be changed; new where there is nothing."""
        hour_ms = hour_of(bucket_ms)
        place = hour_ms, segment
        found = self.get(hour_ms, segment)
        if found is None:
            found = self._new(place)
        if place in self._loose:
            self._changed_minutes.add(bucket_ms - bucket_ms % MINUTE_MS)
        else:
            self._changed.add(place)
        return found

    def _new(self, place: Place) -> Content:
        found = self._open[place] = self._opened(None)
        self._loose.add(place)
        self.segments.setdefault(place[0], set()).add(place[1])
        return found

    def close(self, before_ms: int) -> None:
        """Pack what is of earlier hours; of the new ones some at a time."""
        old = [place for place in self._open if place[0] < before_ms]
        loose = [place for place in old if place in self._loose]
        for place in loose[: max(_PACKED_AT_A_TIME, len(loose) - _MOST_WAITING)]:
            self._loose.discard(place)
            self._changed.add(place)
            self._changed_minutes.update(range(place[0], place[0] + HOUR_MS, MINUTE_MS))
        for place in old:
            if place not in self._loose:
                self._pack(place)
                del self._open[place]

    def forget(self, before_ms: int) -> None:
        """Drop the hours that end at or before the time."""
        for hour in [one for one in self.segments if one + HOUR_MS <= before_ms]:
            for segment in self.segments.pop(hour):
                place = hour, segment
                self._open.pop(place, None)
                self._changed.discard(place)
                if place in self._loose:
                    self._loose.discard(place)
                    self._changed_minutes.update(range(hour, hour + HOUR_MS, MINUTE_MS))
                if (key := _key(place)) in self._book:
                    self._book.remove(key)

    def snapshot(self, cut: Cut, begins: str) -> None:
        """Put what has changed since the last one into a cut, in shards whose names begin so."""
        for place in list(self._changed):
            self._pack(place)
        for number, stored in self._book.take_changed():
            cut.put(f"{begins}{number}", stored)
        for minute in self._changed_minutes:
            cut.put(f"{begins}{MINUTE}{minute}", list(self._loose_in(minute)))
        self._changed_minutes = set()

    def _loose_in(self, minute_ms: int) -> Iterator[list[Any]]:
        hour_ms = hour_of(minute_ms)
        for segment in sorted(self.segments.get(hour_ms, ())):
            if (hour_ms, segment) in self._loose:
                content = self._open[hour_ms, segment].within(minute_ms, minute_ms + MINUTE_MS)
                if content:
                    yield [segment, content]

    def restore(self, shards: Shards, begins: str) -> None:
        """Take stored shards. Raises ValueError where they are broken."""
        ours = {name.removeprefix(begins): one for name, one in shards.items() if name.startswith(begins)}
        by_minute = {name: one for name, one in ours.items() if name.startswith(MINUTE)}
        self._book.restore(packed_of({name: one for name, one in ours.items() if name not in by_minute}, ""))
        for key in self._book:
            hour, segment = _place(key)
            self.segments.setdefault(hour, set()).add(segment)
        for name, content in by_minute.items():
            hour = hour_of(int(name.removeprefix(MINUTE)))
            for segment, some in content:
                # What was packed after its minutes were written is whole in the book.
                if (hour, segment) in self._loose or segment not in self.segments.get(hour, ()):
                    place = hour, segment
                    found = self._open.get(place)
                    (self._new(place) if found is None else found).add(some)

    def _pack(self, place: Place) -> None:
        if place in self._changed:
            self._changed.discard(place)
            self._book.put(_key(place), self._open[place].packed())


def _key(place: Place) -> str:
    return f"{place[0]} {place[1]}"


def _place(key: str) -> Place:
    """Raises ValueError."""
    hour, _, segment = key.partition(" ")
    return int(hour), segment
