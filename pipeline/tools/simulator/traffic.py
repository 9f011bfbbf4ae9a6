"""Visits started over the day, and their events in order of time."""

import heapq
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.tools.simulator.shop import (
    HABITS,
    INCIDENTS,
    Customer,
    Habits,
    Script,
    Visit,
    customer,
    device,
    elsewhere,
)
from schemas.times import format_rfc3339

#: Measured over a simulated day (tests keep it true): rate of events to rate of visits.
EVENTS_PER_VISIT: Final = 6.95
_DAY_MS: Final = 86_400_000
_encode = msgspec.json.Encoder().encode


class Event(NamedTuple):
    at_ms: int
    channel: str
    session_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Incident:
    """Something broken from one time to another, ms since the epoch."""

    name: str
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class ShopSettings:
    events_per_s: float
    """Mean over a day."""
    seed: int = 1
    customers: int = 20_000
    incidents: tuple[Incident, ...] = ()
    ordered: Callable[[], tuple[Incident, ...]] = lambda: ()
    """Incidents that are ordered while it goes on."""
    habits: Habits = HABITS
    is_steady: bool = False
    """The mean at every hour, instead of the day's rhythm."""


def rhythm(at_ms: int) -> float:
    """Traffic against the day's mean: a quiet night, a busy noon, the peak at 19 h (UTC)."""
    hour = at_ms % _DAY_MS / 3_600_000
    noon = math.exp(-(((hour - 12.5) / 3.5) ** 2))
    evening = math.exp(-(((hour - 19.0) / 2.8) ** 2))
    return (0.45 + 0.72 * noon + 0.95 * evening) / 0.829


class Truth(NamedTuple):
    """What there is to know of a visit that is over, whatever its events say."""

    customer_id: str
    named: bool
    """Whether its last events name the customer."""
    visitor_id: str | None
    channel: str
    session_id: str
    left_behind: bool
    """Something in the cart or the checkout."""
    has_bought: bool
    returns_for: str | None
    """The session in which was left behind what it came back for."""


def traffic(shop: ShopSettings, start_ms: int, tell: Callable[[Truth], None] = lambda _: None) -> Iterator[Event]:
    """Events in order of time from ``start_ms`` on, without end. ``tell``: given the truth of each visit."""
    return _Traffic(shop, start_ms, tell).events()


@dataclass(slots=True)
class _Guest:
    """A visit under way: who it is, and what comes next."""

    who: Customer
    visit: Visit
    session_id: str
    customer_id: str | None
    visitor_id: str | None
    names_when_paying: bool
    """The customer is named from the checkout on."""
    script: Script
    next: dict[str, Any]
    returns_for: str | None = None


class _Plan(NamedTuple):
    """A visit that is to come."""

    at_ms: int
    number: int
    who: Customer
    returns_for: str | None
    cancels: str | None
    """The order that it is about."""


