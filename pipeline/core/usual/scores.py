"""How surprising a count is against what was expected, and which of many are believed.

Counts have a quasi-Poisson variance, dispersion x expected; their tails are those of the gamma
distribution that a Poisson tail equals, by E. B. Wilson and M. M. Hilferty's cube root ("The distribution of
chi-square", PNAS 17, 1931), which is on the safe side in the far tails. False discoveries among many
segments are controlled as Benjamini and Hochberg have it (JRSS B 57, 1995).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.statistics import Floats

Flags = NDArray[np.bool_]
_LEAST: Final = 1e-12


def lower_score(observed: Floats, expected: Floats, dispersion: Floats) -> Floats:
    """Standard normal score of so few or fewer; positive where fewer than expected."""
    shape = observed / dispersion + 1.0
    return _gamma_score(shape, expected / dispersion)


def upper_score(observed: Floats, expected: Floats, dispersion: Floats) -> Floats:
    """Standard normal score of so many or more; positive where more than expected."""
    shape = np.maximum(observed / dispersion, _LEAST)
    found: Floats = np.where(observed > 0, -_gamma_score(shape, expected / dispersion), -np.inf)
    return found


def _gamma_score(shape: Floats, value: Floats) -> Floats:
    root = np.cbrt(np.maximum(value, 0.0) / shape)
    found: Floats = 3.0 * np.sqrt(shape) * (root - 1.0 + 1.0 / (9.0 * shape))
    return found


def tail(score: float) -> float:
    """Probability of a standard normal above the score."""
    return 0.5 * math.erfc(score / math.sqrt(2.0))


def discoveries(probabilities: Floats, tests: int, rate: float) -> Flags:
    """Which are believed, if of those believed at most the share ``rate`` may be false.

    ``tests``: how many were made; those not given had larger probabilities.
    """
    order = np.argsort(probabilities)
    allowed = rate * np.arange(1, len(order) + 1) / max(tests, 1)
    within = np.flatnonzero(probabilities[order] <= allowed)
    believed = np.zeros(len(order), dtype=bool)
    if len(within):
        believed[order[: within[-1] + 1]] = True
    return believed
