"""Amounts and scores are integers of 1/10,000, so that sums do not depend on the order of adding."""

import math
from operator import truediv
from typing import Final

UNITS_PER_ONE: Final = 10_000


def to_units(number: float) -> int:
    """The double times 10,000, rounded half to even; exact where that exceeds a double. Never raises."""
    scaled = number * 10_000
    return int(number) * 10_000 if math.isinf(scaled) else round(scaled)


def from_units(units: int) -> float:
    """The double nearest to ``units`` / 10,000.

    By a function of Python's own, which rounds correctly: compiled, ``/`` makes a double of each side before it
    divides, and differs above 2**53.
    """
    quotient: float = truediv(units, UNITS_PER_ONE)
    return quotient
