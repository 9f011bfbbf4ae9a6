"""The rules applied to what was just counted: which segments are off, and how surely.

A rule looks back over several windows at once, short ones for what is large, long ones for what is small.
Each window of each segment in which enough was expected is one test; those believed are controlled together.
"""

import copy
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.detection.rolling import Rolling
from pipeline.core.statistics import Floats
from pipeline.core.usual.baselines import Usual, grown
from pipeline.core.usual.measures import Measures
from pipeline.core.usual.scores import Flags, discoveries, lower_score, tail, upper_score
from pipeline.model.evidence import STEP_MS
from pipeline.model.signals import Kind, signal_of
from pipeline.model.tiles import EVENTS

WITH_STEPS: Final = frozenset({"purchase", "search", "form", "friction"})
"""Families whose journeys have steps: at tills and on the telephone there are none."""
_HARDLY_CHANCE: Final = 2.0
"""Score below which a difference is taken for chance."""
_LEAST_MOMENTS: Final = 0.5
"""So many are expected at least: where none has been yet, the first few would be certain to be too many."""
_PARTS: Final = 2.0**20
"""What is summed are multiples of a millionth or so: sums of such are exact, wherever a restart has begun them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a signal is worth an alert."""

    name: str
    signal: str
    falls: bool
    """Whether lower is worse."""
    windows_ms: tuple[int, ...]
    """Ascending; multiples of the step."""
    least: float
    """What must have been expected within a window: completions for a completion ratio, else answers."""
    change: float
    """Least change that matters: relative for a completion ratio, else absolute (0..1)."""
    false_rate: float = 1e-4
    """Of the findings of one moment, the share that may be false."""
    for_ms: int = 60_000
    """A finding becomes an alert when it has lasted so long ..."""
    certain_score: float = 6.0
    """... or is as sure as this."""
    keep_ms: int = 300_000
    """An alert is resolved when all has been well for so long."""
    well: float = 0.5
    """Below this share of ``change`` all is well again."""
    severity: str = "critical"
    family: str = ""
    """Findings of one family are one incident where their segments are related."""
    steps: bool | None = None
    """Whether its journeys have steps that can be blamed; None: those of our online families have."""

    @property
    def has_steps(self) -> bool:
        return self.family in WITH_STEPS if self.steps is None else self.steps

    @property
    def kind(self) -> Kind:
        return signal_of(self.signal).kind

    @property
    def subject(self) -> str:
        """The funnel that the signal is of; the signal itself where it is of none."""
        return signal_of(self.signal).funnel or self.signal


class Finding(NamedTuple):
    """One segment found off by one rule."""

    row: int
    window_ms: int
    observed: float
    expected: float
    n: float
    score: float


@dataclass(slots=True)
class Verdict:
    """Of one rule at one moment."""

    found: dict[int, Finding]
    """By row of the segment: believed, material, and of enough."""
    windows_ms: tuple[int, ...]
    off: Flags
    """By window and row: by more than what is well, and hardly by chance."""
    seen: Flags
    """By window and row: whether the window holds enough."""

    def of(self, row: int, longest_ms: int) -> tuple[bool, bool]:
        """Whether the segment is off, and whether it is seen, in windows no longer than that."""
        if row >= self.seen.shape[1]:
            return False, False
        count = sum(window_ms <= longest_ms for window_ms in self.windows_ms)
        return bool(self.off[:count, row].any()), bool(self.seen[:count, row].any())


class Reckoned(NamedTuple):
    """One step as the rules look at it."""

    counts: Floats
    """Shape: segments, columns."""
    sums: Floats
    """Observed, expected, and of shares occurrences, usual ones and n. Shape: segments, these."""


