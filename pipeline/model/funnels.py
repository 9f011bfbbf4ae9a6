"""Funnels: what opens, completes and abandons a journey (docs/reference/events.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Funnel:
    """What opens, completes and abandons a journey, and after how long without activity it ends."""

    name: str
    opens_on: frozenset[str]
    completes_on: frozenset[str]
    abandons_on: frozenset[str]
    timeout_ms: int


def _funnel(name: str, opens: str, completes: set[str], abandons: set[str], minutes: int) -> Funnel:
    return Funnel(name, frozenset({opens}), frozenset(completes), frozenset(abandons), minutes * 60_000)


STANDARD: Final = {
    funnel.name: funnel
    for funnel in (
        _funnel("search", "products_searched", {"product_viewed", "product_added"}, set(), 2),
        _funnel("cart", "product_added", {"order_completed", "sale_completed"}, set(), 30),
        _funnel("checkout", "checkout_started", {"order_completed"}, {"order_cancelled"}, 15),
        _funnel("form", "form_started", {"form_submitted"}, set(), 10),
        _funnel("support", "support_contact_started", {"support_contact_resolved"}, {"support_contact_left"}, 15),
        _funnel("queue", "queue_joined", {"queue_served", "sale_completed"}, {"queue_left"}, 20),
        _funnel("basket", "basket_opened", {"sale_completed"}, {"basket_voided"}, 10),
    )
}
"""The funnels that every shop has, by name: tables and dashboards have their columns and panels in this order."""


class Funnels:
    """All funnels of the shop, indexed by event type."""

    def __init__(self, funnels: Iterable[Funnel]) -> None:
        self.all: Final = tuple(funnels)
        types = {kind for f in self.all for kind in f.opens_on}
        self.opened_by_type: Final = {kind: tuple(f for f in self.all if kind in f.opens_on) for kind in types}
        self.by_name: Final = {funnel.name: funnel for funnel in self.all}
        self.longest_timeout_ms: Final = max(funnel.timeout_ms for funnel in self.all)
