"""The facts of a partition's sessions, and whose they are (docs/persons.md).

A fact is told of the visit's person, and taken back from the one it was told of before. While that is read again
which a run that has crashed may have read, it is taken back from everybody else whom the visit has named since the
fact could first be told (law 2).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from pipeline.core.book import Book
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.visits import Named, Visit, after, begun, visits_of
from pipeline.core.sessions.walk import ABANDONED, Journey
from pipeline.model.dimensions import Dims
from pipeline.model.erasure import STANDS, Erased
from pipeline.model.facts import (
    CANCELS,
    FACT_TYPES,
    MOST_FACTS,
    RECOVERABLE,
    customer,
    pack,
    unpack_session,
    visitor,
)
from pipeline.model.moments import MomentFacts
from schemas import facts as contract
from schemas.events import DEFAULT_SCALE
from schemas.facts import VISITOR, Fact, FactKey, Statement, key_of
from schemas.touchpoint import Touchpoint
from schemas.units import from_units


class FactEvent(NamedTuple):
    """An event that is a fact by itself. ``amount`` in 1/10,000 of the shop's currency."""

    session_id: str
    at_ms: int
    event_id: str
    type: str
    amount: int | None
    order_id: str | None
    step: str | None
    dims: Dims
    survey: str | None = None
    score: float | None = None


def answered(event: Touchpoint) -> tuple[str | None, float | None]:
    """Survey and score, on the survey's usual scale, of an event that is an answer."""
    if event.survey is None:
        return None, None
    usual = DEFAULT_SCALE[event.survey]
    return event.survey, event.score_units * usual / event.scale_units


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

    def __init__(self, channel: str, longest_timeout_ms: int, named: MomentFacts) -> None:
        """``named``: what rules about moments name."""
        self._channel: Final = channel
        self._types: Final = named.types
        self._kinds: Final = {funnel: _kinds_of(funnel, named) for funnel in {*RECOVERABLE, *named.outcomes}}
        """By funnel the kinds of facts that its journeys can be, and the outcome of each."""
        self._longest_ms: Final = longest_timeout_ms
        self.book: Final = Book(is_exact=True)
        self.is_catching_up = True
        """Whether a run that has crashed may have told more than this state knows of."""

    def tell(self, engine: Whereabouts, out: Outputs, walked: Mapping[str, Any]) -> None:
        """Put into ``out`` the statements that a batch leads to. ``walked``: the sessions with late events."""
        changes: dict[str, dict[FactKey, tuple[Fact, bool]]] = {}
        for session_id, journey in out.journeys:
            if journey.funnel not in self._kinds:
                continue
            for kind, outcome in self._kinds[journey.funnel]:
                holds = journey.outcome == outcome
                if holds or session_id in walked:
                    fact = self._of_journey(session_id, journey, kind)
                    changes.setdefault(session_id, {})[key_of(fact)] = fact, holds
        for event in engine.take_facts():
            fact = self._of_event(event)
            changes.setdefault(event.session_id, {})[key_of(fact)] = fact, True
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
        kept = {key_of(fact): (fact, told) for fact, told in facts}
        events = engine.who(session_id)
        visits = visits_of(events, self._longest_ms, before)
        concerned = changes
        if has_moved:
            concerned = {**{key: (fact, True) for key, (fact, _) in kept.items()}, **changes}
        for key, (fact, holds) in concerned.items():
            was = kept[key][1] if key in kept else ""
            visit = _visit_of(visits, fact)
            if visit is None:
                continue  # of a visit that nothing can change any more
            is_theirs = holds and not visit.is_denied(fact.ended_ms)
            now = (_person(visit) or self._session(fact)) if is_theirs else ""
            others = {was}
            if self.is_catching_up:
                others.add(self._session(fact))
                if has_moved or not self._was_told_nobody_else(visit, before, events, fact):
                    others.update(_all_of(visit))
            _take_back(out, fact, others, now)
            if self.is_catching_up or key in changes or now != was:
                _put(out, fact, now, holds=True)
            if holds:
                kept[key] = fact, now
            else:
                kept.pop(key, None)
        if len(kept) > MOST_FACTS:  # a bot, or one id for all: the oldest are told no more
            kept = dict(sorted(kept.items(), key=_end)[-MOST_FACTS:])
        self._keep(session_id, before, list(kept.values()))
        if kept:
            engine.watch(session_id)

    def _was_told_nobody_else(
        self, visit: Visit, before: Visit | None, events: Iterable[Named], fact: Fact
    ) -> bool:
        """Whether the visit has had no other person since the fact could first be told."""
        now = _person(visit)
        if visit.denied:
            return False
        if len(visit.customers) + len(visit.visitors) <= 1:
            return True
        if before is None or before.first_ms != visit.first_ms:
            before = begun(visit.first_ms)
        then = before
        for one in events:
            if one.first_ms < visit.first_ms or one.first_ms > visit.last_ms:
                continue
            if one.first_ms >= fact.ended_ms and _person(then) != now:
                return False
            then = after(then, one)
            if one.last_ms >= fact.ended_ms and _person(then) != now:
                return False
        return _person(then) == now

    def _of_journey(self, session_id: str, journey: Journey, kind: str) -> Fact:
        opened, value = journey.opened_by, from_units(journey.value)
        times = opened.at_ms, max(opened.at_ms, journey.ended_ms)
        which = kind, journey.funnel, self._channel, session_id, opened.event_id
        step = journey.last_step if kind != contract.ABANDONED else None
        return Fact(*which, *times, value, None, opened.dims[1:], step)

    def _of_event(self, event: FactEvent) -> Fact:
        """What it is to recoveries, to moments, or to both."""
        value, times = from_units(event.amount or 0), (event.at_ms, event.at_ms)
        where = self._channel, event.session_id, event.event_id
        kind = contract.EVENT
        if event.type in FACT_TYPES:
            kind = contract.CANCELLATION if event.type == CANCELS else contract.PURCHASE
        if event.type not in self._types:
            return Fact(kind, "", *where, *times, value, event.order_id, event.dims[1:])
        order = None if kind == contract.EVENT else event.order_id
        answer = event.survey, event.score
        return Fact(kind, event.type, *where, *times, value, order, event.dims[1:], event.step, *answer)

    def _session(self, fact: Fact) -> str:
        """The name of whom nothing is known, where moments can be of such; else empty."""
        if fact.kind == contract.ABANDONED or not fact.funnel:
            return ""
        return f"{contract.SESSION}{self._channel}:{fact.session_id}"

    def _kept(self, session_id: str) -> tuple[Visit | None, list[tuple[Fact, str]]]:
        """The last visit of the events that were folded away; the facts, each with the person it was told of."""
        stored = self.book.get(session_id)
        if stored is None:
            return None, []
        before, facts = unpack_session(stored)
        return None if before is None else Visit(*before), facts

    def _keep(self, session_id: str, before: Visit | None, facts: list[tuple[Fact, str]]) -> None:
        if facts or before is not None:
            self.book.put(session_id, pack((before, facts)))
        elif session_id in self.book:
            self.book.remove(session_id)

    def forget(self, engine: Whereabouts) -> None:
        """Keep what is needed of events that were folded away, and let sessions go that are gone."""
        for session_id, events in engine.take_folded():
            before, facts = self._kept(session_id)
            last = visits_of(events, self._longest_ms, before)[-1]
            if facts or last.customers or last.visitors or last.denied:
                self._keep(session_id, last, facts)
                engine.watch(session_id)
        for session_id in engine.take_gone():
            if session_id in self.book:
                self.book.remove(session_id)

    def erase(self, erased: Erased, engine: Whereabouts) -> None:
        """Have stand-ins for who is erased. ``engine``: another one, to watch the same sessions."""
        for session_id in list(self.book):
            before, facts = self._kept(session_id)
            theirs = [(fact, erased.person(name)) for fact, name in facts]
            self._keep(session_id, None if before is None else before.erased(erased), theirs)
            engine.watch(session_id)
        self.book.renew()

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


