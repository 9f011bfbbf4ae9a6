"""95 % intervals of the signals, over numpy arrays or single numbers alike.

Wilson: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927), as recommended by Brown, Cai and DasGupta, Statistical Science 16 (2001).
Adjusted Wald for a difference of two multinomial shares: Agresti and Min, Biometrics 61 (2005),
with three added answers as B. Rocks proposes for the Net Promoter Score (2016).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z: Final = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
_TINY: Final = 1e-12


def wilson(successes: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Bounds of a share, each in 0..1. ``n`` must be positive."""
    share = successes / n
    scale = 1 + Z * Z / n
    centre = (share + Z * Z / (2 * n)) / scale
    half = Z * np.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / scale
    # At a share of 0 or 1 the bound is exactly that; rounding would leave it 1e-17 beside, as it does where the
    # share itself is such a rounded 0 or 1.
    lower = np.where(successes <= 0, 0.0, np.maximum(centre - half, 0.0))
    upper = np.where(successes >= n, 1.0, np.minimum(centre + half, 1.0))
    return lower, upper


def adjusted_wald(promoters: Floats, detractors: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Bounds of the Net Promoter Score, in points: wide enough to include it, and within -100..100."""
    total = n + 3
    plus, minus = (promoters + 0.75) / total, (detractors + 0.75) / total
    centre = plus - minus
    half = Z * np.sqrt((plus + minus - centre * centre) / total)
    score = (promoters - detractors) / n
    lower, upper = np.minimum(centre - half, score), np.maximum(centre + half, score)
    return 100 * np.maximum(lower, -1.0), 100 * np.minimum(upper, 1.0)


def normal(mean: Floats, variance: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Bounds of a mean; ``variance`` is the sample's (n - 1). At n = 1 it is unknown: give 0."""
    half = Z * np.sqrt(variance / n)
    return mean - half, mean + half


def sample_variance(total: int, total_sq: int, n: int) -> float:
    """Sample variance from the sum and the sum of squares, exact until the last division."""
    return 0.0 if n < 2 else (n * total_sq - total * total) / (n * (n - 1))


def ratio_interval(observed: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """95 % bounds of observed / expected, the expected taken as known.

    Byar's approximation of the exact Poisson limits: N. E. Breslow and N. E. Day, "Statistical Methods in
    Cancer Research", vol. II (1987), section 2.3, for a standardised ratio.
    """
    low = np.maximum(observed, _TINY)
    lower = np.where(observed > 0, low * _cube(1.0 - 1.0 / (9.0 * low) - Z / (3.0 * np.sqrt(low))), 0.0)
    high = observed + 1.0
    upper = high * _cube(1.0 - 1.0 / (9.0 * high) + Z / (3.0 * np.sqrt(high)))
    safe = np.maximum(expected, _TINY)
    return np.maximum(lower, 0.0) / safe, upper / safe


def _cube(value: Floats) -> Floats:
    found: Floats = value**3
    return found


Ints = NDArray[np.int64]
