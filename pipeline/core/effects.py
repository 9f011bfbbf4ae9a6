"""What telling of a rule's moments has changed: purchases of those told of and of those held out.

Of each arm persons come one after the other, and each has bought within the horizon or has not. The bounds of its
share are a confidence sequence: with a probability of at most ``alpha`` the true share is ever outside of them,
however often one looks and whenever one stops. They are all shares that a mixture of binomial likelihoods over
Beta(1/2, 1/2) does not refute: H. Robbins, "Statistical methods related to the law of the iterated logarithm",
Annals of Mathematical Statistics 41 (1970); for Bernoulli trials S. R. Howard, A. Ramdas, J. McAuliffe and
J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49 (2021).
That of the difference takes half of ``alpha`` for each arm. No size is too small, and none has to be planned.
"""

from math import inf, lgamma, log
from typing import Final, NamedTuple

ALPHA: Final = 0.05
_PRIOR: Final = 0.5
_STEPS: Final = 50
"""Of bisection: the bounds are exact to 1e-15."""


class Arm(NamedTuple):
    """Persons for whom a rule has fired, the horizon ago or longer, and those of them who bought within it."""

    persons: int
    bought: int


class Effect(NamedTuple):
    """Share of those told of less that of those held out, in -1..1, and its bounds."""

    difference: float
    lower: float
    upper: float


def effect(told: Arm, held: Arm, alpha: float = ALPHA) -> Effect | None:
    """None where one of the arms has nobody."""
    if not told.persons or not held.persons:
        return None
    low, high = share_bounds(told, alpha / 2)
    low_held, high_held = share_bounds(held, alpha / 2)
    difference = told.bought / told.persons - held.bought / held.persons
    return Effect(difference, low - high_held, high - low_held)


def share_bounds(arm: Arm, alpha: float = ALPHA) -> tuple[float, float]:
    """Bounds of a share that hold at all sizes together."""
    n, x = arm
    # Of a text of x successes and n - x failures: how much likelier the mixture makes it than the best share does.
    mixture = lgamma(_PRIOR + x) + lgamma(_PRIOR + n - x) - lgamma(2 * _PRIOR + n)
    most = mixture - 2 * lgamma(_PRIOR) + lgamma(2 * _PRIOR) + log(alpha)
    share = x / n
    lower = 0.0 if x == 0 else _edge(n, x, most, share, 0.0)
    upper = 1.0 if x == n else _edge(n, x, most, share, 1.0)
    return lower, upper


def _edge(n: int, x: int, most: float, inside: float, outside: float) -> float:
    """Between a share that is not refuted and one that is, the last that is not."""
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if _likelihood(n, x, middle) >= most:
            inside = middle
        else:
            outside = middle
    return inside


def _likelihood(n: int, x: int, share: float) -> float:
    """Its logarithm."""
    hits = x * log(share) if share > 0 else (-inf if x else 0.0)
    misses = (n - x) * log(1 - share) if share < 1 else (-inf if n > x else 0.0)
    return hits + misses
