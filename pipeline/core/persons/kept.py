"""What is kept of many: packed in a book, looked at when something of theirs is due, numbered by who told it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pipeline.core.book import Book
from pipeline.core.cuts import FACTS, Cut, Head, Shards, packed_of
from pipeline.core.sources import Sources
from pipeline.core.timer_wheel import TimerWheel
from pipeline.model.event_time import NEVER_MS

_SLOT_MS: Final = 10_000


class Kept:
    """Of one partition: sources, a book by name, and when whom something is due of."""

    def __init__(self, generation_start: int, sources: int, lateness_ms: int) -> None:
        """``sources``: how many there are, heard of or not."""
        self._lateness_ms: Final = lateness_ms
        self.over_ms = -NEVER_MS
        """What was due before it is let go: told again by a run that has crashed, it would stand there alone."""
        self.sources: Final = Sources(generation_start, sources)
        self.book: Final = Book()
        self._numbers: dict[str, int] = {}
        self._due: Final[TimerWheel[str]] = TimerWheel(_SLOT_MS)

    def hear(self, source: str, version: int, watermark_ms: int | None, more: bool) -> int | None:
        """Note what a message says of its source; gives the source's number, None where it is of an earlier
        generation.
        """
        # By what had been passed before: a message may tell old facts and how far time has come at once.
        if (passed_ms := self.sources.all_passed_ms()) is not None and self.may_forget:
            self.over_ms = max(self.over_ms, passed_ms - self._lateness_ms)
        if not self.sources.hear(source, version, watermark_ms, more):
            return None
        return self._numbers.setdefault(source, len(self._numbers))

    @property
    def may_forget(self) -> bool:
        """Whether nothing is on its way that is older than what all have passed.

        A source that has crashed and tells again is not as far as it once said.
        """
        return not self.sources.is_mid_batch and not self.sources.is_told_again

    def put(self, name: str, content: bytes | None, due_ms: int | None) -> None:
        """Keep what there is of a name; None: nothing.

        ``due_ms``: when it is looked at again; None: when it was to be.
        """
        if content is not None:
            self.book.put(name, content)
        elif name in self.book:
            self.book.remove(name)
        self.note_due(name, due_ms)

    def erase(self, names: Iterable[str]) -> None:
        """Keep nothing of these, by now and in the next snapshot."""
        for name in names:
            self.book.remove(name)
        self.book.renew()

    def take_due(self, passed_ms: int) -> set[str]:
        """Those of whom something is due, or may be in this slot: they are to be put again."""
        return set(self._due.take(passed_ms))

    def snapshot(self, head: Mapping[str, Any]) -> Cut:
        """``head``: what there is besides."""
        made = Cut({**self.sources.head(), "numbers": self._numbers, "over_ms": self.over_ms, **head})
        for number, stored in self.book.take_changed():
            made.put(f"{FACTS}{number}", stored)
        return made

    def restore(self, head: Head, shards: Shards) -> None:
        """When things are due is to be noted by putting them again. Raises ValueError."""
        self.sources.restore(head)
        self._numbers, self.over_ms = dict(head["numbers"]), head["over_ms"]
        self.book.restore(packed_of(shards, FACTS))

    def note_due(self, name: str, due_ms: int | None) -> None:
        """The same as ``put`` of what is there already."""
        if due_ms is not None:
            self._due.add(due_ms, name)
