"""Funnels: what opens, completes and abandons a journey (docs/funnels.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST_FUNNELS: Final = 64
"""The compiled engine keeps a set of funnels as the bits of a number."""


@dataclass(frozen=True, slots=True)
class On:
    """Some events: all of a type, or those of them at one step or on one channel."""

    type: str
    step: str | None = None
    """None: at any step, or at none."""
    channel: str | None = None
    """None: on any."""


class Occasions:
    """The events that open, complete or abandon a funnel's journeys."""

    def __init__(self, events: Iterable[On]) -> None:
        self.events: Final = tuple(events)
        self.types: Final = frozenset([on.type for on in self.events])
        self._whole: Final = frozenset([on.type for on in self.events if on.step is None and on.channel is None])

    def has(self, kind: str, step: str | None, channel: str | None) -> bool:
        """Whether an event of this type, at this step and on this channel, is one of them."""
        if kind in self._whole:
            return True
        if kind not in self.types:
            return False
        for on in self.events:
            if on.type == kind and on.step in (None, step) and on.channel in (None, channel):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Funnel:
    """What opens, completes and abandons a journey, and after how long without activity it ends."""

    name: str
    opens_on: Occasions
    completes_on: Occasions
    abandons_on: Occasions
    timeout_ms: int
    fills_on: Occasions
    """Each adds a line to the journey. None: its lines are not counted."""
    empties_on: Occasions
    """Each takes one away. A journey that times out without lines is emptied, not abandoned."""

    @property
    def has_lines(self) -> bool:
        return len(self.fills_on.events) > 0


def _funnel(
    name: str,
    opens: str,
    completes: set[str],
    abandons: set[str],
    minutes: int,
    lines: tuple[set[str], set[str]] = (set(), set()),
) -> Funnel:
    return Funnel(
        name,
        opens_on=_all_of({opens}),
        completes_on=_all_of(completes),
        abandons_on=_all_of(abandons),
        timeout_ms=minutes * 60_000,
        fills_on=_all_of(lines[0]),
        empties_on=_all_of(lines[1]),
    )


def _all_of(types: set[str]) -> Occasions:
    return Occasions([On(kind) for kind in sorted(types)])


FILLS: Final = "product_added"
EMPTIES: Final = "product_removed"
STANDARD: Final = {
    funnel.name: funnel
    for funnel in (
        _funnel("search", "products_searched", {"product_viewed", "product_added"}, set(), 2),
        _funnel("cart", "product_added", {"order_completed", "sale_completed"}, set(), 30, ({FILLS}, {EMPTIES})),
        _funnel("checkout", "checkout_started", {"order_completed"}, {"order_cancelled"}, 15),
        _funnel("form", "form_started", {"form_submitted"}, set(), 10),
        _funnel("support", "support_contact_started", {"support_contact_resolved"}, {"support_contact_left"}, 15),
        _funnel("queue", "queue_joined", {"queue_served", "sale_completed"}, {"queue_left"}, 20),
        _funnel("basket", "basket_opened", {"sale_completed"}, {"basket_voided"}, 10),
    )
}
"""The funnels that a shop has unless it says otherwise, by name: tables have their columns in this order."""


class Funnels:
    """All funnels of the shop, indexed by event type."""

    def __init__(self, funnels: Iterable[Funnel]) -> None:
        self.all: Final = tuple(funnels)
        types = {kind for f in self.all for kind in f.opens_on.types}
        self._opened: Final = {kind: tuple([f for f in self.all if kind in f.opens_on.types]) for kind in types}
        self.by_name: Final = {funnel.name: funnel for funnel in self.all}
        self.longest_timeout_ms: Final = max([funnel.timeout_ms for funnel in self.all])

    def opened_by(self, kind: str, step: str | None, channel: str | None) -> tuple[Funnel, ...]:
        """Those whose journeys such an event opens."""
        found = self._opened.get(kind)
        if found is None:
            return ()
        return tuple([funnel for funnel in found if funnel.opens_on.has(kind, step, channel)])
