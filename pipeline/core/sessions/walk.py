"""The walk of one session's events through the funnels.

A walk is a left fold over the session's events in (occurred_at, event_id) order. It never looks at
the watermark: a journey still open at its end is timed out by the caller when the watermark says so.
"""

from typing import Final, NamedTuple

from pipeline.core.sessions.entry import Entry
from pipeline.model.event_time import NEVER_MS
from pipeline.model.funnels import Funnel, Funnels
from schemas.touchpoint import NOBODY

ADDS: Final = "product_added"
SUBTRACTS: Final = "product_removed"
SETS: Final = "checkout_started"
MOST_STEPS: Final = 15
"""Of a journey so many steps are kept. The compiled engine has room for no more (``native/block.pxd``)."""


class OpenJourney:
    """A journey between its opening and its closing event."""

    __slots__ = (
        "customer_id",
        "funnel",
        "has_timed_out",
        "last_step",
        "lines",
        "opened_by",
        "steps",
        "value",
        "visitor_id",
    )

    def __init__(self, funnel: Funnel, opened_by: Entry) -> None:
        self.funnel = funnel
        self.opened_by = opened_by
        self.value = 0
        self.last_step: str | None = None
        self.steps: tuple[Entry, ...] = ()
        """The first event at each step, of the first ``MOST_STEPS`` steps."""
        self.customer_id: str | None = None
        self.visitor_id: str | None = None
        self.lines = 0
        """What was filled in and not taken out again, in a funnel that counts it."""
        self.has_timed_out = False
        """As the watermark has it. An event that is yet to come may show that it went on."""

    def copy(self) -> "OpenJourney":
        copied = OpenJourney(self.funnel, self.opened_by)
        copied.value, copied.last_step, copied.customer_id = self.value, self.last_step, self.customer_id
        copied.lines, copied.visitor_id, copied.steps = self.lines, self.visitor_id, self.steps
        return copied


class Journey(NamedTuple):
    """An ended journey. ``value`` in 1/10,000 of the shop's currency."""

    funnel: str
    opened_by: Entry
    ended_ms: int
    outcome: str
    reason: str | None
    value: int
    last_step: str | None
    customer_id: str | None
    visitor_id: str | None
    steps: tuple[tuple[str, int], ...] = ()
    """The first ``MOST_STEPS`` steps in the order in which they came, and the ms from its opening to each."""

    @property
    def journey_id(self) -> str:
        return f"{self.funnel}:{self.opened_by.event_id}"

    @property
    def key(self) -> "JourneyKey":
        return journey_key(self.funnel, self.opened_by)


JourneyKey = tuple[str, int, str]
"""Funnel, entered at, event id: ids may repeat in a session at another time."""


COMPLETED: Final = "completed"
ABANDONED: Final = "abandoned"
EMPTIED: Final = "emptied"
"""It timed out with nothing left in it. Also the reason."""
RETRACTED: Final = "retracted"
TIMEOUT: Final = "timeout"
EXPLICIT: Final = "explicit"


def journey_key(funnel: str, opened_by: Entry) -> JourneyKey:
    return funnel, opened_by.at_ms, opened_by.event_id


