"""What was usual at each hour, one funnel of one segment at a time. Written apart from the core."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.tools.verify.naive_nowcast import Cells

HOUR = 3_600_000
WEEK = 168


class Past(NamedTuple):
    """``hours``: those with anything in them, ascending; ``smallest``: the smallest watermark."""

    hours: list[int]
    smallest: int
    lateness_ms: int


@dataclass
class Sums:
    """Completions and time at risk by bin, as of an hour."""

    at: int
    completed: list[float]
    at_risk: list[float]

    def fade(self, at: int, by: float) -> None:
        self.at, self.completed, self.at_risk = (
            at,
            [c * by for c in self.completed],
            [t * by for t in self.at_risk],
        )

    def add(self, completed: list[int], at_risk: list[int]) -> None:
        self.completed = [a + b for a, b in zip(self.completed, completed, strict=True)]
        self.at_risk = [a + b for a, b in zip(self.at_risk, at_risk, strict=True)]


@dataclass
class Learned:
    bins: int
    hours: int = 0
    streak: int = 0
    beyond: float = 0.0
    weight: float = 0.0
    pooled: Sums = field(init=False)
    of_week: dict[int, Sums] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pooled = Sums(0, [0.0] * self.bins, [0.0] * self.bins)

    def usual(self, hour: int) -> list[float] | None:
        """Completions per ms at risk; None while too little is known."""
        pooled, own = self.pooled, self.of_week.get(hour // HOUR % WEEK)
        if self.hours < 3 or sum(pooled.completed) * self._fading(hour) < 50:
            return None
        rates = [c / t if t else 0.0 for c, t in zip(pooled.completed, pooled.at_risk, strict=True)]
        if own is None:
            return rates
        by = 0.7 ** ((hour - own.at) // HOUR // WEEK)
        found = []
        for rate, completed, at_risk in zip(rates, own.completed, own.at_risk, strict=True):
            if rate > 0:
                found.append((completed * by + 10) / (at_risk * by + 10 / rate))
            else:
                found.append(completed / at_risk if at_risk else 0.0)
        return found

    def learn(self, hour: int, completed: list[int], at_risk: list[int]) -> None:
        teaches = self._judge(hour, sum(completed), at_risk)
        self.pooled.fade(hour, self._fading(hour))
        slot = hour // HOUR % WEEK
        own = self.of_week.setdefault(slot, Sums(hour, [0.0] * self.bins, [0.0] * self.bins))
        own.fade(hour, 0.7 ** ((hour - own.at) // HOUR // WEEK))
        if teaches and self.hours:
            self.pooled.add(completed, at_risk)
            own.add(completed, at_risk)
        self.hours += 1

    def _fading(self, hour: int) -> float:
        return float(0.5 ** ((hour - self.pooled.at) / HOUR / WEEK))

    def _judge(self, hour: int, observed: int, at_risk: list[int]) -> bool:
        """Whether the hour is fit to be learned from: an unusual one is not, unless a day of them is."""
        fading = self._fading(hour)
        self.beyond, self.weight = self.beyond * fading, self.weight * fading
        rates = self.usual(hour)
        if rates is None:
            self.streak = 0 if self._expects(at_risk) else self.streak
            return True
        expected = sum(time * rate for time, rate in zip(at_risk, rates, strict=True))
        if not expected:
            self.beyond += observed**2
            return True
        off = max(math.sqrt(max(self.beyond / self.weight, 0.0)) if self.weight else 0.0, 0.05)
        dispersion = 1 + off**2 * expected
        score = max(_lower(observed, expected, dispersion), _upper(observed, expected, dispersion))
        if score > 3.5 and abs(observed / expected - 1) > 0.25:
            self.streak += 1
            return self.streak > 24
        self.streak = 0
        self.beyond += (observed - expected) ** 2 - expected
        self.weight += expected**2
        return True

    def _expects(self, at_risk: list[int]) -> bool:
        return any(time and c for time, c in zip(at_risk, self.pooled.completed, strict=True))


def _lower(observed: float, expected: float, dispersion: float) -> float:
    return _wilson_hilferty(observed / dispersion + 1, expected / dispersion)


def _upper(observed: float, expected: float, dispersion: float) -> float:
    return -_wilson_hilferty(observed / dispersion, expected / dispersion) if observed else -math.inf


def _wilson_hilferty(shape: float, value: float) -> float:
    return 3 * math.sqrt(shape) * (math.cbrt(value / shape) - 1 + 1 / (9 * shape))


def hazards(cells: Cells, past: Past) -> dict[int, list[float]]:
    """By hour, completions per ms at risk that were usual; hours at which nothing was known are missing."""
    bins = cells.bins
    completed: dict[int, list[int]] = defaultdict(lambda: [0] * bins)
    at_risk: dict[int, list[int]] = defaultdict(lambda: [0] * bins)
    for counts, into in ((cells.ended, completed), (cells.at_risk, at_risk)):
        for bucket, row in counts.items():
            hour = bucket // HOUR * HOUR
            into[hour] = [a + b for a, b in zip(into[hour], row, strict=False)]
    back = (1 + -(-past.lateness_ms // HOUR)) * HOUR
    state, found, waiting = Learned(bins), {}, list(past.hours)
    asked = {bucket // HOUR * HOUR + more for bucket in cells.touched for more in (0, HOUR)}
    for hour in sorted(asked):
        while waiting and waiting[0] <= hour - back:
            past_hour = waiting.pop(0)
            state.learn(past_hour, completed[past_hour], [max(t, 0) for t in at_risk[past_hour]])
        rates = state.usual(hour)
        if rates is not None:
            found[hour] = rates
    return found
