"""Funnels: what opens, completes and abandons a journey (DESIGN.md, section 2.2)."""

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


class Funnels:
    """All funnels of the shop, indexed by event type."""

    def __init__(self, funnels: Iterable[Funnel]) -> None:
        self.all: Final = tuple(funnels)
        types = {kind for f in self.all for kind in f.opens_on}
        self.opened_by_type: Final = {kind: tuple(f for f in self.all if kind in f.opens_on) for kind in types}
        self.by_name: Final = {funnel.name: funnel for funnel in self.all}
        self.longest_timeout_ms: Final = max(funnel.timeout_ms for funnel in self.all)