class Walk:
    """The state of a walk: the journeys open after the events so far, and the last event's time."""

    __slots__ = ("last_ms", "open", "shortest_ms")

    def __init__(self, open_journeys: tuple[OpenJourney, ...] = (), last_ms: int = -1) -> None:
        self.open: tuple[OpenJourney, ...] = open_journeys
        self.last_ms = last_ms
        self.shortest_ms = NEVER_MS
        """The shortest timeout of the open journeys; NEVER_MS where none is open."""
        self._measure()

    def copy(self) -> "Walk":
        return Walk(tuple([journey.copy() for journey in self.open]), self.last_ms)

    def advance(self, entry: Entry, funnels: Funnels, ended: list[Journey]) -> tuple[Funnel, ...]:
        """Take the next event in order; gives the funnels of which it opens a journey.

        Journeys that it ends are appended to ``ended``.
        """
        at_ms, kind = entry.at_ms, entry.type
        opens = funnels.opened_by(kind, entry.step, entry.dims[0])
        if self.open:
            gap = at_ms - self.last_ms
            if opens:
                under_way = [j.funnel for j in self.open if gap <= j.funnel.timeout_ms]
                opens = tuple([funnel for funnel in opens if funnel not in under_way])
            self._pass(entry, kind, gap, ended)
        for funnel in opens:
            journey = OpenJourney(funnel, entry)
            _count(journey, entry)
            self.open = (*self.open, journey)
        if opens:
            self._measure()
        self.last_ms = at_ms
        return opens

    def _pass(self, entry: Entry, kind: str, gap: int, ended: list[Journey]) -> None:
        """Let the open journeys see the event."""
        still_open: list[OpenJourney] = []
        plain = entry.amount is None and entry.step is None
        for journey in self.open:
            funnel = journey.funnel
            if gap > funnel.timeout_ms:
                ended.append(timed_out(journey, self.last_ms))
                continue
            if not plain or funnel.has_lines:
                _count(journey, entry)
            else:
                _name(journey, entry)
            if funnel.completes_on.has(kind, entry.step, entry.dims[0]):
                ended.append(_end(journey, entry.at_ms, COMPLETED, None))
            elif funnel.abandons_on.has(kind, entry.step, entry.dims[0]):
                ended.append(_end(journey, entry.at_ms, ABANDONED, EXPLICIT))
            else:
                still_open.append(journey)
        if len(still_open) < len(self.open):
            self.open = tuple(still_open)
            self._measure()

    def _measure(self) -> None:
        shortest_ms = NEVER_MS
        for journey in self.open:
            shortest_ms = min(shortest_ms, journey.funnel.timeout_ms)
        self.shortest_ms = shortest_ms


def timed_out(journey: OpenJourney, last_ms: int) -> Journey:
    """The journey as abandoned, or emptied, after ``last_ms``, the time of its session's last event."""
    ended_ms = last_ms + journey.funnel.timeout_ms
    if journey.funnel.has_lines and journey.lines == 0:
        return _end(journey, ended_ms, EMPTIED, EMPTIED)
    return _end(journey, ended_ms, ABANDONED, TIMEOUT)


def _end(journey: OpenJourney, at_ms: int, outcome: str, reason: str | None) -> Journey:
    return Journey(
        journey.funnel.name,
        journey.opened_by,
        at_ms,
        outcome,
        reason,
        journey.value,
        journey.last_step,
        journey.customer_id,
        journey.visitor_id,
        tuple([(entry.step or "", entry.at_ms - journey.opened_by.at_ms) for entry in journey.steps]),
    )


def _count(journey: OpenJourney, entry: Entry) -> None:
    """Let an event of the journey, its first and last included, change its value, step, customer, visitor."""
    if entry.step is not None:
        _count_step(journey, entry, entry.step)
    _name(journey, entry)
    if journey.funnel.has_lines:
        _count_lines(journey, entry)
    if entry.amount is None:
        return
    if entry.type == SETS or journey.funnel.completes_on.has(entry.type, entry.step, entry.dims[0]):
        journey.value = entry.amount
    elif entry.type == ADDS:
        journey.value += entry.amount
    elif entry.type == SUBTRACTS:
        journey.value = max(0, journey.value - entry.amount)


def _name(journey: OpenJourney, entry: Entry) -> None:
    if entry.visitor_id == NOBODY:
        journey.customer_id = journey.visitor_id = None
        return
    journey.customer_id = entry.customer_id or journey.customer_id
    journey.visitor_id = entry.visitor_id or journey.visitor_id


def _count_step(journey: OpenJourney, entry: Entry, step: str) -> None:
    if step != journey.last_step and step not in [seen.step for seen in journey.steps]:
        journey.steps = (*journey.steps, entry)[:MOST_STEPS]
    journey.last_step = step


def _count_lines(journey: OpenJourney, entry: Entry) -> None:
    kind, step, channel = entry.type, entry.step, entry.dims[0]
    if journey.funnel.fills_on.has(kind, step, channel):
        journey.lines += 1
    elif journey.funnel.empties_on.has(kind, step, channel):
        journey.lines = max(0, journey.lines - 1)
