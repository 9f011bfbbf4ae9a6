"""A person while a batch changes the facts: what was so before, what is so now, and what of that is to be told.

While that is read again which a run that has crashed may have read, the run may have told what lies between two
batches. Where something was taken away, or what was added undoes something, all of the person's journeys are told
then; and of moments all that can have been, those that are not as withdrawn (law 2).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.core.persons.counts import Place, dims_of, is_asked_between
from pipeline.core.persons.held import HeldFacts
from pipeline.core.persons.moments import NO_PAST, Moment, MomentKey, Past, could_fire, moments, possible, settled
from pipeline.core.persons.recoveries import Recovery, purchases, recoveries
from pipeline.core.persons.seen import changes
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import MOST_FACTS, Held, pack, unpack_person
from pipeline.model.moments import MomentRule, name_of
from pipeline.model.tiles import SEEN, bucket_of, moments_counter
from schemas.facts import ABANDONED, CANCELLATION, KNOWN, PURCHASE, Fact, FactKey, Statement, key_of
from schemas.recoveries import RETRACTED

_OF_RECOVERIES: Final = (ABANDONED, PURCHASE, CANCELLATION)
"""Facts that journeys are recovered by, or were."""
Rules = tuple[MomentRule, ...]
#: Of most persons there is no journey and no moment; nothing is ever put into these.
_NO_RECOVERIES: Final[dict[FactKey, Recovery]] = {}
_NO_MOMENTS: Final[dict[MomentKey, Moment]] = {}
_NO_FACTS: Final[dict[FactKey, Fact]] = {}


class RecoveryRow(NamedTuple):
    """What is to be told of a journey."""

    person: str
    recovery: Recovery


class MomentRow(NamedTuple):
    """What is to be told of a moment."""

    person: str
    moment: Moment
    holds: bool
    """Whether it has fired; else it is withdrawn."""


class PurchaseRow(NamedTuple):
    """What is to be told of a purchase."""

    person: str
    purchase: Fact
    counts: bool
    """Whether it is one: neither cancelled nor the copy of another, and this person's."""


