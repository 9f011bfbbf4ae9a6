"""Visits started over the day, and their events in order of time."""

import heapq
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.tools.simulator.shop import INCIDENTS, Customer, Script, Visit, customer
from schemas.times import format_rfc3339

#: Measured over a simulated day (tests keep it true): rate of events to rate of visits.
EVENTS_PER_VISIT: Final = 6.6
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
    is_steady: bool = False
    """The mean at every hour, instead of the day's rhythm."""


def rhythm(at_ms: int) -> float:
    """Traffic against the day's mean: a quiet night, a busy noon, the peak at 19 h (UTC)."""
    hour = at_ms % _DAY_MS / 3_600_000
    noon = math.exp(-(((hour - 12.5) / 3.5) ** 2))
    evening = math.exp(-(((hour - 19.0) / 2.8) ** 2))
    return (0.45 + 0.72 * noon + 0.95 * evening) / 0.829


def traffic(shop: ShopSettings, start_ms: int) -> Iterator[Event]:
    """Events in order of time from ``start_ms`` on, without end."""
    return _Traffic(shop, start_ms).events()


@dataclass(slots=True)
class _Guest:
    """A visit under way: who it is, and what comes next."""

    who: Customer
    session_id: str
    customer_id: str | None
    script: Script
    next: dict[str, Any]


class _Traffic:
    def __init__(self, shop: ShopSettings, start_ms: int) -> None:
        self._shop = shop
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
            if not self._turns or arrival <= self._turns[0][0]:
                self._now = arrival
                self._arrive(arrival)
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

    def _arrive(self, at_ms: int) -> None:
        self._visits += 1
        who = customer(self._shop.seed, self._arrivals.randrange(self._shop.customers))
        chance = random.Random(f"{self._name}/{self._visits}")
        session_id = f"{'t' if who.channel == 'pos' else 's'}-{self._name}-{self._visits}"
        known = who.customer_id if chance.random() < 0.6 else None
        script = Visit(who, chance, self._is_on).script()
        self._guests[self._visits] = _Guest(who, session_id, known, script, {})
        self._continue(self._visits, self._guests[self._visits])

    def _continue(self, visit: int, guest: _Guest) -> None:
        step = next(guest.script, None)
        if step is None:
            del self._guests[visit]
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
        if guest.customer_id:
            event["customer_id"] = guest.customer_id
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
