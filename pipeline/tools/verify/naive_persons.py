"""Persons and recoveries from whole logs: who was there, what they bought. Written apart from the core."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.model.facts import MOST_CUSTOMERS, MOST_FACTS
from pipeline.tools.verify.naive_journeys import hidden
from pipeline.tools.verify.naive_types import (
    JourneyKey,
    JourneyValue,
    NaiveRules,
    PurchaseKey,
    RecoveryKey,
    RecoveryValue,
)
from schemas.touchpoint import NOBODY, Touchpoint

MINUTE = 60_000
WEEK = 7 * 86_400_000
FUNNELS = ("cart", "checkout", "basket")


class Who(NamedTuple):
    """Whom a visit is of, as far as it says."""

    customer_id: str | None
    visitor_id: str | None
    words: tuple[tuple[int, bool], ...] = ()
    """When an event had no consent (False), or named somebody (True), in order; empty: all had."""

    def may_keep(self, at_ms: int) -> bool:
        """What ended then."""
        said = [is_one for when, is_one in self.words if when <= at_ms]
        return not said or said[-1]


class Bought(NamedTuple):
    at_ms: int
    event_id: str
    channel: str
    session_id: str
    units: int
    order_id: str | None


@dataclass
class Seen:
    """All that persons are made of."""

    journeys: dict[JourneyKey, tuple[Who, JourneyValue]] = field(default_factory=dict)
    bought: dict[tuple[str, str, str, int], tuple[Who, Bought]] = field(default_factory=dict)
    cancelled: dict[tuple[str, str, str, int], tuple[Who, int, str]] = field(default_factory=dict)
    segments: dict[JourneyKey, tuple[str, ...]] = field(default_factory=dict)
    """Of the abandoned journeys."""
    named: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    """By visitor: when, and which customer."""
    facts: list[tuple[Who, int, Touchpoint]] = field(default_factory=list)
    """All of these: of whom, when, and the event whose dimensions they have; of a journey the opening one."""
    erased: set[str] = field(default_factory=set)
    """Visitors that are: what they do is no customer's."""
    erased_customers: set[str] = field(default_factory=set)
    visits: list[tuple[tuple[int, int], set[str], set[str]]] = field(default_factory=list)
    """Where anybody is erased: when each visit began and ended, and the customers and visitors that it names."""


def visits(session: Sequence[Touchpoint], rules: NaiveRules) -> Iterable[list[Touchpoint]]:
    """A session's events, in order, without a silence longer than the longest timeout within one."""
    longest = max(funnel.timeout_ms for funnel in rules.funnels)
    visit: list[Touchpoint] = []
    for event in session:
        if visit and event.at_ms - visit[-1].at_ms > longest:
            yield visit
            visit = []
        visit.append(event)
    if visit:
        yield visit


def look(
    visit: Sequence[Touchpoint], journeys: Mapping[JourneyKey, JourneyValue], rules: NaiveRules, seen: Seen
) -> Who:
    """Take note of a visit; gives whom it is of. ``journeys``: those of its session."""
    customers = [event.customer_id for event in visit if event.customer_id is not None]
    visitors = [event.visitor_id for event in visit if event.visitor_id]
    if rules.erased:
        seen.erased.update(one for one in visitors if rules.is_erased(f"v:{hidden(one, rules)}"))
        seen.erased_customers.update(one for one in customers if rules.is_erased(f"c:{hidden(one, rules)}"))
    saying = [event for event in visit if event.customer_id or event.visitor_id is not None]
    words = tuple((event.at_ms, event.visitor_id != NOBODY) for event in saying)
    is_asked = not all(is_one for _, is_one in words)
    last = customers[-1] if customers else None, visitors[-1] if visitors else None
    who = Who(*last, words if is_asked else ())
    opening = {(event.at_ms, event.event_id): event for event in visit}
    for key, row in journeys.items():
        event_id = key.journey_id.partition(":")[2]
        if row.funnel in FUNNELS and row.outcome == "abandoned" and (key.entered_ms, event_id) in opening:
            seen.journeys[key] = who, row
            seen.facts.append((who, row.ended_ms, opening[key.entered_ms, event_id]))
    if rules.erased:
        seen.visits.append(((visit[0].at_ms, visit[-1].at_ms), set(customers), set(visitors)))
    for event in visit:
        if event.visitor_id == NOBODY:
            continue
        which = event.channel, event.session_id, event.event_id, event.at_ms
        if event.type in ("order_completed", "sale_completed"):
            is_ours = event.amount is not None and event.currency in (None, rules.currency)
            units = event.amount if is_ours and event.amount is not None else 0
            one = Bought(event.at_ms, event.event_id, event.channel, event.session_id, units, event.order_id)
            seen.bought[which] = who, one
            seen.facts.append((who, event.at_ms, event))
        elif event.type == "order_cancelled" and event.order_id is not None:
            seen.cancelled[which] = who, event.at_ms, event.order_id
            seen.facts.append((who, event.at_ms, event))
        if event.customer_id is not None and event.visitor_id is not None:
            seen.named[event.visitor_id].append((event.at_ms, event.customer_id))
    return who


def near_erased(seen: Seen) -> list[tuple[int, int]]:
    """From when until when the visits were that may have been somebody's who is erased, at one time or another."""
    behind = {
        visitor
        for visitor, named in seen.named.items()
        if any(customer in seen.erased_customers for _, customer in named)
    }
    return [
        span
        for span, customers, visitors in seen.visits
        if customers & seen.erased_customers or visitors & (seen.erased | behind)
    ]


