"""What is at stake: the completions missing so far, times what such a journey is usually worth.

A journey's worth is the mean value of the abandoned ones, the only value that tiles tell of a funnel.
"""

from typing import Final, NamedTuple

import numpy as np

from pipeline.core.statistics import Floats
from pipeline.core.usual.baselines import fading, grown
from pipeline.core.usual.measures import Measures
from pipeline.model.tiles import funnel_counters
from schemas.units import UNITS_PER_ONE

_LEAST_SEEN: Final = 20.0


class Stake(NamedTuple):
    """Since the alert's first finding: completions missing, and the amount (None: no value is known)."""

    missing: float
    amount: float | None
    currency: str


class Worth:
    """Sums of value and number of abandoned journeys. Shape: segments, funnels, 2."""

    def __init__(self, measures: Measures, currency: str) -> None:
        self.currency: Final = currency
        self._funnels = measures.funnels
        names = [funnel_counters(funnel) for funnel in measures.funnels]
        columns = [[measures.columns[value], measures.columns[n]] for _, n, value, _ in names]
        self._columns = np.array(columns, dtype=np.intp).reshape(len(names), 2)
        self.sums: Floats = np.zeros((0, len(names), 2))
        self.learned_ms: int | None = None

    def learn(self, at_ms: int, counts: Floats) -> None:
        """Take a whole hour. Shape of ``counts``: segments, columns."""
        self.sums = grown(self.sums, len(counts)) * fading(self.learned_ms, at_ms)
        self.learned_ms = at_ms
        self.sums[: len(counts)] += counts[:, self._columns]

    def stake(self, row: int, root: int, funnel: str, missing: float) -> Stake:
        """Of completions missing in a segment; of the whole shop (``root``) where the segment has too few."""
        at = self._funnels.index(funnel)
        for asked in (row, root):
            if asked < len(self.sums):
                value, n = self.sums[asked, at]
                if n >= _LEAST_SEEN:
                    worth = float(value / n) / UNITS_PER_ONE
                    return Stake(missing, missing * worth if worth else None, self.currency)
        return Stake(missing, None, self.currency)
