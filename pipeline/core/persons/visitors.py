"""Which person is behind a visitor: facts of visitors in, statements about persons out.

A visitor is a customer to a fact if events within seven days of it name this one customer with the visitor, and no
other. The facts that this concerns are told anew when it changes, and taken back from all that it can have been
(law 2): customers are only ever added to those that are named near a fact.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Final

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.persons.held import HeldFacts, due_ms
from pipeline.core.persons.kept import Kept
from pipeline.model.erasure import NONE, STANDS, Erased, is_erased, stand_in
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import (
    HORIZON_MS,
    KEPT_MS,
    MOST_CUSTOMERS,
    MOST_FACTS,
    Held,
    customer,
    pack,
    unpack_visitor,
    visitor,
)
from pipeline.model.named_together import telling
from schemas.erasures import mark_of
from schemas.facts import Fact, FactKey, Observation, Statement, key_of

_NOTHING: Final = pack(({}, []))


class _Changing:
    """A visitor while a batch changes it."""

    def __init__(self, seen: dict[str, list[int]], facts: list[Held]) -> None:
        """``seen``: by customer when they were named together, ascending, without what two others tell as well."""
        self._held: Final = facts
        self._facts: HeldFacts | None = None
        self.before = {name: list(times) for name, times in seen.items()} if facts else {}
        self.seen = seen
        self.new: dict[FactKey, Fact] = {}
        """Facts told of for the first time."""
        self.again: dict[FactKey, Fact] = {}
        """Facts that something else was told of before, in this batch or earlier."""
        self.is_seen_anew = False
        """Whether somebody has been named near a fact who was not near it before."""
        self.has_changed = False
        self.is_due_anew = not seen and not facts
        """Whether something may be due sooner than before."""

    @property
    def facts(self) -> HeldFacts:
        """Made when they are asked for: most of what comes names a visitor's one customer once more."""
        if self._facts is None:
            self._facts = HeldFacts(self._held)
        return self._facts

    def held(self) -> list[Held]:
        return self._held if self._facts is None else self._facts.all()

    def was_held(self, key: FactKey) -> bool:
        """Whether a fact held before the batch."""
        return any(one.holds and key_of(one.fact) == key for one in self._held)

    def see(self, customer_id: str, at_ms: int) -> None:
        customer_id = self._known_as(customer_id)
        times = self.seen.setdefault(customer_id, [])
        at = bisect_left(times, at_ms)
        if at < len(times) and times[at] == at_ms:
            return
        for one in self._held:
            if abs(one.fact.ended_ms - at_ms) <= HORIZON_MS and not _is_near(times, one.fact):
                self.is_seen_anew = True
        self.is_due_anew = self.is_due_anew or at == 0
        insort(times, at_ms)
        self.seen[customer_id] = telling(times)
        self.has_changed = True

    def _known_as(self, customer_id: str) -> str:
        """An id and its stand-in, from who knows of an erasure and who does not yet, are one customer."""
        if customer_id[:1] == STANDS:
            for name in self.seen:
                if stand_in(customer(name)) == customer_id:
                    self.seen[customer_id] = self.seen.pop(name)
                    self.has_changed = True
                    break
            return customer_id
        for name in self.seen:
            if name[:1] == STANDS:
                stands = stand_in(customer(customer_id))
                return stands if stands in self.seen else customer_id
        return customer_id

    def state(self, source: int, version: int, statement: Statement) -> None:
        fact = statement.fact
        key = key_of(fact)
        is_new, is_news = self.facts.take(key, source, version, statement.holds, fact)
        if not is_news:
            return
        self.has_changed = self.is_due_anew = True
        if is_new and statement.holds:
            self.new[key] = fact
        else:
            self.again[key] = fact

    def shorten(self) -> int:
        """Let go what is too much; gives how many facts."""
        if len(self.seen) > MOST_CUSTOMERS:
            newest = sorted(self.seen, key=lambda name: (self.seen[name][-1], name))[-MOST_CUSTOMERS:]
            self.seen = {name: self.seen[name] for name in newest}
        return self.facts.shorten(MOST_FACTS) if len(self.held()) > MOST_FACTS else 0

    def forget(self, passed_ms: int) -> None:
        self.facts.forget(passed_ms)
        self.is_due_anew = True
        facts = self.held()
        self.seen = {
            name: kept
            for name, times in self.seen.items()
            if (kept := [at_ms for at_ms in times if _needed_until(at_ms, facts) >= passed_ms])
        }