def _kinds_of(funnel: str, named: MomentFacts) -> list[tuple[str, str]]:
    own = [(contract.ABANDONED, ABANDONED)] if funnel in RECOVERABLE else []
    return own + [(contract.OUTCOME + outcome, outcome) for outcome in sorted(named.outcomes.get(funnel, ()))]


def _end(item: tuple[FactKey, tuple[Fact, str]]) -> tuple[int, FactKey]:
    key, (fact, _) = item
    return fact.ended_ms, key


def _visit_of(visits: list[Visit], fact: Fact) -> Visit | None:
    """The one that the fact belongs to."""
    from_ms, until_ms = fact.at_ms, fact.ended_ms
    for visit in visits:
        if visit.first_ms <= until_ms and from_ms <= visit.last_ms:
            return visit
    return None


def _person(visit: Visit) -> str:
    """Its name: the customer's, else the visitor's; empty: nobody's."""
    if visit.customer_id is not None:
        return customer(visit.customer_id)
    return "" if visit.visitor_id is None else visitor(visit.visitor_id)


def _all_of(visit: Visit) -> list[str]:
    return [*map(customer, visit.customers), *map(visitor, visit.visitors)]


def _take_back(out: Outputs, fact: Fact, others: set[str], now: str) -> None:
    """Say of all these that a fact is not theirs, unless it is."""
    others.discard(now)
    for name in sorted(others) if len(others) > 1 else others:
        _put(out, fact, name, holds=False)


def _put(out: Outputs, fact: Fact, name: str, holds: bool) -> None:
    """Say that a fact is somebody's, or is not; nothing where it is nobody's."""
    if not name or name[2:3] == STANDS:
        return
    if name.startswith(VISITOR):
        out.visits.append(Statement(name.removeprefix(VISITOR), holds, fact))
    else:
        out.facts.append(Statement(name, holds, fact))
