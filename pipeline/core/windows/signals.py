"""Which counters make which signal (docs/signals.md), and the columns they are summed in.

Sums over a window are made in int64 columns. A sum of money or of its squares can exceed 64 bits,
so it is split into limbs of 40 bits, which add up separately and are joined again at the end.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.statistics import Floats, Ints, adjusted_wald, normal, sample_variance, wilson
from pipeline.model.signals import Kind, name_of, signal_of
from pipeline.model.tiles import EVENTS, FRICTION, SURVEY_COUNTERS, funnel_counters
from schemas.units import UNITS_PER_ONE, from_units

LIMB_BITS: Final = 40
_LIMB_MASK: Final = (1 << LIMB_BITS) - 1
_VALUE_LIMBS: Final = 2
_SQUARE_LIMBS: Final = 3


@dataclass(frozen=True, slots=True)
class SignalColumns:
    """One signal over the rows of a matrix of sums; ``rows`` says which of them it has."""

    signal: str
    rows: Ints
    numerator: Floats
    denominator: Floats
    value: Floats
    lower: Floats
    upper: Floats


class SignalTable:
    """The layout of a row of window sums, and the signals computed from such rows."""

    def __init__(self, funnels: Iterable[str]) -> None:
        self.funnels: Final = tuple(funnels)
        self._place: dict[str, int] = {}
        self._limbs: dict[str, int] = {}
        width = 0
        for name in (EVENTS, FRICTION, *SURVEY_COUNTERS):
            self._place[name], width = width, width + 1
        for funnel in self.funnels:
            completed, abandoned, value, value_sq = funnel_counters(funnel)
            for name, limbs in (
                (completed, 1),
                (abandoned, 1),
                (value, _VALUE_LIMBS),
                (value_sq, _SQUARE_LIMBS),
            ):
                self._place[name], width = width, width + limbs
                if limbs > 1:
                    self._limbs[name] = limbs
        self.width: Final = width
        self._names = self._named_columns()
        self._denominators = self._denominator_columns()

    @property
    def names(self) -> tuple[str, ...]:
        """All signals, in the order in which they are computed."""
        return tuple(self._denominators)

    def add(self, row: memoryview, counters: Mapping[str, int]) -> bool:
        """Add those counters that signals are made of to a row of sums; tells whether there were any."""
        found = False
        for name, count in counters.items():
            at = self._place.get(name)
            if at is None:
                continue
            found = True
            for _ in range(self._limbs.get(name, 1) - 1):
                row[at] += count & _LIMB_MASK
                count >>= LIMB_BITS
                at += 1
            row[at] += count
        return found

    def named(self, sums: Ints) -> list[dict[str, int]]:
        """Of each row of sums the counters that are not 0."""
        found: list[dict[str, int]] = [{} for _ in sums]
        rows, columns = np.nonzero(sums)
        for row, column, count in zip(rows.tolist(), columns.tolist(), sums[rows, columns].tolist(), strict=True):
            name, shift = self._names[column]
            found[row][name] = found[row].get(name, 0) + (count << shift)
        # What was taken back can leave limbs that are not 0 and make 0 together.
        return [{name: count for name, count in one.items() if count} for one in found]

    def shrunk(self, change: Mapping[str, int]) -> list[str]:
        """Signals whose denominator falls with the change: their rows may have to become 0."""
        fallen = {name for name, count in change.items() if count < 0}
        if not fallen:
            return []
        return [signal for signal, counters in self._denominators.items() if not fallen.isdisjoint(counters)]

    def compute(self, sums: Ints, kept_at_zero: Mapping[str, Ints]) -> Iterator[SignalColumns]:
        """Every signal over the rows of ``sums`` (shape: rows, width).

        A row whose denominator is 0 has no signal, unless ``kept_at_zero`` names it: it is then 0.
        """
        for signal, names in self._denominators.items():
            n: Ints = sums[:, [self._place[name] for name in names]].sum(axis=1)
            present = np.asarray(n > 0)
            kept = kept_at_zero.get(signal)
            if kept is not None:
                present[kept] = True
            rows = np.flatnonzero(present)
            if len(rows):
                yield self._columns(signal, rows, n[rows], sums[rows])

    def _named_columns(self) -> list[tuple[str, int]]:
        """Of each column its counter, and by how many bits it is shifted in it."""
        return [(name, LIMB_BITS * limb) for name in self._place for limb in range(self._limbs.get(name, 1))]

    def _denominator_columns(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for funnel in self.funnels:
            completed, abandoned, _, _ = funnel_counters(funnel)
            found[name_of(funnel, Kind.ABANDONMENT)] = (completed, abandoned)
            found[name_of(funnel, Kind.VALUE_ABANDONED)] = (abandoned,)
        found[Kind.CSAT.value] = ("csat_answers",)
        found[Kind.NPS.value] = ("nps_answers",)
        found[Kind.CES.value] = ("ces_answers",)
        found[Kind.FRICTION.value] = (EVENTS,)
        return found

    def _columns(self, signal: str, rows: Ints, n_int: Ints, sums: Ints) -> SignalColumns:
        n = n_int.astype(np.float64)
        safe_n = np.maximum(n, 1.0)  # a row kept at zero comes out as 0 and is blanked below
        numerator, lower, upper = self._estimate(signal, n_int, safe_n, sums)
        value = numerator / safe_n
        lower, upper = np.minimum(lower, value), np.maximum(upper, value)
        empty = n_int == 0
        for column in (numerator, value, lower, upper):
            column[empty] = 0.0
        return SignalColumns(signal, rows, numerator, n, value, lower, upper)

    def _estimate(self, signal: str, n_int: Ints, n: Floats, sums: Ints) -> tuple[Floats, Floats, Floats]:
        of = signal_of(signal)
        if of.kind is Kind.NPS:
            promoters = self._counts(sums, "nps_promoters")
            detractors = self._counts(sums, "nps_detractors")
            return 100 * (promoters - detractors), *adjusted_wald(promoters, detractors, n)
        if of.kind is Kind.CES:
            totals = sums[:, self._place["ces_sum"]].tolist()
            squares = sums[:, self._place["ces_sum_sq"]].tolist()
            return _mean(totals, squares, n_int, n)
        if of.kind is Kind.VALUE_ABANDONED:
            return _mean(self._joined(sums, signal), self._joined(sums, f"{signal}_sq"), n_int, n)
        counter = {Kind.CSAT: "csat_satisfied", Kind.FRICTION: FRICTION}.get(of.kind)
        successes = self._counts(sums, counter or funnel_counters(of.funnel or "")[1])
        return successes, *wilson(successes, n)

    def _counts(self, sums: Ints, name: str) -> Floats:
        return sums[:, self._place[name]].astype(np.float64)

    def _joined(self, sums: Ints, name: str) -> list[int]:
        at = self._place[name]
        columns = [sums[:, at + limb].tolist() for limb in range(self._limbs[name])]
        return [
            sum(part << (LIMB_BITS * limb) for limb, part in enumerate(parts))
            for parts in zip(*columns, strict=True)
        ]


def _mean(totals: list[int], squares: list[int], n_int: Ints, n: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum, lower and upper bound of the mean, from units of 1/10,000 to ones."""
    squared = float(UNITS_PER_ONE**2)
    variances = [
        sample_variance(total, square, count) / squared
        for total, square, count in zip(totals, squares, n_int.tolist(), strict=True)
    ]
    numerator = np.array([from_units(total) for total in totals], dtype=np.float64)
    return numerator, *normal(numerator / n, np.array(variances, dtype=np.float64), n)