def crowds(seen: Seen, hide: Callable[[str], str], more: Iterable[tuple[Who, int, str]] = ()) -> set[str]:
    """Persons that are many. ``hide``: gives what stands for an id.

    ``more``: whose the facts of moments are, when, and by which name where nobody is known.
    """
    facts: Counter[str] = Counter()
    facts.update(person_of(who, row.ended_ms, seen) or "" for who, row in seen.journeys.values())
    facts.update(person_of(who, one.at_ms, seen) or "" for who, one in seen.bought.values())
    facts.update(person_of(who, at_ms, seen) or "" for who, at_ms, _ in seen.cancelled.values())
    of_visitor = Counter(who.visitor_id for who, *_ in (*seen.journeys.values(), *seen.bought.values()))
    for who, at_ms, session in more:
        facts[person_of(who, at_ms, seen) or session] += 1
        of_visitor[who.visitor_id] += 1
    found = {person for person, count in facts.items() if count > MOST_FACTS}
    for visitor, named in seen.named.items():
        customers = {customer for _, customer in named}
        # What an erased visitor did longer than two weeks ago is not taken back from who was known behind them.
        is_gone = visitor in seen.erased
        if is_gone or len(customers) > MOST_CUSTOMERS or of_visitor[visitor] > MOST_FACTS:
            found |= {f"v:{visitor}", *(f"c:{customer}" for customer in customers)}
    return {shown(person, hide) for person in found if person}


def shown(person: str, hide: Callable[[str], str]) -> str:
    """The name with what stands for its id; that of a session is no person's id."""
    return person if person.startswith("s:") else person[:2] + hide(person[2:])


def recoveries(
    seen: Seen, watermarks: Iterable[int], hide: Callable[[str], str]
) -> dict[RecoveryKey, RecoveryValue]:
    """What has become of each journey of somebody known. ``hide``: gives what stands for an id."""
    counting = _bought_by(seen)
    passed = min(watermarks, default=0) // MINUTE * MINUTE
    rows: dict[RecoveryKey, RecoveryValue] = {}
    having: dict[tuple[str, str, Bought], list[RecoveryKey]] = defaultdict(list)
    for key, (who, row) in seen.journeys.items():
        person = person_of(who, row.ended_ms, seen)
        if person is None:
            continue
        purchase = next((one for one in counting.get(person, ()) if one.at_ms > key.entered_ms), None)
        which = RecoveryKey(person[:2] + hide(person[2:]), *key)
        rows[which] = _row(row, purchase, passed)
        if rows[which].status == "recovered" and purchase is not None:
            having[person, row.funnel, purchase].append(which)
    for several in having.values():
        several.sort(key=lambda one: (rows[one].ended_ms, one.journey_id.encode()))
        for other in several[:-1]:
            rows[other] = rows[other]._replace(recovered_value=0.0)
    return rows


def purchases(seen: Seen, hide: Callable[[str], str]) -> dict[PurchaseKey, float]:
    """What somebody known has bought, without what was cancelled or is a copy. ``hide``: what stands for an id."""
    return {
        PurchaseKey(shown(person, hide), one.channel, one.session_id, one.event_id, one.at_ms): one.units / 10_000
        for person, some in _bought_by(seen).items()
        for one in some
    }


def _bought_by(seen: Seen) -> dict[str, list[Bought]]:
    bought: dict[str, list[Bought]] = defaultdict(list)
    cancelled: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for who, one in seen.bought.values():
        if person := person_of(who, one.at_ms, seen):
            bought[person].append(one)
    for who, at_ms, order in seen.cancelled.values():
        if person := person_of(who, at_ms, seen):
            cancelled[person].append((at_ms, order))
    return {person: _counted(some, cancelled[person]) for person, some in bought.items()}


def person_of(who: Who, at_ms: int, seen: Seen) -> str | None:
    """None: nobody is known."""
    if not who.may_keep(at_ms):
        return None
    if who.customer_id is not None:
        return f"c:{who.customer_id}"
    if who.visitor_id is None:
        return None
    if who.visitor_id in seen.erased:
        return f"v:{who.visitor_id}"
    near = {customer for when, customer in seen.named[who.visitor_id] if abs(when - at_ms) <= WEEK}
    return f"c:{near.pop()}" if len(near) == 1 else f"v:{who.visitor_id}"


def _counted(bought: list[Bought], cancelled: list[tuple[int, str]]) -> list[Bought]:
    """Without what was cancelled, and what was reported again."""
    found = []
    earlier: list[Bought] = []
    for one in sorted(
        bought, key=lambda each: (each.at_ms, each.event_id.encode(), each.channel, each.session_id)
    ):
        if one.order_id is not None:
            is_copy = any(b.order_id == one.order_id and one.at_ms - b.at_ms <= WEEK for b in earlier)
            is_void = any(order == one.order_id and abs(when - one.at_ms) <= WEEK for when, order in cancelled)
            earlier.append(one)
            if is_copy or is_void:
                continue
        found.append(one)
    return found


def _row(row: JourneyValue, purchase: Bought | None, passed: int) -> RecoveryValue:
    where = row.store_id, row.region, row.device
    funnel, ended, value = row.funnel, row.ended_ms, row.value_units / 10_000
    if purchase is not None and purchase.at_ms <= row.ended_ms + WEEK:
        status = "completed_elsewhere" if purchase.at_ms <= row.ended_ms else "recovered"
        at_ms, _, channel, session, units, _ = purchase
        return RecoveryValue(funnel, ended, value, status, at_ms, channel, session, units / 10_000, *where)
    status = "lost" if passed > row.ended_ms + WEEK else "open"
    return RecoveryValue(funnel, ended, value, status, None, "", "", 0.0, *where)
