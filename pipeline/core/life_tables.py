"""The share of journeys opened now that will not have completed by their timeout, if all stays as it is.

A period life table: in each bin of age, the completions, the explicit abandonments and the time spent at
risk within the window, whenever the journeys were opened. Completion and explicit abandonment are competing
risks, so the share that completes is the cumulative incidence of Aalen and Johansen; see Kalbfleisch and
Prentice, "The Statistical Analysis of Failure Time Data" (2nd ed. 2002), chapter 8. Occurrences and exposure
become probabilities of the bin with the mean time lived in it by those who left it, as Chiang has it ("A
Stochastic Study of the Life Table", 1968), so nothing is assumed of when within a bin they leave: of a
group of journeys followed from opening to timeout the result is exactly the share observed.

All arrays have the bins in the last axis and any shape before it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.statistics import Floats, Ints, wilson

_PSEUDO: Final = 0.25
"""Added to the completions and to the abandonments of each bin, for the variance only: bins in which
nothing has happened yet would otherwise count as certain. Of 0.25, 0.5 and 1 the one with which n comes out
as the number of journeys that were really followed, and the interval holds the truth 95 times in 100 from
n = 10 on (decisions/0010)."""
_GONE: Final = 1e-9
"""Below this share of journeys still open, an age need not have been seen."""
_LEAST_N: Final = 1.0
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class LifeTable:
    """Occurrences and exposure by age."""

    completed: Floats
    abandoned: Floats
    """Explicitly."""
    lived_ms: Floats
    """Time spent in the bin by those who left in it."""
    at_risk_ms: Floats
    """Time spent in the bin by all within the window."""
    width_ms: Floats
    """Width of each bin."""

    def at(self, rows: Ints) -> "LifeTable":
        """Of some of the tables."""
        counts = (self.completed, self.abandoned, self.lived_ms, self.at_risk_ms)
        completed, abandoned, lived, at_risk = (each[rows] for each in counts)
        return LifeTable(completed, abandoned, lived, at_risk, self.width_ms)

    @property
    def entering(self) -> Floats:
        """How many journeys, each observed from the beginning of the bin, carry the same information."""
        left = self.completed + self.abandoned
        seen = np.maximum(self.at_risk_ms, 0.0) + left * self.width_ms - self.lived_ms
        found: Floats = np.maximum(seen / self.width_ms, left)
        return found


@dataclass(frozen=True, slots=True)
class Nowcast:
    """``value`` is numerator / n; n is 0 where nothing can be said."""

    value: Floats
    n: Floats
    """The number of completed observations that carry the same information, rounded down."""
    lower: Floats
    upper: Floats


def nowcast(table: LifeTable) -> Nowcast:
    """The estimate with its 95 % interval: Wilson's, with the n at which a plain share has this variance."""
    entering = table.entering
    completing = _ratio(table.completed, entering)
    leaving = _ratio(table.completed + table.abandoned, entering)
    surviving = _surviving(leaving)
    share = 1.0 - (surviving * completing).sum(axis=-1)
    unseen = ((entering <= 0) & (surviving > _GONE)).any(axis=-1)
    n = np.floor(_effective_n(table, entering) + _ROUNDING)
    n = np.where(unseen | (n < _LEAST_N), 0.0, n)
    share = np.clip(share, 0.0, 1.0)
    safe_n = np.maximum(n, 1.0)
    lower, upper = wilson(share * safe_n, safe_n)
    known = n > 0
    return Nowcast(np.where(known, share, 0.0), n, np.where(known, lower, 0.0), np.where(known, upper, 0.0))


def _ratio(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return found


def _surviving(leaving: Floats) -> Floats:
    """Share of journeys still open at the beginning of each bin."""
    after = np.cumprod(1.0 - leaving, axis=-1)
    return np.concatenate([np.ones_like(after[..., :1]), after[..., :-1]], axis=-1)


def _effective_n(table: LifeTable, entering: Floats) -> Floats:
    """P (1 - p) / variance of the share that completes.

    The variance is the sum over the bins of what happens in each, weighted with the share that gets there
    (Greenwood's formula written for two ways to leave): a journey in a bin completes, leaves, or goes on
    with the chance that the later bins give it.
    """
    smoothed = entering + 2 * _PSEUDO
    completing = (table.completed + _PSEUDO) / smoothed
    leaving = completing + (table.abandoned + _PSEUDO) / smoothed
    surviving = _surviving(leaving)
    chance = np.zeros(entering.shape[:-1])
    variance = np.zeros(entering.shape[:-1])
    for at in reversed(range(entering.shape[-1])):
        done, on = completing[..., at], 1.0 - leaving[..., at]
        before = done + on * chance
        spread = np.maximum(done + on * chance**2 - before**2, 0.0)
        variance += _ratio(surviving[..., at] ** 2 * spread, entering[..., at])
        chance = before
    return _ratio(chance * (1.0 - chance), variance)