class Watch:
    """Keeps what the rules look back at; one step at a time."""

    def __init__(self, measures: Measures, rules: tuple[Rule, ...]) -> None:
        self.rules: Final = rules
        self._measures = measures
        self._funnels = len(measures.funnels)
        self._windows = sorted({window for rule in rules for window in rule.windows_ms} or {STEP_MS})
        columns = 2 * self._funnels + 3 * measures.counted_shares
        self._sums = Rolling(self._windows[-1] // STEP_MS, columns)
        self._over: Floats = np.zeros((len(self._windows), columns, 0))
        """Sums by window, as they are now. Shape: windows, columns, segments."""
        self._at = {rule.name: [self._windows.index(window) for window in rule.windows_ms] for rule in rules}
        self._tables = {
            rule.signal: Rolling(rule.windows_ms[0] // STEP_MS, len(measures.columns_of(rule.subject)))
            for rule in rules
            if rule.kind is Kind.NOWCAST
        }
        self._events: deque[float] = deque(maxlen=measures.silent_ms // STEP_MS)
        self._missing: Floats = np.zeros((0, self._funnels))
        self._groups = {rule.name: self._group(rule) for rule in rules}
        """By rule: which of the usual groups it is of: the funnels, then the shares."""
        self._steps = {rule.name: np.array([[window // STEP_MS] for window in rule.windows_ms]) for rule in rules}
        groups = self._funnels + len(measures.shares)
        self._has_known: list[bool] = [False] * groups
        nothing = np.zeros((0, groups))
        self._usual = Usual(np.zeros((0, measures.pairs)), nothing.astype(bool), nothing, nothing)
        self.known_steps: Floats = nothing
        """How many steps up to now the segment was known, as far as rules look back. Shape: segments, groups."""

    def _group(self, rule: Rule) -> int:
        if rule.kind is Kind.COMPLETION_RATIO:
            return self._measures.funnels.index(rule.subject)
        return self._funnels + self._measures.shares.index(rule.signal)

    def fork(self) -> "Watch":
        """The same, to go on by itself."""
        found = copy.copy(self)
        found._sums, found._events = self._sums.fork(), self._events.copy()
        found._tables = {signal: table.fork() for signal, table in self._tables.items()}
        return found

    @property
    def known(self) -> int:
        """Of how many segments it is told what is usual."""
        return len(self._usual.rates)

    def expect(self, usual: Usual) -> None:
        """What is usual from now on, for the segments there were when it was asked."""
        self._usual, self._has_known = usual, np.logical_or.reduce(usual.known, axis=0).tolist()
        self.known_steps = grown(self.known_steps, len(usual.known)) * usual.known

    def reckon(self, counts: Floats) -> Reckoned:
        """What was to be expected of the next step. Shape of ``counts``: segments, columns."""
        measures, rates = self._measures, self._usual.rates
        known = len(rates)
        counts = grown(counts, known)  # one from before the newest segments came
        observed = measures.completions(counts)
        expected = np.zeros_like(observed)
        expected[:known] = measures.expected(counts[:known], rates)
        shares, n = measures.counted(counts)
        usual = np.zeros_like(shares)
        usual[:known] = n[:known] * rates[:, measures.hazards :][:, : measures.counted_shares]
        sums = np.concatenate([observed, expected, shares, usual, n], axis=1)
        return Reckoned(counts, np.round(sums * _PARTS) / _PARTS)

    def see(self, reckoned: Reckoned) -> None:
        """Take the next step."""
        measures, known = self._measures, self.known
        counts, sums = (grown(each, known) for each in reckoned)  # from before the newest segments came
        self._missing = sums[:, self._funnels : 2 * self._funnels] - sums[:, : self._funnels]
        self._events.append(float(counts[:, measures.columns[EVENTS]].sum()))
        self.known_steps = np.minimum(self.known_steps + 1, self._windows[-1] // STEP_MS) * self._usual.known
        self._sums.push(sums.T)
        self._over = np.empty((len(self._windows), self._over.shape[1], known))
        for at, window in enumerate(self._windows):
            self._sums.over(window // STEP_MS, self._over[at])
        for signal, table in self._tables.items():
            table.push(counts[:, measures.columns_of(signal_of(signal).funnel or signal)].T)

    def judge(self, rule: Rule) -> Verdict:
        """Apply one rule to the windows that end now."""
        look = self._look(rule) if self.is_fed() and self._has_known[self._groups[rule.name]] else None
        if look is None or not look.enough.any():
            nothing = np.zeros((len(rule.windows_ms), self.known), dtype=bool)
            return Verdict({}, rule.windows_ms, nothing, nothing)
        enough = look.enough
        score = np.full(look.observed.shape, -np.inf)
        material = enough & _is_material(rule, look, rule.well)
        if material.any():
            score[material] = _scores(rule, look, material)
        off = material & (score >= _HARDLY_CHANCE)
        candidates = [
            (tail(score[window, row]), rule.windows_ms[window], row, score[window, row])
            for window, row in np.argwhere(off & _is_material(rule, look, 1.0)).tolist()
        ]
        found: dict[int, Finding] = {}
        if candidates:
            probabilities = np.array([candidate[0] for candidate in candidates])
            believed = discoveries(probabilities, look.tests, rule.false_rate)
            for (_, window_ms, row, sure), is_believed in zip(candidates, believed.tolist(), strict=True):
                if is_believed and (row not in found or sure > found[row].score):
                    at = rule.windows_ms.index(window_ms), row
                    counts = (float(look.observed[at]), float(look.expected[at]), float(look.n[at]))
                    found[row] = Finding(row, window_ms, *counts, float(sure))
        return Verdict(found, rule.windows_ms, off, enough)

    def is_fed(self) -> bool:
        """Whether anything came in lately, of any segment.

        Where nothing does, nobody completes anything either, and that says nothing of the shop.
        """
        return any(self._events)

    def missing(self, row: int, funnel: str) -> float:
        """Expected less observed completions of a segment in the last step."""
        found = self._missing
        return float(found[row, self._measures.funnels.index(funnel)]) if row < len(found) else 0.0

    def window(self, rule: Rule, window_ms: int) -> tuple[Floats, Floats]:
        """Observed and expected over one of the rule's windows, by row."""
        (observed, expected, _), at = self._counts(rule), rule.windows_ms.index(window_ms)
        return observed[at], expected[at]

    def _look(self, rule: Rule) -> "_Look | None":
        """None where there is too little in all windows."""
        group, usual = self._groups[rule.name], self._usual
        weight = None if rule.kind is Kind.NOWCAST else self._weight(rule)
        if weight is not None and not (weight >= rule.least).any():
            return None
        observed, expected, n = self._counts(rule)
        weight = n if weight is None else weight
        enough = (weight >= rule.least) & usual.known[:, group]
        chance = np.ones(self.known)
        if rule.kind not in (Kind.COMPLETION_RATIO, Kind.MOMENT_RATE):
            chance = np.maximum(1.0 - usual.rates[:, self._measures.hazards + group - self._funnels], 0.05)
        relative = usual.dispersion[:, group] ** 2 + usual.uncertainty[:, group]
        # Of a window that reaches back to when nothing was known yet, a part has no expectation.
        whole = enough & (self.known_steps[:, group] >= self._steps[rule.name])
        return _Look(observed, expected, n, chance + relative * expected, whole, int(enough.sum()))

    def _weight(self, rule: Rule) -> Floats:
        """What there must be enough of, by window and row: completions expected, or n. Not of nowcasts."""
        group = self._groups[rule.name]
        if rule.kind is Kind.COMPLETION_RATIO:
            return self._stack(rule, self._funnels + group)
        return self._stack(rule, self._funnels + group + 2 * self._measures.counted_shares)

    def _counts(self, rule: Rule) -> tuple[Floats, Floats, Floats]:
        """Observed, expected and n, by window and row."""
        group = self._groups[rule.name]
        if rule.kind is Kind.COMPLETION_RATIO:
            expected = self._weight(rule)
            return self._stack(rule, group), expected, expected
        if rule.kind is Kind.NOWCAST:
            observed, n = self._nowcast(rule)
            return observed, n * self._usual.rates[:, self._measures.hazards + group - self._funnels], n
        first = self._funnels + group
        expected = self._stack(rule, first + self._measures.counted_shares)
        if rule.kind is Kind.MOMENT_RATE:
            expected = np.maximum(expected, _LEAST_MOMENTS)
        return self._stack(rule, first), expected, self._weight(rule)

    def _stack(self, rule: Rule, column: int) -> Floats:
        found: Floats = self._over[self._at[rule.name], column]
        return found

    def _nowcast(self, rule: Rule) -> tuple[Floats, Floats]:
        """Share x n, and n; of the segments that have enough journeys, 0 of the others."""
        known = self.known
        funnel, measures = rule.subject, self._measures
        columns = measures.columns_of(funnel)
        table = np.empty((len(columns), known))
        self._tables[rule.signal].over(rule.windows_ms[0] // STEP_MS, table)
        numerator, n = np.zeros((1, known)), np.zeros((1, known))
        rows = np.flatnonzero(table[-1] >= rule.least / 2)
        if len(rows):
            counts = np.zeros((len(rows), len(measures.columns)))
            counts[:, columns] = table[:, rows].T
            numerator[0, rows], n[0, rows] = measures.nowcast_of(funnel, counts)
        return numerator, n


class _Look(NamedTuple):
    """What a rule looks at, by window and row."""

    observed: Floats
    expected: Floats
    n: Floats
    dispersion: Floats
    enough: Flags
    tests: int
    """Windows with enough in them, looked at or not."""


def _is_material(rule: Rule, look: _Look, share: float) -> Flags:
    if rule.kind is Kind.COMPLETION_RATIO:
        found: Flags = look.observed <= look.expected * (1.0 - rule.change * share)
        return found
    sign = -1.0 if rule.falls else 1.0
    off_by: Floats = sign * (look.observed - look.expected)
    return off_by >= rule.change * share * np.maximum(look.n, 1e-12)


def _scores(rule: Rule, look: _Look, which: Flags) -> Floats:
    score = lower_score if rule.falls else upper_score
    return score(look.observed[which], look.expected[which], look.dispersion[which])
