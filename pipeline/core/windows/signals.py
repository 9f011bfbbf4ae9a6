"""The columns in which the counters of signals are summed, and the signals computed from such sums.

Sums over a window are made in int64 columns. A sum of money or of its squares can exceed 64 bits,
so it is split into limbs of 40 bits, which add up separately and are joined again at the end.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.statistics import (
    Floats,
    Ints,
    adjusted_wald,
    normal,
    ratio_interval,
    sample_variance,
    wilson,
)
from pipeline.core.windows.formulas import Formula
from pipeline.model.signals import Interval, signal_of
from schemas.units import UNITS_PER_ONE, from_units

LIMB_BITS: Final = 40
_LIMB_MASK: Final = (1 << LIMB_BITS) - 1


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

    def __init__(self, formulas: Iterable[Formula]) -> None:
        self._formulas: Final = {formula.signal: formula for formula in formulas}
        limbs: dict[str, int] = {}
        for formula in self._formulas.values():
            for name, count in formula.columns().items():
                limbs[name] = max(count, limbs.get(name, 1))
        self._place: dict[str, int] = {}
        width = 0
        for name, count in limbs.items():
            self._place[name], width = width, width + count
        self._limbs = {name: count for name, count in limbs.items() if count > 1}
        self.width: Final = width
        self._names = self._named_columns()

    @property
    def names(self) -> tuple[str, ...]:
        """All signals, in the order in which they are computed."""
        return tuple(self._formulas)

    @property
    def counters(self) -> tuple[str, ...]:
        """All counters that it sums."""
        return tuple(self._place)

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
        return [name for name, formula in self._formulas.items() if not fallen.isdisjoint(formula.denominators)]

    def compute(self, sums: Ints, lengths_ms: Ints, kept_at_zero: Mapping[str, Ints]) -> Iterator[SignalColumns]:
        """Every signal over the rows of ``sums`` (shape: rows, width), which are of windows so long.

        A row whose denominator is 0 has no signal, unless ``kept_at_zero`` names it: it is then 0.
        """
        for signal, formula in self._formulas.items():
            n: Ints = sums[:, [self._place[name] for name in formula.denominators]].sum(axis=1)
            # One too few may have been seen of a person of whom not all is kept.
            n = np.maximum(n, 0)
            present = np.asarray(n > 0)
            kept = kept_at_zero.get(signal)
            if kept is not None:
                present[kept] = True
            if formula.least_ms:
                present &= lengths_ms >= formula.least_ms
            rows = np.flatnonzero(present)
            if len(rows):
                yield self._columns(formula, rows, n[rows], sums[rows])

    def _named_columns(self) -> list[tuple[str, int]]:
        """Of each column its counter, and by how many bits it is shifted in it."""
        return [(name, LIMB_BITS * limb) for name in self._place for limb in range(self._limbs.get(name, 1))]

    def _columns(self, formula: Formula, rows: Ints, n_int: Ints, sums: Ints) -> SignalColumns:
        n = n_int.astype(np.float64)
        safe_n = np.maximum(n, 1.0)  # a row kept at zero comes out as 0 and is blanked below
        numerator, lower, upper = self._estimate(formula, n_int, safe_n, sums)
        value = numerator / safe_n
        lower, upper = np.minimum(lower, value), np.maximum(upper, value)
        empty = n_int == 0
        for column in (numerator, value, lower, upper):
            column[empty] = 0.0
        return SignalColumns(formula.signal, rows, numerator, n, value, lower, upper)

    def _estimate(self, formula: Formula, n_int: Ints, n: Floats, sums: Ints) -> tuple[Floats, Floats, Floats]:
        if formula.squares is not None:
            totals, squares = self._joined(sums, formula.numerator[0]), self._joined(sums, formula.squares)
            return _mean(totals, squares, n_int, n)
        interval = signal_of(formula.signal).interval
        if interval is Interval.ADJUSTED_WALD:
            promoters, detractors = (self._counts(sums, name) for name in formula.numerator)
            return 100 * (promoters - detractors), *adjusted_wald(promoters, detractors, n)
        successes = self._counts(sums, formula.numerator[0])
        if interval is Interval.POISSON:
            # Who moves from one person to another is told of by two sources, of which one may be ahead.
            successes = np.maximum(successes, 0.0)
            return formula.per * successes, *ratio_interval(successes, n / formula.per)
        if formula.less is not None:
            successes = successes - self._counts(sums, formula.less)
        # Of what comes from two sources one may be ahead of the other in a row that is not complete.
        successes = np.clip(successes, 0.0, n)
        return successes, *wilson(successes, n)

    def _counts(self, sums: Ints, name: str) -> Floats:
        return sums[:, self._place[name]].astype(np.float64)

    def _joined(self, sums: Ints, name: str) -> list[int]:
        at = self._place[name]
        columns = [sums[:, at + limb].tolist() for limb in range(self._limbs.get(name, 1))]
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
