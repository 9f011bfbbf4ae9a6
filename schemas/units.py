"""Amounts and scores are integers of 1/10,000, so that sums do not depend on the order of adding."""

from typing import Final

UNITS_PER_ONE: Final = 10_000


def to_units(number: float) -> int:
    """The double times 10,000, rounded half to even."""
    return round(number * 10_000)


def from_units(units: int) -> float:
    """The double nearest to ``units`` / 10,000 (Python divides integers with correct rounding)."""
    return units / 10_000
