"""The facts of persons, and what has become of their journeys (docs/persons.md).

What is put out of a person is a function of the set of the person's facts, and of what all sources have passed.
What differs is told. While that is read again which a run that has crashed may have read, the run may have told
what lies between two batches: where something was taken away, or what was added undoes something, all of the
person's journeys are told then (law 2).
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.persons.held import FactKey, HeldFacts, due_ms
from pipeline.core.persons.kept import Kept
from pipeline.core.persons.recoveries import Recovery, recoveries
from pipeline.model.facts import HORIZON_MS, MOST_FACTS, Held, pack, step_of, unpack_person
from schemas.facts import ABANDONED, CANCELLATION, CUSTOMER, PURCHASE, VISITOR, Fact, Statement
from schemas.recoveries import RETRACTED

KNOWN: Final = (CUSTOMER, VISITOR)
_VIA_BITS: Final = 16


class RecoveryRow(NamedTuple):
    """What is to be told of a journey."""

    person: str
    recovery: Recovery


class _Changing:
    """A person while a batch changes the facts."""

    def __init__(self, held: list[Held], passed_ms: int | None) -> None:
        self.facts = HeldFacts(held)
        self.before = recoveries(self.facts.that_hold(), passed_ms)
        self.is_undone = False
        """Whether something that may have been told is so no more, and leaves no trace in what is now."""
        self.taken_back: dict[FactKey, Fact] = {}
        self.added: set[str] = set()
        """Kinds of facts told."""

    def state(self, source: int, version: int, statement: Statement) -> None:
        fact = statement.fact
        taken = self.facts.take(source, version, statement.holds, fact)
        if not taken.is_news:
            return
        is_undoing = fact.kind == CANCELLATION or self.facts.has_another_of_order(fact)
        self.added.add(fact.kind)
        # A journey that is added takes a purchase's value from another; a purchase added besides may give it back.
        is_undoing = is_undoing or {ABANDONED, PURCHASE} <= self.added
        if not statement.holds or not taken.is_new or is_undoing:
            self.is_undone = True
            self.taken_back[fact.key] = fact

    def rows(self, person: str, passed_ms: int | None, is_catching_up: bool) -> list[RecoveryRow]:
        """What is to be told, when all of this time has been passed."""
        now, is_undone = recoveries(self.facts.that_hold(), passed_ms), self.is_undone and is_catching_up
        told = [one for key, one in now.items() if is_undone or self.before.get(key) != one]
        gone = {key: one.journey for key, one in self.before.items()}
        if is_undone:
            gone |= self.taken_back
        for key, fact in gone.items():
            if key not in now and fact.kind == ABANDONED:
                told.append(Recovery(fact, RETRACTED, None, 0.0))
        return [RecoveryRow(person, one) for one in told]


class Persons:
    """State of one partition of ``cx.facts``."""

    def __init__(self, first_version: int, sources: int, lateness_ms: int) -> None:
        """``sources``: how many there are, heard of or not."""
        self.kept: Final = Kept(first_version, sources, lateness_ms)
        self._lateness_ms: Final = lateness_ms
        self._told_ms: int | None = None
        """What all sources had passed when rows were put out last."""
        self._changing: dict[str, _Changing] = {}
        self.shortened = 0
        """Facts let go because there were too many of one person."""
        self.is_catching_up = True
        """Whether a run that has crashed may have told more than this state knows of."""

    def __len__(self) -> int:
        return len(self.kept.book)

    def facts(self) -> int:
        """How many facts are kept: to be measured, for it looks at every person."""
        return sum(len(unpack_person(self.kept.book.get(person) or b"")) for person in self.kept.book)

    def take(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        more: bool,
        statements: Iterable[Statement],
    ) -> None:
        """Take what one source sent after one batch."""
        number = self.kept.hear(source, version, watermark_ms, more)
        if number is None:
            return
        for statement in statements:
            # What was let go is told again by a run that has crashed only.
            if statement.who.startswith(KNOWN) and due_ms(statement.fact) >= self.kept.over_ms:
                one = self._of(statement.who)
                one.state(number | statement.via << _VIA_BITS, version, statement)
                if len(one.facts) > 2 * MOST_FACTS:
                    self.shortened += one.facts.shorten(MOST_FACTS)

    def _of(self, person: str) -> _Changing:
        found = self._changing.get(person)
        if found is None:
            stored = self.kept.book.get(person)
            held = [] if stored is None else unpack_person(stored)
            found = self._changing[person] = _Changing(held, self._told_ms)
        return found

    def settle(self) -> list[RecoveryRow]:
        """What a batch leads to. Nothing else may be asked of the state before."""
        passed_ms = self.kept.sources.all_passed_ms()
        due = set() if passed_ms is None else self.kept.take_due(passed_ms)
        for person in due:
            if person in self.kept.book:
                self._of(person)
        rows: list[RecoveryRow] = []
        for person, one in self._changing.items():
            rows += one.rows(person, passed_ms, self.is_catching_up)
            self.shortened += one.facts.shorten(MOST_FACTS)
            if passed_ms is not None:
                one.facts.forget(passed_ms - self._lateness_ms)
            self._keep(person, one.facts.all(), passed_ms)
        self._changing.clear()
        self._told_ms = passed_ms
        return rows

    def _keep(self, person: str, held: list[Held], passed_ms: int | None) -> None:
        self.kept.put(person, pack(held) if held else None, self._next_due(held, passed_ms))

    def _next_due(self, held: list[Held], passed_ms: int | None) -> list[int]:
        """When something is to be told, or let go."""
        times = [due_ms(one.fact) + self._lateness_ms for one in held]
        for one in held:
            over_ms = one.fact.ended_ms + HORIZON_MS
            if one.holds and one.fact.kind == ABANDONED and (passed_ms is None or over_ms >= step_of(passed_ms)):
                times.append(over_ms)
        return [min(times)] if times else []

    def end_catching_up(self) -> None:
        """All that such a run can have taken has been taken."""
        self.is_catching_up = False

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between batches."""
        return self.kept.snapshot({"told_ms": self._told_ms})

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        self.kept.restore(head, shards)
        self._told_ms = head["told_ms"]
        for person in self.kept.book:
            held = unpack_person(self.kept.book.get(person) or b"")
            self.kept.note_due(person, self._next_due(held, self._told_ms))
