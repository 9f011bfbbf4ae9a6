"""What is usual: rates of occurrence by hour of week and segment, learned hour by hour.

A rate is shrunk towards what is known of more: that of the hour of week towards the segment's rate at all
hours, and that towards its parent's, by the weight of some occurrences (empirical Bayes with a gamma prior).
An hour that was unusual does not teach, unless it has been so for a day: then that is the new usual. Old
weeks fade.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.statistics import Floats
from pipeline.core.usual.measures import Measures, levels
from pipeline.core.usual.scores import Flags, lower_score, upper_score
from pipeline.model.evidence import HOUR_MS

HOURS_OF_WEEK: Final = 168
#: 1970-01-01 was a Thursday: hour 0 is Monday's first (UTC).
_EPOCH_HOUR: Final = 72


def hour_of_week(at_ms: int) -> int:
    """0 to 167, from Monday 00:00 UTC on."""
    return (at_ms // HOUR_MS + _EPOCH_HOUR) % HOURS_OF_WEEK


@dataclass(frozen=True, slots=True)
class Learning:
    """How fast is learned and forgotten, and what is not learned."""

    weight: float = 10.0
    """Occurrences that the more general rate counts for."""
    weekly: float = 0.7
    """What a week counts for a week later."""
    unusual_score: float = 3.5
    unusual_change: float = 0.25
    """Relative change above which, with the score, an hour is unusual ..."""
    accepted_after_hours: int = 24
    """... unless as many hours before it were."""
    least_dispersion: float = 0.05
    """Relative standard deviation of an expected count, at least."""
    least_known: float = 50.0
    """Occurrences that have been seen ..."""
    least_hours: int = 2
    """... in so many hours beyond the first, before anything is expected."""


class Usual(NamedTuple):
    """What is usual at some time, by segment."""

    rates: Floats
    """Shape: segments, pairs; of all below: segments, groups."""
    known: Flags
    """Whether enough was seen."""
    dispersion: Floats
    """Relative standard deviation of expected counts, beyond chance ..."""
    uncertainty: Floats
    """... and the relative variance that they have because what they were learned from was little itself."""


class Rates:
    """Sums of occurrences and exposures. Shape: segments, pairs."""

    __slots__ = ("exposures", "occurrences")

    def __init__(self, segments: int, pairs: int) -> None:
        self.occurrences: Floats = np.zeros((segments, pairs))
        self.exposures: Floats = np.zeros((segments, pairs))

    def fit(self, segments: int) -> None:
        """Make room for new segments."""
        self.occurrences, self.exposures = grown(self.occurrences, segments), grown(self.exposures, segments)

    def faded(self, by: float) -> "Rates":
        """The same, counting for less."""
        found = Rates(0, 0)
        found.occurrences, found.exposures = self.occurrences * by, self.exposures * by
        return found

    def shrunk(self, prior: Floats, weight: float) -> Floats:
        """Rates, drawn towards ``prior`` with the weight of so many occurrences."""
        exposure = np.divide(weight, prior, out=np.zeros_like(prior), where=prior > 0)
        own = np.divide(self.occurrences, self.exposures, out=np.zeros_like(prior), where=self.exposures > 0)
        with_prior = (self.occurrences + weight) / np.where(prior > 0, self.exposures + exposure, 1.0)
        found: Floats = np.where(prior > 0, with_prior, own)
        return found


class Baselines:
    """The state: sums by hour of week and at all hours, and how far hours usually are off."""

    def __init__(self, measures: Measures, learning: Learning | None = None) -> None:
        self._measures = measures
        self._learning = learning or Learning()
        self._groups = len(measures.funnels) + len(measures.shares)
        self.pooled = Rates(0, measures.pairs)
        self.slots: dict[int, Rates] = {}
        self.spread = Rates(0, self._groups)
        """Squared relative deviations beyond what chance explains, and their weights."""
        self.changed_slots: set[int] = set()
        """Hours of week that have learned since the last cut."""
        self.hours: Floats = np.zeros(0)
        """By segment, those with anything in them that have been learned."""
        self.streak: Floats = np.zeros((0, self._groups))
        """Hours in a row that were unusual."""
        self.taught: Flags = np.zeros((0, self._groups), dtype=bool)
        """Of which groups the last hour taught."""
        self.last_ms: int | None = None
        """Start of the last hour learned ..."""
        self.last_of_slot_ms: dict[int, int] = {}
        """... and of the last of each hour of week: what is old fades with the time, learned from or not."""

    def fork(self) -> "Baselines":
        """The same, to go on by itself."""
        found = copy.copy(self)
        found.pooled, found.spread = copy.copy(self.pooled), copy.copy(self.spread)
        found.slots = {slot: copy.copy(rates) for slot, rates in self.slots.items()}
        found.changed_slots, found.last_of_slot_ms = set(self.changed_slots), dict(self.last_of_slot_ms)
        return found

    def fit(self, segments: int) -> None:
        for rates in (self.pooled, self.spread, *self.slots.values()):
            rates.fit(segments)
        self.streak, self.hours = grown(self.streak, segments), grown(self.hours, segments)

    def usual(self, at_ms: int, parents: Sequence[int]) -> Usual:
        """Of the segments that ``parents`` has (there may be more), as of that time."""
        count = len(parents)
        every = [*parents, *[-1] * (len(self.hours) - count)]
        return Usual(
            self.rates(at_ms, every)[:count],
            self.is_known(at_ms, every)[:count],
            self.dispersion()[:count],
            self.uncertainty(at_ms)[:count],
        )

    def uncertainty(self, at_ms: int) -> Floats:
        """Of a rate learned from k occurrences, 1/k, with what is drawn towards counted in."""
        learned = self.pooled.occurrences * fading(self.last_ms, at_ms)
        found: Floats = 1.0 / (self._by_group(learned) + self._learning.weight)
        return found

    def rates(self, at_ms: int, parents: Sequence[int]) -> Floats:
        """What is usual at the hour of week of a time, as of that time. Shape: segments, pairs."""
        weight, slot = self._learning.weight, hour_of_week(at_ms)
        usual = np.zeros_like(self.pooled.occurrences)
        all_hours, own_hours = self.pooled.faded(fading(self.last_ms, at_ms)), self.slots.get(slot)
        if own_hours is not None:
            own_hours = own_hours.faded(self._fading_of_slot(at_ms))
        above = np.array(parents, dtype=np.intp)
        for rows in levels(parents):
            prior = np.where(above[rows, None] >= 0, usual[above[rows]], 0.0)
            pooled = _rows(all_hours, rows).shrunk(prior, weight)
            usual[rows] = pooled if own_hours is None else _rows(own_hours, rows).shrunk(pooled, weight)
        return usual

    def is_known(self, at_ms: int, parents: Sequence[int]) -> Flags:
        """Of which groups enough was seen, in the segment or its parent. Shape: segments, groups."""
        pooled = self.pooled.faded(fading(self.last_ms, at_ms))
        seen = self._by_group(pooled.occurrences)
        shares = slice(len(self._measures.funnels), None)
        # Of a share it is the exposure that tells: a rate of 0 is known as well.
        seen[:, shares] = pooled.exposures[:, self._measures.hazards :]
        # The first hour of all has not taught: what began before it is missing.
        has_hours = self.hours > self._learning.least_hours
        enough = (seen >= self._learning.least_known) & has_hours[:, None]
        above = np.array(parents, dtype=np.intp)
        for rows in levels(parents)[1:]:
            enough[rows] |= enough[above[rows]]
        return enough

    def _fading_of_slot(self, at_ms: int) -> float:
        """The same of the rates at this hour of week."""
        weeks = (at_ms - self.last_of_slot_ms[hour_of_week(at_ms)]) // (HOURS_OF_WEEK * HOUR_MS)
        return self._learning.weekly**weeks

    def dispersion(self) -> Floats:
        """Relative standard deviation of expected counts, beyond chance. Shape: segments, groups."""
        spread = self.spread
        seen = np.divide(
            spread.occurrences, spread.exposures, out=np.zeros_like(spread.exposures), where=spread.exposures > 0
        )
        return np.maximum(np.sqrt(np.maximum(seen, 0.0)), self._learning.least_dispersion)

    def learn(self, at_ms: int, counts: Floats, parents: Sequence[int]) -> None:
        """Take one hour, which begins at ``at_ms``. Shape of ``counts``: segments, columns."""
        measures, learning = self._measures, self._learning
        self.fit(len(counts))
        slot = hour_of_week(at_ms)
        self._fade(at_ms)
        occurrences, exposures = measures.occurrences(counts)
        observed, expected, chance = self._against_usual(counts, occurrences, exposures, at_ms, parents)
        known = self.is_known(at_ms, parents)
        unusual = known & self._is_unusual(observed, expected, chance)
        self.streak = np.where(expected > 0, np.where(unusual, self.streak + 1, 0), self.streak)
        teaches = ~unusual | (self.streak > learning.accepted_after_hours)
        self.taught = teaches
        self._learn_spread(observed, expected, chance, known & ~unusual)
        by_pair = self._to_pairs(teaches) & (self.hours > 0)[:, None]
        self.hours = self.hours + counts.any(axis=1)
        self.changed_slots.add(slot)
        own = self.slots.setdefault(slot, Rates(len(counts), measures.pairs))
        for rates in (self.pooled, own):
            rates.occurrences = rates.occurrences + occurrences * by_pair
            rates.exposures = rates.exposures + exposures * by_pair

    def _fade(self, at_ms: int) -> None:
        """Let what was learned count for less, by the time that has passed since it was."""
        slot, by = hour_of_week(at_ms), fading(self.last_ms, at_ms)
        self.pooled, self.spread = self.pooled.faded(by), self.spread.faded(by)
        if slot in self.slots:
            self.slots[slot] = self.slots[slot].faded(self._fading_of_slot(at_ms))
        self.last_ms = self.last_of_slot_ms[slot] = at_ms

    def _against_usual(
        self, counts: Floats, occurrences: Floats, exposures: Floats, at_ms: int, parents: Sequence[int]
    ) -> tuple[Floats, Floats, Floats]:
        """Observed, expected and the variance of chance over the expected, of each group."""
        measures = self._measures
        usual = self.rates(at_ms, parents)
        shares = slice(measures.hazards, None)
        expected = np.concatenate(
            [measures.expected(counts, usual), exposures[:, shares] * usual[:, shares]], axis=1
        )
        observed = np.concatenate([measures.completions(counts), occurrences[:, shares]], axis=1)
        chance = np.ones_like(expected)
        chance[:, len(measures.funnels) :] = np.maximum(1.0 - usual[:, shares], 0.05)
        chance[:, len(measures.funnels) :][:, measures.rates] = 1.0
        return observed, expected, chance

    def _is_unusual(self, observed: Floats, expected: Floats, chance: Floats) -> Flags:
        learning = self._learning
        dispersion = chance + self.dispersion() ** 2 * expected
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.maximum(
                lower_score(observed, expected, dispersion), upper_score(observed, expected, dispersion)
            )
            change = np.abs(observed / np.where(expected > 0, expected, 1.0) - 1.0)
        found: Flags = (expected > 0) & (score > learning.unusual_score) & (change > learning.unusual_change)
        return found

    def _learn_spread(self, observed: Floats, expected: Floats, chance: Floats, teaches: Flags) -> None:
        beyond = (observed - expected) ** 2 - chance * expected
        self.spread.occurrences = self.spread.occurrences + np.where(teaches, beyond, 0.0)
        self.spread.exposures = self.spread.exposures + np.where(teaches, expected**2, 0.0)

    def _by_group(self, pairs: Floats) -> Floats:
        measures = self._measures
        funnels = [pairs[:, life.hazards].sum(axis=1) for life in measures.life.values()]
        by_funnel = [one[:, np.newaxis] for one in funnels]
        return np.concatenate([*by_funnel, pairs[:, measures.hazards :]], axis=1)

    def _to_pairs(self, groups: Flags) -> NDArray[np.bool_]:
        measures = self._measures
        widths = [life.hazards.stop - life.hazards.start for life in measures.life.values()]
        funnels = np.repeat(groups[:, : len(widths)], widths, axis=1)
        return np.concatenate([funnels, groups[:, len(widths) :]], axis=1)


def fading(since_ms: int | None, at_ms: int) -> float:
    """What a sum over all hours counts for, so long after it was brought up to date: half after a week."""
    hours = (at_ms - since_ms) // HOUR_MS if since_ms is not None else 0
    return float(0.5 ** (hours / HOURS_OF_WEEK))


def grown(rows: Floats, count: int) -> Floats:
    """The same with rows of zeros after it, up to ``count``."""
    missing = count - len(rows)
    return rows if missing <= 0 else np.concatenate([rows, np.zeros((missing, *rows.shape[1:]))])


def _rows(rates: Rates, rows: NDArray[np.intp]) -> Rates:
    found = Rates(0, 0)
    found.occurrences, found.exposures = rates.occurrences[rows], rates.exposures[rows]
    return found
