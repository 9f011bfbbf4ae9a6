"""What is kept of segments for weeks, by hour of event time: packed, and opened while it is worked on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from pipeline.core.book import Book

HOUR_MS: Final = 3_600_000
Content = TypeVar("Content")
Place = tuple[int, str]
"""Start of the hour, ms; segment."""


def hour_of(at_ms: int) -> int:
    """Start of the hour that holds the instant, ms."""
    return at_ms - at_ms % HOUR_MS


class Hours(Generic[Content]):
    """Content by segment and hour."""

    def __init__(self, opened: Callable[[bytes | None], Content], packed: Callable[[Content], bytes]) -> None:
        """``opened``: gives the content of what was packed, or new content where nothing was."""
        self._opened: Final = opened
        self._packed: Final = packed
        self._book: Final = Book()
        self._open: dict[Place, Content] = {}
        self._changed: set[Place] = set()
        self.segments: dict[int, set[str]] = {}
        """By hour, of which segments there is anything."""

    def __len__(self) -> int:
        return sum(len(some) for some in self.segments.values())

    def get(self, hour_ms: int, segment: str) -> Content | None:
        """To be looked at; None where there is nothing."""
        place = hour_ms, segment
        found = self._open.get(place)
        if found is None and segment in self.segments.get(hour_ms, ()):
            found = self._open[place] = self._opened(self._book.get(_key(place)))
        return found

    def change(self, hour_ms: int, segment: str) -> Content:
        """To be changed; new where there is nothing."""
        place = hour_ms, segment
        found = self.get(hour_ms, segment)
        if found is None:
            found = self._open[place] = self._opened(None)
            self.segments.setdefault(hour_ms, set()).add(segment)
        self._changed.add(place)
        return found

    def close(self, before_ms: int) -> None:
        """Keep only what is of later hours open."""
        for place in [one for one in self._open if one[0] < before_ms]:
            self._pack(place)
            del self._open[place]

    def forget(self, before_ms: int) -> None:
        """Drop the hours that end at or before the time."""
        for hour in [one for one in self.segments if one + HOUR_MS <= before_ms]:
            for segment in self.segments.pop(hour):
                place = hour, segment
                self._open.pop(place, None)
                self._changed.discard(place)
                if (key := _key(place)) in self._book:
                    self._book.remove(key)

    def take_changed(self) -> Iterator[tuple[int, bytes]]:
        """Shards to be written, by number; empty: there is none any more."""
        for place in list(self._changed):
            self._pack(place)
        return self._book.take_changed()

    def restore(self, shards: Mapping[int, bytes], since_ms: int) -> None:
        """Take stored shards; of what ended by ``since_ms`` nothing. Raises ValueError where they are broken."""
        self._book.restore(shards)
        for key in list(self._book):
            hour, segment = _place(key)
            self.segments.setdefault(hour, set()).add(segment)
        self.forget(since_ms)

    def later_than(self, at_ms: int) -> Iterable[int]:
        """Hours that begin later, in any order."""
        return [hour for hour in self.segments if hour > at_ms]

    def _pack(self, place: Place) -> None:
        if place in self._changed:
            self._changed.discard(place)
            self._book.put(_key(place), self._packed(self._open[place]))


def _key(place: Place) -> str:
    return f"{place[0]} {place[1]}"


def _place(key: str) -> Place:
    """Raises ValueError."""
    hour, _, segment = key.partition(" ")
    return int(hour), segment