class Visitors:
    """State of one partition of ``cx.visits``."""

    def __init__(self, first_version: int, sources: int, lateness_ms: int, erased: Erased = NONE) -> None:
        """``sources``: how many there are, heard of or not."""
        self.kept: Final = Kept(first_version, sources, lateness_ms)
        self._lateness_ms: Final = lateness_ms
        self._changing: dict[str, _Changing] = {}
        self.shortened = 0
        """Facts let go because there were too many of one visitor."""
        self.is_catching_up = True
        """Whether a run that has crashed may have told more than this state knows of."""
        self.erased = erased
        self._taken_back: list[Statement] = []
        """What was told of who is erased."""

    def __len__(self) -> int:
        return len(self.kept.book)

    @property
    def passed_ms(self) -> int | None:
        """What all sources have passed; None where one is not heard of."""
        return self.kept.sources.all_passed_ms()

    @property
    def is_sure(self) -> bool:
        """Whether it is known how far all sources are, and nothing older than that is on its way."""
        return self.passed_ms is not None and self.kept.may_forget

    def take(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        more: bool,
        statements: Iterable[Statement],
        observations: Iterable[Observation],
    ) -> None:
        """Take what one source sent after one batch."""
        number = self.kept.hear(source, version, watermark_ms, more)
        if number is None:
            return
        over_ms = self.kept.over_ms
        erased = self.erased if self.erased.marks else None
        for one in observations:
            if one.at_ms + HORIZON_MS + KEPT_MS >= over_ms:
                who, customer_id = one.visitor_id, one.customer_id
                if erased is not None:
                    who, customer_id = erased.visitor(who), erased.customer(customer_id)
                self._of(who).see(customer_id, one.at_ms)
        for statement in statements:
            if due_ms(statement.fact) >= over_ms:  # else it was let go; a run that has crashed told it
                who = statement.who if erased is None else erased.visitor(statement.who)
                self._of(who).state(number, version, statement)

    def _of(self, visitor_id: str) -> _Changing:
        found = self._changing.get(visitor_id)
        if found is None:
            stored = self.kept.book.get(visitor_id)
            found = self._changing[visitor_id] = (
                _Changing({}, []) if stored is None else _Changing(*unpack_visitor(stored))
            )
        return found

    def settle(self) -> list[Statement]:
        """What a batch leads to. Nothing else may be asked of the state before."""
        told, self._taken_back = self._taken_back, []
        passed_ms = self.passed_ms
        due = set() if passed_ms is None else self.kept.take_due(passed_ms - self._lateness_ms)
        for visitor_id, one in self._changing.items():
            if one.new or one.again or one.is_seen_anew:
                told.extend(_told(visitor_id, one, self.is_catching_up))
        for visitor_id in due - self._changing.keys():
            if visitor_id in self.kept.book:
                self._of(visitor_id)
        for visitor_id, one in self._changing.items():
            self.shortened += one.shorten()
            if visitor_id in due and passed_ms is not None and self.kept.may_forget:
                one.forget(passed_ms - self._lateness_ms)
            if one.has_changed or visitor_id in due:
                self._keep(visitor_id, one)
        self._changing.clear()
        if self.erased.marks:
            return [one for one in told if not self.erased.has(one.who)]
        return [one for one in told if one.who[2:3] != STANDS]  # who knows of an erasure first tells of a stand-in

    def _keep(self, visitor_id: str, one: _Changing) -> None:
        facts = one.held()
        content = pack((one.seen, facts)) if facts or one.seen else None
        self.kept.put(visitor_id, content, _next_due(one.seen, facts) if one.is_due_anew else None)

    def erase(self, erased: Erased) -> None:
        """Have stand-ins for who is erased, whatever is told of them. To be called before a batch.

        What an erased visitor has done is no customer's any more.
        """
        self.erased = erased
        for visitor_id in list(self.kept.book):
            seen, facts = unpack_visitor(self.kept.book.get(visitor_id) or b"")
            stands, shown = (
                erased.visitor(visitor_id),
                {erased.customer(name): times for name, times in seen.items()},
            )
            if stands != visitor_id:
                via, customers = via_of(visitor_id), [customer(name) for name in seen]
                for one in HeldFacts(facts).that_hold().values():
                    self._taken_back += [Statement(who, False, one.fact, via) for who in customers]
                self.kept.book.remove(visitor_id)
                # Sessions that knew before may have told of the stand-in whom it was named with.
                known, _ = unpack_visitor(self.kept.book.get(stands) or _NOTHING)
                shown = {name: sorted({*known.get(name, ()), *shown.get(name, ())}) for name in {**known, **shown}}
            elif shown.keys() == seen.keys():
                continue
            self.kept.put(stands, pack((shown, facts)), _next_due(shown, facts))
        self.kept.book.renew()

    def end_catching_up(self) -> None:
        """All that such a run can have taken has been taken."""
        self.is_catching_up = False

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between batches."""
        return self.kept.snapshot({})

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        self.kept.restore(head, shards)
        for visitor_id in self.kept.book:
            seen, facts = unpack_visitor(self.kept.book.get(visitor_id) or b"")
            self.kept.note_due(visitor_id, _next_due(seen, facts))


def _needed_until(at_ms: int, facts: list[Held]) -> int:
    """When it is of no matter any more who was named then: no fact near it is kept, which could be told again."""
    near = [due_ms(one.fact) for one in facts if abs(one.fact.ended_ms - at_ms) <= HORIZON_MS]
    return max([at_ms + KEPT_MS, *near])


def _next_due(seen: dict[str, list[int]], facts: list[Held]) -> int | None:
    """When the next of these is let go."""
    found = NEVER_MS
    for one in facts:
        found = min(found, due_ms(one.fact))
    for times in seen.values():
        if times[0] + KEPT_MS < found:
            found = min(found, _needed_until(times[0], facts))
    return None if found == NEVER_MS else found


def _told(visitor_id: str, one: _Changing, is_catching_up: bool) -> Iterator[Statement]:
    """Statements about the facts that a batch has changed, or whose person it has."""
    via = via_of(visitor_id)
    holding = {key: held.fact for key, held in one.facts.that_hold().items()}
    for key, fact in one.again.items():
        now = holding.get(key)
        if now is None and not one.was_held(key) and not is_catching_up:
            continue  # nobody was told of it
        current = None if now is None else _person(visitor_id, one.seen, now)
        # When it was another time its person can have been any that was ever named.
        for person in dict.fromkeys([visitor(visitor_id), *map(customer, one.seen)]):
            yield Statement(person, person == current, now or fact, via)
    for key, fact in holding.items():
        if key in one.again or not (one.is_seen_anew or key in one.new):
            continue
        was, after = _customers(one.before, fact), _customers(one.seen, fact)
        is_new = key in one.new
        if not is_new and (len(was) > 1 or was == after):
            continue  # with several it was the visitor's, and stays so
        current = _person(visitor_id, one.seen, fact)
        yield Statement(current, True, fact, via)
        told_before = _told_before(visitor_id, was, after, is_new, is_catching_up)
        if is_catching_up and is_erased(visitor_id):
            told_before = [visitor(visitor_id), *map(customer, one.seen)]
        for person in told_before:
            if person != current:
                yield Statement(person, False, fact, via)


def _told_before(
    visitor_id: str, was: list[str], after: list[str], is_new: bool, is_catching_up: bool
) -> Iterable[str]:
    """Of whom a fact may have been told. Customers near it are only added, so once there are several it stays."""
    if is_catching_up and (is_new or not was) and was != after:
        yield visitor(visitor_id)
        yield from map(customer, after)
    elif not is_new:
        yield customer(was[0]) if was else visitor(visitor_id)


def _is_near(times: list[int], fact: Fact) -> bool:
    """Whether one of the times (ascending) is near the fact."""
    at = bisect_left(times, fact.ended_ms - HORIZON_MS)
    return at < len(times) and times[at] <= fact.ended_ms + HORIZON_MS


def _customers(seen: dict[str, list[int]], fact: Fact) -> list[str]:
    """Those who are named with the visitor near the fact."""
    return sorted([name for name, times in seen.items() if _is_near(times, fact)])


def via_of(visitor_id: str) -> int:
    """By which statements of a visitor are told from others' about the same fact: the same of its stand-in."""
    mark = visitor_id[1:] if is_erased(visitor_id) else mark_of(visitor(visitor_id))
    try:
        return int(mark[:8], 16)
    except ValueError:  # an event's own id, made to look like a stand-in
        return 0


def _person(visitor_id: str, seen: dict[str, list[int]], fact: Fact) -> str:
    if is_erased(visitor_id):
        return visitor(visitor_id)
    customers = _customers(seen, fact)
    return customer(customers[0]) if len(customers) == 1 else visitor(visitor_id)
