"""The registry of signals: what each is called, of what kind it is, and what follows from the kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from pipeline.model.facts import RECOVERABLE
from schemas.signals import topic_of


class Unit(StrEnum):
    """What the value of a signal is."""

    SHARE = "share"
    """0 to 1."""
    SCORE = "score"
    """-100 to 100."""
    POINTS = "points"
    """A mean of answers, 1 to 7."""
    MONEY = "money"
    """A mean, in the shop's currency."""
    RATIO = "ratio"
    """Of what was expected: 1 is as usual."""
    PER_1000 = "per_1000"
    """So many of 1,000."""


class Interval(StrEnum):
    """How the bounds of the 95 % interval are made (``pipeline.core.statistics``, decisions/0010)."""

    WILSON = "wilson"
    ADJUSTED_WALD = "adjusted_wald"
    NORMAL = "normal"
    LIFE_TABLE = "life_table"
    POISSON = "poisson"


class Kind(StrEnum):
    """Kinds of signals. Of those after ``FRICTION`` each funnel has one, ``<funnel>_<kind>``; of those after
    ``COMPLETION_RATIO`` each funnel in which things are bought; of ``MOMENT_RATE`` each rule about persons.
    """

    CSAT = "csat"
    NPS = "nps"
    CES = "ces"
    FRICTION = "friction"
    ABANDONMENT = "abandonment"
    VALUE_ABANDONED = "value_abandoned"
    NOWCAST = "nowcast"
    COMPLETION_RATIO = "completion_ratio"
    NET_ABANDONMENT = "net_abandonment"
    RECOVERY_1H = "recovery_1h"
    RECOVERY_1D = "recovery_1d"
    RECOVERY_7D = "recovery_7d"
    VALUE_RECOVERED = "value_recovered_7d"
    KNOWN = "known"
    MOMENT_RATE = "moment_rate"


@dataclass(frozen=True, slots=True)
class _Of:
    """What follows from a kind."""

    unit: Unit
    higher_is_better: bool
    interval: Interval
    has_rules: bool = True
    """Whether alert rules can be about it."""


_OF: Final = {
    Kind.CSAT: _Of(Unit.SHARE, True, Interval.WILSON),
    Kind.NPS: _Of(Unit.SCORE, True, Interval.ADJUSTED_WALD),
    Kind.CES: _Of(Unit.POINTS, True, Interval.NORMAL),
    Kind.FRICTION: _Of(Unit.SHARE, False, Interval.WILSON),
    Kind.ABANDONMENT: _Of(Unit.SHARE, False, Interval.WILSON),
    Kind.VALUE_ABANDONED: _Of(Unit.MONEY, False, Interval.NORMAL, has_rules=False),
    Kind.NOWCAST: _Of(Unit.SHARE, False, Interval.LIFE_TABLE),
    Kind.COMPLETION_RATIO: _Of(Unit.RATIO, True, Interval.POISSON),
    Kind.NET_ABANDONMENT: _Of(Unit.SHARE, False, Interval.WILSON),
    Kind.RECOVERY_1H: _Of(Unit.SHARE, True, Interval.WILSON, has_rules=False),
    Kind.RECOVERY_1D: _Of(Unit.SHARE, True, Interval.WILSON, has_rules=False),
    Kind.RECOVERY_7D: _Of(Unit.SHARE, True, Interval.WILSON, has_rules=False),
    Kind.VALUE_RECOVERED: _Of(Unit.MONEY, True, Interval.NORMAL, has_rules=False),
    Kind.KNOWN: _Of(Unit.SHARE, True, Interval.WILSON, has_rules=False),
    Kind.MOMENT_RATE: _Of(Unit.PER_1000, False, Interval.POISSON),
}
SATISFACTION: Final = (Kind.CSAT, Kind.NPS, Kind.CES, Kind.FRICTION)
OF_FUNNEL: Final = (Kind.ABANDONMENT, Kind.VALUE_ABANDONED, Kind.NOWCAST, Kind.COMPLETION_RATIO)
OF_PERSONS: Final = (
    Kind.NET_ABANDONMENT,
    Kind.RECOVERY_1H,
    Kind.RECOVERY_1D,
    Kind.RECOVERY_7D,
    Kind.VALUE_RECOVERED,
    Kind.KNOWN,
)
"""What became of a funnel's abandonments: of the funnels in which things are bought (docs/persons.md)."""
BY_AGE: Final = (Kind.NOWCAST, Kind.COMPLETION_RATIO)
"""Made of life tables: there are rows of windows that are over only."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal."""

    name: str
    kind: Kind
    funnel: str | None
    """None: it is of no funnel."""

    @property
    def unit(self) -> Unit:
        return _OF[self.kind].unit

    @property
    def higher_is_better(self) -> bool:
        return _OF[self.kind].higher_is_better

    @property
    def interval(self) -> Interval:
        return _OF[self.kind].interval

    @property
    def has_rules(self) -> bool:
        """Whether alert rules can be about it."""
        return _OF[self.kind].has_rules

    @property
    def is_by_age(self) -> bool:
        """Whether it is made of a life table."""
        return self.kind in BY_AGE

    @property
    def is_of_persons(self) -> bool:
        """Whether it is made of what persons did."""
        return self.kind in OF_PERSONS or self.kind is Kind.MOMENT_RATE

    @property
    def topic(self) -> str:
        return topic_of(self.name)


def name_of(funnel: str, kind: Kind) -> str:
    """The name of a funnel's signal."""
    return f"{funnel}_{kind}"


def rate_of(rule: str) -> str:
    """The name of the signal of a rule about persons."""
    return f"{rule.replace('-', '_')}_{Kind.MOMENT_RATE}"


@lru_cache(maxsize=1_024)
def signal_of(name: str) -> Signal:
    """The signal of this name. Raises ValueError where none is called so, whatever funnels there are."""
    if name in SATISFACTION:
        return Signal(name, Kind(name), None)
    if name.removesuffix(f"_{Kind.MOMENT_RATE}") not in ("", name):
        return Signal(name, Kind.MOMENT_RATE, None)
    for kind in OF_PERSONS:
        funnel = name.removesuffix(f"_{kind}")
        if funnel in RECOVERABLE:
            return Signal(name, kind, funnel)
    for kind in OF_FUNNEL:
        funnel = name.removesuffix(f"_{kind}")
        if funnel not in ("", name):
            return Signal(name, kind, funnel)
    raise ValueError(f"no signal is called {name!r}")


def kinds_of(funnel: str) -> tuple[Kind, ...]:
    """The kinds of signals that a funnel has."""
    return (*OF_FUNNEL, *OF_PERSONS) if funnel in RECOVERABLE else OF_FUNNEL


def signals_of(funnels: Iterable[str], rules: Iterable[str]) -> tuple[Signal, ...]:
    """All signals of a shop with these funnels and rules about persons."""
    return (
        *(Signal(kind.value, kind, None) for kind in SATISFACTION),
        *(Signal(name_of(funnel, kind), kind, funnel) for funnel in funnels for kind in kinds_of(funnel)),
        *(Signal(rate_of(rule), Kind.MOMENT_RATE, None) for rule in rules),
    )