class Changing:
    """A person while a batch changes the facts."""

    def __init__(self, person: str, stored: bytes | None, passed_ms: int | None, rules: Rules) -> None:
        held, until_ms, fired = ([], None, None) if stored is None else unpack_person(stored)
        self.past = NO_PAST if until_ms is None or fired is None else Past(until_ms, fired)
        self.facts = HeldFacts(held)
        self._is_known = person.startswith(KNOWN)
        self._rules = rules
        self._passed_ms = passed_ms
        self._is_asked = False
        """Whether anything can have become of a journey."""
        self.before = _NO_RECOVERIES
        self.now = _NO_RECOVERIES
        self._touched: set[str] = set()
        """Names, as rules have them, of what was told of."""
        self._has_shortened = False
        """Whether facts were let go since the batch began."""
        self._held_before: dict[FactKey, Held] | None = None
        """Those that hold before the first that is told of."""
        self._kept_before: list[Held] = []
        """All of that time."""
        self._held_now: dict[FactKey, Held] | None = None
        """Those that hold when all has been told; to be asked of ``_holding``."""
        self._fired_before = _NO_MOMENTS
        self._fired_now = _NO_MOMENTS
        self._bought_before: dict[FactKey, Fact] | None = None
        """Where any purchase or cancellation was told of."""
        self._contents: list[Fact] = []
        """What was told of facts, also what has been replaced since."""
        self._told: list[FactKey] = []
        """The keys of those."""
        self.is_undone = False
        """Whether something that may have been told is so no more, and leaves no trace in what is now."""
        self.taken_back = _NO_FACTS
        self._has_journey = False
        self._has_purchase = False
        """Whether any was told of."""
        self.stated: list[Fact] = []
        """Journeys told of."""

    def state(self, source: int, version: int, statement: Statement) -> None:
        fact = statement.fact
        if self._held_before is None:
            self._held_before, self._kept_before = self.facts.that_hold(), self.facts.all()
        if self._rules and (name := name_of(fact)):
            self._touched.add(name)
        if fact.kind in _OF_RECOVERIES and self._is_known:
            self.look_again()
            if fact.kind != ABANDONED and self._bought_before is None:
                self._bought_before = _bought(self._held_before)
        key = key_of(fact)
        is_new, is_news = self.facts.take(key, source, version, statement.holds, fact)
        if not is_news:
            return
        self._contents.append(fact)
        self._told.append(key)
        if fact.kind == ABANDONED and statement.holds:
            self.stated.append(fact)
        self._has_journey = self._has_journey or fact.kind == ABANDONED
        self._has_purchase = self._has_purchase or fact.kind == PURCHASE
        is_undoing = fact.kind == CANCELLATION or self.facts.has_another_of_order(fact)
        # A journey that is added takes a purchase's value from another; a purchase added besides may give it back.
        is_undoing = is_undoing or (self._has_journey and self._has_purchase)
        if not statement.holds or not is_new or is_undoing:
            self.is_undone = True
            if self.taken_back is _NO_FACTS:
                self.taken_back = {}
            self.taken_back[key] = fact

    def shorten(self) -> int:
        """Let the oldest facts go where there are too many; gives how many."""
        count = self.facts.shorten(MOST_FACTS)
        self._has_shortened = self._has_shortened or count > 0
        return count

    def look_again(self) -> None:
        """It is to be told what has become of journeys: time has passed, or a fact of theirs is about to come."""
        if not self._is_asked and self._is_known:
            self._is_asked = True
            held = self.facts.that_hold() if self._held_before is None else self._held_before
            self.before = recoveries(held.values(), self._passed_ms)

    def settle(self, passed_ms: int | None) -> None:
        """What follows from the facts, when all of this time has been passed."""
        if self._is_asked:
            self.now = recoveries(self._holding().values(), passed_ms)

    def _holding(self) -> dict[FactKey, Held]:
        """To be asked when all has been told, and before anything is let go."""
        if self._held_now is None:
            self._held_now = self.facts.that_hold()
        return self._held_now

    def moment_rows(self, person: str, is_catching_up: bool) -> list[MomentRow]:
        """What is to be told of moments."""
        held_before = self._held_before
        if held_before is None or not self._touched:
            return []
        rules = [rule for rule in self._rules if not rule.names.isdisjoint(self._touched)]
        if not self._has_shortened:  # else what fired before may be of facts that are not there any more
            rules = could_fire(self.facts.all(), rules)  # most persons lack what a rule asks for
        if not rules:
            return []
        now = moments(_facts(self._holding()), rules, self.past)
        before = moments(_facts(held_before), rules, self.past)
        self._fired_before, self._fired_now = before, now
        # A run that has crashed may have told what was so between two of the facts.
        unsure_ms = self._unsure_ms() if is_catching_up else NEVER_MS
        rows = [
            MomentRow(person, moment, holds=True)
            for key, moment in now.items()
            if before.get(key) != moment or moment.fact.ended_ms >= unsure_ms
        ]
        gone = before
        if unsure_ms < NEVER_MS:
            gone = possible(set(self._every()), rules, self.past, unsure_ms) | before
        rows += [MomentRow(person, moment, holds=False) for key, moment in gone.items() if key not in now]
        return rows

    def counted(self, dimensions: int) -> list[tuple[Place, str, int]]:
        """What is counted of visits and moments: where, what, and by how much it differs.

        To be asked when the rows of moments have been taken.
        """
        if self._held_before is None or not self._rules:
            return []
        seen = changes(self._told, self._held_before, self._holding(), dimensions)
        found = [(place, SEEN, times) for place, times in seen]
        for some, times in ((self._fired_before, -1), (self._fired_now, 1)):
            found += [(_place(one.fact, dimensions), moments_counter(one.rule), times) for one in some.values()]
        return found

    def places(self, dimensions: int) -> Iterator[Place]:
        """Where a run that has crashed may have counted visits and moments otherwise."""
        if self._rules:
            unsure_ms = self._unsure_ms()
            for fact in self._every():
                if fact.ended_ms >= unsure_ms:
                    yield _place(fact, dimensions)

    def _every(self) -> list[Fact]:
        """All that has been told of facts, what there was before and what there is."""
        return [*self._contents, *(one.fact for one in (*self._kept_before, *self.facts.all()))]

    def _unsure_ms(self) -> int:
        """When the earliest was of the facts told of, by whatever has been told of them."""
        keys = set(self._told)
        return min([fact.ended_ms for fact in self._every() if key_of(fact) in keys], default=NEVER_MS)

    def purchase_rows(self, person: str, is_catching_up: bool) -> list[PurchaseRow]:
        """What is to be told of purchases."""
        before = self._bought_before
        if before is None:
            return []
        now = _bought(self._holding())
        # A run that has crashed may have told that any counts, or does not.
        told = [*self._contents, *(one.fact for one in self.facts.all())] if is_catching_up else []
        rows = [
            PurchaseRow(person, fact, counts=True)
            for key, fact in now.items()
            if is_catching_up or before.get(key) != fact
        ]
        gone = {key_of(one): one for one in told if one.kind == PURCHASE} | before
        return rows + [PurchaseRow(person, fact, counts=False) for key, fact in gone.items() if key not in now]

    def settle_moments(self, until_ms: int) -> None:
        """Nothing before the time can change any more."""
        if rules := self._rules:
            self.past = settled(
                self.past, moments(_facts(self._holding()), rules, self.past).values(), rules, until_ms
            )

    def content(self) -> bytes | None:
        """What is kept."""
        held = self.facts.all()
        return pack((held, self.past.until_ms, self.past.fired)) if held else None

    def rows(self, person: str, is_catching_up: bool) -> list[RecoveryRow]:
        """What is to be told."""
        if not self._is_asked and not is_catching_up:
            return []
        now, is_undone = self.now, self.is_undone and is_catching_up
        told = [one for key, one in now.items() if is_undone or self.before.get(key) != one]
        gone = {key: one.journey for key, one in self.before.items()}
        if is_undone:
            gone |= self.taken_back
        for key, fact in gone.items():
            if key not in now and fact.kind == ABANDONED:
                told.append(Recovery(fact, RETRACTED, None, 0.0))
        return [RecoveryRow(person, one) for one in told]

    def changed(self, before_ms: int | None, passed_ms: int | None) -> Iterator[tuple[Recovery, int | None, int]]:
        """What counts otherwise than before: a row, by what had passed it counts, and how often.

        ``before_ms``: what all sources had passed before; both by whole steps.
        """
        for key, one in self.before.items():
            after = self.now.get(key)
            if after == one and not is_asked_between(one.journey, before_ms, passed_ms):
                continue
            yield one, before_ms, -1
            if after is not None:
                yield after, passed_ms, 1
        for key, one in self.now.items():
            if key not in self.before:
                yield one, passed_ms, 1

    def journeys(self) -> Iterator[Fact]:
        """All that may have been counted: those told of, those there are and those there were."""
        yield from self.stated
        for some in (self.before, self.now):
            for one in some.values():
                yield one.journey


def _place(fact: Fact, dimensions: int) -> Place:
    return dims_of(fact, dimensions), bucket_of(fact.ended_ms)


def _facts(held: dict[FactKey, Held]) -> list[Fact]:
    return [one.fact for one in held.values()]


def _bought(held: dict[FactKey, Held]) -> dict[FactKey, Fact]:
    return {key_of(one.fact): one.fact for one in purchases(list(held.values()))} if held else {}
