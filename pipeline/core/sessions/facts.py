"""The facts of a partition's sessions, and whose they are (docs/persons.md).

A fact is told to whoever the visit's person is now. Where a run that has crashed may have told it to somebody
else, because the visit's person has changed since it could first be told, it is taken back from all that were
named (law 2).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from pipeline.core.book import Book
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.visits import Named, Visit, visits_of
from pipeline.core.sessions.walk import ABANDONED, Journey
from pipeline.model.facts import CANCELS, MOST_FACTS, RECOVERABLE, customer, pack, unpack_session
from schemas import facts as contract
from schemas.facts import Fact, Statement
from schemas.units import from_units

FactKey = tuple[str, str, str, str, str, int]


class FactEvent(NamedTuple):
    """An event that is a fact by itself. ``amount`` in 1/10,000 of the shop's currency."""

    session_id: str
    at_ms: int
    event_id: str
    type: str
    amount: int | None
    order_id: str | None


class Whereabouts(Protocol):
    """What is asked of a session engine."""

    def who(self, session_id: str) -> list[Named]: ...
    def watch(self, session_id: str) -> None: ...
    def take_facts(self) -> list[FactEvent]: ...
    def take_named(self) -> list[str]: ...
    def take_folded(self) -> list[tuple[str, list[Named]]]: ...
    def take_gone(self) -> list[str]: ...


