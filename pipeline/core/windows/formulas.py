"""Which counters make which signal (docs/signals.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pipeline.model.facts import ASKED_AFTER_MS, RECOVERABLE
from pipeline.model.signals import Kind, name_of, rate_of
from pipeline.model.tiles import (
    EVENTS,
    FRICTION,
    SEEN,
    asked_counters,
    elsewhere_counter,
    funnel_counters,
    known_counter,
    moments_counter,
    recovered_value_counters,
)

LIMBS_OF_SUM: Final = 2
LIMBS_OF_SQUARES: Final = 3
"""A sum of money, or of its squares, can exceed 64 bits: so many columns it takes."""


@dataclass(frozen=True, slots=True)
class Formula:
    """One signal as quotient of sums of counters."""

    signal: str
    numerator: tuple[str, ...]
    """Of an NPS promoters and detractors; else of each the sum counts, but of ``less``."""
    denominators: tuple[str, ...]
    less: str | None = None
    """A counter that is taken off the numerator."""
    per: int = 1
    """Of so many the value tells: what counts is multiplied by it."""
    least_ms: int = 0
    """Of windows shorter than this there are no rows."""
    squares: str | None = None
    """Of a mean the sum of squares."""
    is_money: bool = False

    def columns(self) -> dict[str, int]:
        """The counters, and how many columns each takes."""
        found = dict.fromkeys(self.denominators, 1) | dict.fromkeys(self.numerator, 1)
        if self.less is not None:
            found[self.less] = 1
        if self.squares is not None:
            found[self.numerator[0]] = LIMBS_OF_SUM if self.is_money else 1
            found[self.squares] = LIMBS_OF_SQUARES if self.is_money else 1
        return found


def formulas(funnels: Iterable[str]) -> tuple[Formula, ...]:
    """Of the signals that tiles of touchpoints alone make."""
    found: list[Formula] = []
    for funnel in funnels:
        completed, abandoned, value, squares = funnel_counters(funnel)
        of_value = name_of(funnel, Kind.VALUE_ABANDONED)
        found += [
            Formula(name_of(funnel, Kind.ABANDONMENT), (abandoned,), (completed, abandoned)),
            Formula(of_value, (value,), (abandoned,), squares=squares, is_money=True),
        ]
    return (
        *found,
        Formula(Kind.CSAT, ("csat_satisfied",), ("csat_answers",)),
        Formula(Kind.NPS, ("nps_promoters", "nps_detractors"), ("nps_answers",)),
        Formula(Kind.CES, ("ces_sum",), ("ces_answers",), squares="ces_sum_sq"),
        Formula(Kind.FRICTION, (FRICTION,), (EVENTS,)),
    )


_LEAST_OF_MOMENTS_MS: Final = 900_000
"""A few of 1,000 are nobody in most minutes: rows of these would be a quarter of all, and say nothing."""
_RECOVERY: Final = {"1h": Kind.RECOVERY_1H, "1d": Kind.RECOVERY_1D, "7d": Kind.RECOVERY_7D}


def person_formulas(funnels: Iterable[str], rules: Iterable[str]) -> tuple[Formula, ...]:
    """Of the signals of persons (docs/persons.md, docs/moments.md). ``rules``: names of those about persons."""
    found = [
        Formula(rate_of(rule), (moments_counter(rule),), (SEEN,), per=1_000, least_ms=_LEAST_OF_MOMENTS_MS)
        for rule in rules
    ]
    for funnel in funnels:
        if funnel not in RECOVERABLE:
            continue
        completed, abandoned, _, _ = funnel_counters(funnel)
        net, known = name_of(funnel, Kind.NET_ABANDONMENT), name_of(funnel, Kind.KNOWN)
        found += [
            Formula(net, (abandoned,), (completed, abandoned), less=elsewhere_counter(funnel)),
            Formula(known, (known_counter(funnel),), (abandoned,)),
        ]
        for after in ASKED_AFTER_MS:
            asked, recovered = asked_counters(funnel, after)
            found.append(Formula(name_of(funnel, _RECOVERY[after]), (recovered,), (asked,)))
        value, squares = recovered_value_counters(funnel)
        of_value = name_of(funnel, Kind.VALUE_RECOVERED)
        found.append(Formula(of_value, (value,), (recovered,), squares=squares, is_money=True))
    return tuple(found)
