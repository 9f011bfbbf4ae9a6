"""Who has been erased, and what stands for such an id in states: a name that is told nobody (docs/erasure.md).

Each erased id has a stand-in of its own, so that states go on as if it were any other: who is one person stays
one, and nothing that others have done becomes somebody else's. Whatever a stand-in has done is nobody's.
"""

from collections.abc import Callable, Iterable
from typing import Final

from pipeline.model.facts import customer, visitor
from schemas.erasures import mark_of
from schemas.facts import KNOWN

STANDS: Final = "\0"
"""Begins a stand-in. An event's id that begins so is taken for one: nobody's."""
_MOST_KEPT: Final = 100_000

Hide = Callable[[str], str]


def is_erased(shown: str) -> bool:
    """Whether what stands in a state for a customer's or visitor's id is a stand-in."""
    return shown.startswith(STANDS)


def stand_in(person: str) -> str:
    """For the id in a person's name."""
    return STANDS + mark_of(person)


class Erased:
    """All that are erased up to some place of ``cx.erasures``."""

    def __init__(self, marks: Iterable[str] = (), end: int = 0) -> None:
        """``end``: the offset after the last record read."""
        self._marks: Final = frozenset(marks)
        self.end: Final = end
        self._kept: dict[str, str] = {}
        """By name the stand-in, or the name's own id."""

    @property
    def marks(self) -> frozenset[str]:
        return self._marks

    def has(self, person: str) -> bool:
        """Whether this person, known by name, is erased."""
        return is_erased(person[2:]) or (bool(self._marks) and is_erased(self._shown(person)))

    def customer(self, shown: str) -> str:
        """The customer's id as states have it, or its stand-in."""
        return self._shown(customer(shown))

    def visitor(self, shown: str) -> str:
        """The same of a visitor's. ``NOBODY`` stays."""
        return self._shown(visitor(shown)) if shown else shown

    def person(self, name: str) -> str:
        """The same of a person's name; that of a session stays."""
        return name[:2] + self._shown(name) if name.startswith(KNOWN) else name

    def hiding(self, pseudonym: Hide | None) -> tuple[Hide | None, Hide | None]:
        """What an event's customer and visitor are replaced by, after their pseudonyms; None: they stay."""
        if not self._marks:
            return pseudonym, pseudonym
        if pseudonym is None:
            return self.customer, self.visitor
        of = pseudonym
        return lambda one: self.customer(of(one)), lambda one: self.visitor(of(one))

    def _shown(self, person: str) -> str:
        if not self._marks:
            return person[2:]
        found = self._kept.get(person)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            found = self._kept[person] = stand_in(person) if mark_of(person) in self._marks else person[2:]
        return found


NONE: Final = Erased()