class _Traffic:
    def __init__(self, shop: ShopSettings, start_ms: int, tell: Callable[[Truth], None]) -> None:
        self._shop = shop
        self._tell = tell
        self._plans: list[_Plan] = []
        """A heap."""
        self._now = start_ms
        self._arrivals = random.Random(f"{shop.seed}/{start_ms}")
        self._turns: list[tuple[int, int]] = []
        """Heap of (time, visit)."""
        self._guests: dict[int, _Guest] = {}
        self._visits = 0
        self._name = f"{shop.seed:x}-{start_ms // 1000:x}"

    def events(self) -> Iterator[Event]:
        arrival = self._next_arrival(self._now)
        while True:
            planned = self._plans[0].at_ms if self._plans else 2**62
            if not self._turns or min(arrival, planned) <= self._turns[0][0]:
                self._now = min(arrival, planned)
                if planned < arrival:
                    self._come(heapq.heappop(self._plans))
                else:
                    self._arrive()
                    arrival = self._next_arrival(arrival)
            else:
                self._now, visit = heapq.heappop(self._turns)
                guest = self._guests[visit]
                yield self._event(visit, guest)
                self._continue(visit, guest)

    def _is_on(self, name: str) -> bool:
        incidents = (*self._shop.incidents, *self._shop.ordered())
        return any(i.name == name and i.from_ms <= self._now < i.until_ms for i in incidents)

    def _next_arrival(self, after_ms: int) -> int:
        rate = self._shop.events_per_s / EVENTS_PER_VISIT
        if not self._shop.is_steady:
            rate *= rhythm(after_ms)
        return after_ms + max(1, round(self._arrivals.expovariate(rate) * 1000))

    def _arrive(self) -> None:
        who = customer(self._shop.seed, self._arrivals.randrange(self._shop.customers))
        self._come(_Plan(self._now, 0, who, None, None))

    def _come(self, plan: _Plan) -> None:
        self._visits += 1
        who, habits = plan.who, self._shop.habits
        chance = random.Random(f"{self._name}/{self._visits}")
        session_id = f"{'t' if who.channel == 'pos' else 's'}-{self._name}-{self._visits}"
        known = who.customer_id if chance.random() < habits.known else None
        visit = Visit(who, chance, self._is_on, habits, f"o-{self._name}-{self._visits}")
        script = visit.script(plan.returns_for is not None)
        if plan.cancels is not None:
            known, script = who.customer_id, iter([(0.0, {"type": "order_cancelled", "order_id": plan.cancels})])
        later = plan.cancels is None and who.channel != "pos" and chance.random() < 1 / 3
        seen = device(self._shop.seed, who, habits)
        guest = _Guest(who, visit, session_id, known, seen, later, script, {}, plan.returns_for)
        self._guests[self._visits] = guest
        self._continue(self._visits, guest)

    def _leave(self, guest: _Guest) -> None:
        """A visit is over: it may lead to others."""
        habits, visit = self._shop.habits, guest.visit
        named = guest.customer_id is not None and not guest.names_when_paying
        which = guest.visitor_id, guest.who.channel, guest.session_id
        self._tell(Truth(guest.who.customer_id, named, *which, visit.is_left, visit.has_bought, guest.returns_for))
        chance = random.Random(f"{guest.session_id}/later")
        if visit.is_left and guest.returns_for is None and chance.random() < habits.returns:
            after_s = min(6.5 * 86_400, chance.lognormvariate(9.9, 1.3))  # half of them within six hours
            who = elsewhere(guest.who, chance) if chance.random() < habits.elsewhere else guest.who
            self._plan(after_s, who, guest.session_id, None)
        if visit.has_bought and guest.who.channel != "pos" and chance.random() < habits.cancelled:
            self._plan(chance.uniform(60, 2 * 86_400), guest.who, None, visit.order)

    def _plan(self, after_s: float, who: Customer, returns_for: str | None, cancels: str | None) -> None:
        at_ms = self._now + round(after_s * 1000)
        heapq.heappush(self._plans, _Plan(at_ms, self._visits, who, returns_for, cancels))

    def _continue(self, visit: int, guest: _Guest) -> None:
        step = next(guest.script, None)
        if step is None:
            del self._guests[visit]
            self._leave(guest)
            return
        pause_s, guest.next = step
        heapq.heappush(self._turns, (self._now + round(pause_s * 1000), visit))

    def _event(self, visit: int, guest: _Guest) -> Event:
        who, fields = guest.who, guest.next
        event = {
            "event_id": f"{visit:x}-{self._now:x}-{fields['type'][:4]}",
            "occurred_at": format_rfc3339(self._now),
            "channel": who.channel,
            "session_id": guest.session_id,
            "region": who.region,
            **fields,
        }
        if fields["type"] == "checkout_started":
            guest.names_when_paying = False
        if guest.customer_id and not guest.names_when_paying:
            event["customer_id"] = guest.customer_id
        if guest.visitor_id:
            event["visitor_id"] = guest.visitor_id
        if who.device:
            event["device"] = who.device
        if who.channel == "pos":
            event["store_id"] = who.store
        if "value" in fields:
            event["currency"] = "EUR"
        return Event(self._now, who.channel, guest.session_id, _encode(event))


def parse_incident(text: str, start_ms: int) -> Incident:
    """``NAME``, ``NAME@MINUTES`` or ``NAME@MINUTES+MINUTES``: from when on, for how long.

    Raises ValueError, naming the incidents that there are.
    """
    name, _, times = text.partition("@")
    if name not in INCIDENTS:
        raise ValueError(f"no incident {name!r}; there are: {', '.join(INCIDENTS)}")
    start, _, length = times.partition("+")
    try:
        from_ms = start_ms + round(float(start or 0) * 60_000)
        until_ms = from_ms + round(float(length) * 60_000) if length else 2**62
    except ValueError as error:
        raise ValueError(f"incident {text!r}: write {name}@FROM+LENGTH, in minutes") from error
    return Incident(name, from_ms, until_ms)
