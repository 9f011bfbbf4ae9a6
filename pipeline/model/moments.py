"""Moments: rules about what happens to one person, or in one session, within a short time (docs/moments.md)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pipeline.model.facts import HORIZON_MS
from schemas.facts import ABANDONED, CANCELLATION, EVENT, OUTCOME, PURCHASE, Fact

LONGEST_MS: Final = HORIZON_MS
"""Of ``within`` and of a cooldown."""
_EVENTS: Final = (EVENT, PURCHASE, CANCELLATION)
OUTCOMES: Final = ("completed", "abandoned", "emptied")


@dataclass(frozen=True, slots=True)
class Condition:
    """So many facts of a kind: events of some types, or journeys of a funnel with an outcome."""

    types: frozenset[str] = frozenset()
    """Of events; empty: it is about journeys."""
    journey: str = ""
    """The funnel."""
    outcome: str = ABANDONED
    step: str | None = None
    """Of a journey the last one. None: any, or none."""
    channel: str | None = None
    survey: str | None = None
    least_score: float | None = None
    """On the survey's usual scale: 1 to 5, 0 to 10, 1 to 7."""
    most_score: float | None = None
    least_value: float | None = None
    """In the shop's currency."""
    count: int = 1

    @property
    def names(self) -> frozenset[str]:
        """Of the facts that it may be about, as ``name_of`` has them."""
        return self.types or frozenset({f"{OUTCOME}{self.outcome}{self.journey}"})

    def matches(self, fact: Fact) -> bool:
        """Whether the fact is one of those that it counts."""
        if self.types:
            if fact.funnel not in self.types or not is_event(fact):
                return False
        elif fact.funnel != self.journey or fact.kind != OUTCOME + self.outcome:
            return False
        return self._has_text(fact) and self._has_numbers(fact)

    def _has_text(self, fact: Fact) -> bool:
        return (
            self.step in (None, fact.step)
            and self.channel in (None, fact.channel)
            and self.survey in (None, fact.survey)
        )

    def _has_numbers(self, fact: Fact) -> bool:
        score = fact.score
        if self.least_score is not None and (score is None or score < self.least_score):
            return False
        if self.most_score is not None and (score is None or score > self.most_score):
            return False
        return self.least_value is None or fact.value >= self.least_value


@dataclass(frozen=True, slots=True)
class MomentRule:
    """Fires at the first event at which all conditions hold, then is silent for a while."""

    name: str
    conditions: tuple[Condition, ...]
    within_ms: int
    unless: frozenset[str]
    """Event types. What was before one of these counts no more."""
    cooldown_ms: int
    is_of_session: bool
    """All must be of one session; else of one person."""
    says: str = ""
    """For whom it is shown to."""
    holdout: float = 0.0
    """Share of the persons of whom it is recorded that it fired, and not told."""
    holdout_since_ms: int = 0
    """Of what fired before nobody is held out."""

    names: frozenset[str] = field(init=False)
    """Of all facts that matter to it, as ``name_of`` has them."""
    needed: tuple[tuple[frozenset[str], int], ...] = field(init=False)
    """Of each condition the names, and how many there must be at least."""
    least: int = field(init=False)
    """With fewer facts it does not fire."""

    def __post_init__(self) -> None:
        needed = tuple([(one.names, one.count) for one in self.conditions])
        object.__setattr__(self, "needed", needed)
        # A fact may count for several conditions.
        are_apart = sum(len(names) for names, _ in needed) == len(frozenset[str]().union(*(n for n, _ in needed)))
        counts = [count for _, count in needed]
        object.__setattr__(self, "least", sum(counts) if are_apart else max(counts, default=0))
        object.__setattr__(self, "names", self.unless.union(*(names for names, _ in needed)))


def is_event(fact: Fact) -> bool:
    """Whether it is what happened at one time; else a journey."""
    return fact.kind in _EVENTS


def name_of(fact: Fact) -> str:
    """By which rules know a fact: the type of an event, kind and funnel of a journey; empty: by none."""
    if fact.kind in _EVENTS:
        return fact.funnel
    return fact.kind + fact.funnel if fact.kind.startswith(OUTCOME) else ""


class MomentFacts:
    """What must be told of sessions for the rules' sake."""

    def __init__(self, rules: Iterable[MomentRule]) -> None:
        self.types: Final = frozenset(
            kind for rule in rules for kind in rule.unless.union(*(one.types for one in rule.conditions))
        )
        """Event types."""
        self.outcomes: Final[dict[str, frozenset[str]]] = {}
        """By funnel the outcomes of journeys that are named."""
        for rule in rules:
            for one in rule.conditions:
                if one.journey:
                    self.outcomes[one.journey] = self.outcomes.get(one.journey, frozenset()) | {one.outcome}