class SessionFacts:
    """The facts of the sessions that the engine still has."""

    def __init__(self, channel: str, longest_timeout_ms: int) -> None:
        self._channel: Final = channel
        self._longest_ms: Final = longest_timeout_ms
        self.book: Final = Book()
        self.is_catching_up = True
        """Whether a run that has crashed may have told more than this state knows of."""

    def tell(self, engine: Whereabouts, out: Outputs, walked: Mapping[str, Any]) -> None:
        """Put into ``out`` the statements that a batch leads to. ``walked``: the sessions with late events."""
        changes: dict[str, dict[FactKey, tuple[Fact, bool]]] = {}
        for session_id, journey in out.journeys:
            if journey.funnel not in RECOVERABLE:
                continue
            holds = journey.outcome == ABANDONED
            if holds or session_id in walked:
                fact = self._of_journey(session_id, journey)
                changes.setdefault(session_id, {})[fact.key] = fact, holds
        for event in engine.take_facts():
            fact = self._of_event(event)
            changes.setdefault(event.session_id, {})[fact.key] = fact, True
        moved = {one for one in (*engine.take_named(), *walked) if one in self.book or one in changes}
        for session_id in (*changes, *(moved - changes.keys())):
            self._tell(session_id, changes.get(session_id, {}), session_id in moved, engine, out)

    def _tell(
        self,
        session_id: str,
        changes: Mapping[FactKey, tuple[Fact, bool]],
        has_moved: bool,
        engine: Whereabouts,
        out: Outputs,
    ) -> None:
        before, facts = self._kept(session_id)
        kept = {fact.key: fact for fact in facts}
        events = engine.who(session_id)
        visits = visits_of(events, self._longest_ms, before)
        told = {key: (fact, True) for key, fact in kept.items()} | dict(changes) if has_moved else changes
        for key, (fact, holds) in told.items():
            visit = next((one for one in visits if one.has(fact.at_ms, fact.ended_ms)), None)
            if visit is None:
                continue  # of a visit that nothing can change any more
            if not (holds or key in kept or self.is_catching_up):
                continue  # nobody was told of it
            is_sure = holds and not has_moved and self._was_told_nobody_else(visit, before, events, fact)
            _put(out, fact, visit, holds, is_sure)
        for key, (fact, holds) in changes.items():
            kept.pop(key, None)
            if holds:
                kept[key] = fact
        if len(kept) > MOST_FACTS:  # a bot, or one id for all: the oldest are told no more
            kept = dict(sorted(kept.items(), key=_end)[-MOST_FACTS:])
        self._keep(session_id, before, list(kept.values()))
        if kept:
            engine.watch(session_id)

    def _was_told_nobody_else(
        self, visit: Visit, before: Visit | None, events: Iterable[Named], fact: Fact
    ) -> bool:
        """Whether its person was the same when the fact could first be told."""
        if len(visit.customers) + len(visit.visitors) <= 1:
            return True
        if before is None or before.first_ms != visit.first_ms:
            before = Visit(visit.first_ms, visit.first_ms, None, None, [], [])
        earlier = [one for one in events if visit.first_ms <= one.first_ms < fact.ended_ms]
        return _person(visits_of(earlier, self._longest_ms, before)[-1]) == _person(visit)

    def _of_journey(self, session_id: str, journey: Journey) -> Fact:
        opened, value = journey.opened_by, from_units(journey.value)
        times = opened.at_ms, max(opened.at_ms, journey.ended_ms)
        which = contract.ABANDONED, journey.funnel, self._channel, session_id, opened.event_id
        return Fact(*which, *times, value, None, opened.dims[1:])

    def _of_event(self, event: FactEvent) -> Fact:
        kind = contract.CANCELLATION if event.type == CANCELS else contract.PURCHASE
        which = kind, "", self._channel, event.session_id, event.event_id
        return Fact(*which, event.at_ms, event.at_ms, from_units(event.amount or 0), event.order_id, ())

    def _kept(self, session_id: str) -> tuple[Visit | None, list[Fact]]:
        """The last visit of the events that were folded away, and the facts."""
        stored = self.book.get(session_id)
        if stored is None:
            return None, []
        before, facts = unpack_session(stored)
        return None if before is None else Visit(*before), facts

    def _keep(self, session_id: str, before: Visit | None, facts: list[Fact]) -> None:
        if facts or before is not None:
            self.book.put(session_id, pack((before, facts)))
        elif session_id in self.book:
            self.book.remove(session_id)

    def forget(self, engine: Whereabouts) -> None:
        """Keep what is needed of events that were folded away, and let sessions go that are gone."""
        for session_id, events in engine.take_folded():
            before, facts = self._kept(session_id)
            last = visits_of(events, self._longest_ms, before)[-1]
            if facts or last.customers or last.visitors:
                self._keep(session_id, last, facts)
                engine.watch(session_id)
        for session_id in engine.take_gone():
            if session_id in self.book:
                self.book.remove(session_id)

    def restore(self, shards: Mapping[int, bytes], engine: Whereabouts, cutoff_ms: int) -> None:
        """Take stored shards, once the engine has its sessions. Raises ValueError where they are broken.

        ``cutoff_ms``: no event before it is taken any more.
        """
        self.book.restore(shards)
        for session_id in list(self.book):
            before, _ = self._kept(session_id)
            is_over = before is None or before.last_ms + self._longest_ms < cutoff_ms
            if is_over and not engine.who(session_id):
                self.book.remove(session_id)
            else:
                engine.watch(session_id)


def _end(item: tuple[FactKey, Fact]) -> tuple[int, FactKey]:
    key, fact = item
    return fact.ended_ms, key


def _person(visit: Visit) -> tuple[str | None, str | None]:
    """The customer; else the visitor."""
    return (visit.customer_id, None) if visit.customer_id is not None else (None, visit.visitor_id)


def _put(out: Outputs, fact: Fact, visit: Visit, holds: bool, is_sure: bool) -> None:
    """``is_sure``: nobody else that the visit names can have been told of the fact."""
    person = _person(visit)
    for one in visit.customers:
        is_theirs = person == (one, None)
        if is_theirs or not is_sure:
            out.facts.append(Statement(customer(one), holds and is_theirs, fact))
    for one in visit.visitors:
        is_theirs = person == (None, one)
        if is_theirs or not is_sure:
            out.visits.append(Statement(one, holds and is_theirs, fact))
