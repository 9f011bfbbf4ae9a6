"""What is usual at an hour, of what is known of earlier ones."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.model.signals import Unit

_LEAST_USUAL: Final = 20
"""Of fewer, what is usual is not known."""
_LEAST_HOURS: Final = 3
"""Of fewer it cannot be told how an hour varies."""
_RANGES: Final[Mapping[Unit, tuple[float, float]]] = {
    Unit.SHARE: (0.0, 1.0),
    Unit.SCORE: (-100.0, 100.0),
    Unit.POINTS: (1.0, 7.0),
    Unit.MONEY: (0.0, math.inf),
    Unit.RATIO: (0.0, math.inf),
    Unit.PER_1000: (0.0, math.inf),
}
_WIDTH: Final = 2.0
"""Of the band on either side, in standard deviations: one hour in twenty lies outside."""


def best_usual(kinds: Sequence[float]) -> dict[str, Any] | None:
    """The closest kind of hour that there are enough of.

    ``kinds``: hours, numerator and denominator of the same hour of the week, of the day, and of the day before.
    """
    for at, (basis, least) in enumerate((("week", 2), ("day", 1), ("all", 1))):
        hours, numerator, denominator = kinds[3 * at : 3 * at + 3]
        if hours >= least and denominator >= _LEAST_USUAL:
            return {"value": numerator / denominator, "n": denominator, "hours": int(hours), "basis": basis}
    return None


def band(figures: Sequence[float], unit: Unit) -> tuple[float, float] | None:
    """Between what and what an hour usually is; None where too few are known.

    ``figures``: of the same hour of earlier days, see :func:`pipeline.web.past_queries.hours_of_the_day`. Of money
    the sum of an hour counts, and hours in which nothing was left are zeros.
    """
    with_n, hours, numerators, squares, denominators, spread = figures
    if (hours if unit is Unit.MONEY else with_n) < _LEAST_HOURS:
        return None
    low, high = _RANGES[unit]
    if unit is Unit.MONEY:
        usual = numerators / hours
        spread = math.sqrt(max(0.0, squares - hours * usual * usual) / (hours - 1))
    else:
        usual = numerators / denominators
    return max(low, usual - _WIDTH * spread), min(high, usual + _WIDTH * spread)
