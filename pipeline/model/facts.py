"""Facts of persons: which there are, how long they count, and how they are kept (docs/persons.md)."""

from typing import Final

import msgspec

from schemas.facts import CUSTOMER, VISITOR, Fact

RECOVERABLE: Final = frozenset({"cart", "checkout", "basket"})
"""The funnels in which things are bought: a purchase on another way recovers their journeys."""
PURCHASES: Final = frozenset({"order_completed", "sale_completed"})
CANCELS: Final = "order_cancelled"
FACT_TYPES: Final = PURCHASES | {CANCELS}

_DAY_MS: Final = 86_400_000
HORIZON_MS: Final = 7 * _DAY_MS
"""So long after its end a journey can be recovered, a purchase be cancelled or reported twice, and so far from a
fact an event tells which customer a visitor is."""
KEPT_MS: Final = 2 * HORIZON_MS
"""So long, and the lateness, a journey is kept: what a purchase within the horizon means can change so long. So is
what rules about moments name: a moment can change within the horizon, and looks back no further than that."""
PURCHASES_KEPT_MS: Final = KEPT_MS + _DAY_MS
"""Longer than the journeys that they end, which began before them and may have ended after them."""
ASKED_AFTER_MS: Final = {"1h": 3_600_000, "1d": _DAY_MS, "7d": HORIZON_MS}
"""So long after its end it is asked of an abandoned journey whether it has been recovered."""
STEP_MS: Final = 60_000
"""Watermarks are told with facts whenever they come to another step, and count by whole steps."""
MOST_FACTS: Final = 2_000
"""Of one person. Who has more is none: one id for all guests, or a device in a shop. The oldest are let go."""

MOST_CUSTOMERS: Final = 200
"""Of one visitor, or one visit. Those named longest ago are let go: what so many use is nobody's."""


def step_of(at_ms: int) -> int:
    """Start of the step that holds the instant, in ms."""
    return at_ms - at_ms % STEP_MS


def customer(customer_id: str) -> str:
    """The name of a person who is known as a customer."""
    return CUSTOMER + customer_id


def visitor(visitor_id: str) -> str:
    """The name of a person of whom only the visitor is known."""
    return VISITOR + visitor_id


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A fact as it is kept."""

    source: int
    """Number of who told it. Several may: a session is then in the wrong partition, or its person has just been
    found; of a partition of ``cx.visits`` each visitor counts as one."""
    version: int
    holds: bool
    """False: it was taken back, and nothing older of this source is taken any more."""
    is_settled: bool
    """Of a purchase: what made it void, or the copy of another, has been let go."""
    fact: Fact


_VisitContent = tuple[int, int, str | None, str | None, list[str], list[str], list[int]]
"""As :class:`pipeline.core.sessions.visits.Visit`."""

pack: Final = msgspec.msgpack.Encoder().encode
"""Packed as it is kept. What is read back is checked: ValueError."""
unpack_session: Final = msgspec.msgpack.Decoder(tuple[_VisitContent | None, list[tuple[Fact, str]]]).decode
"""The last visit of the events that were folded away; the facts, each with the person it was told of."""
unpack_visitor: Final = msgspec.msgpack.Decoder(tuple[dict[str, list[int]], list[Held]]).decode
"""By customer when they were named together, and the facts."""
unpack_person: Final = msgspec.msgpack.Decoder(tuple[list[Held], int, dict[str, int]]).decode
"""The facts; up to when moments can change no more, and when rules fired last before that."""
