"""The nowcast against a table worked by hand and against lifelines."""

import math

import numpy as np
import pandas
import pytest
from lifelines import AalenJohansenFitter

from pipeline.core.life_tables import LifeTable, nowcast
from pipeline.core.statistics import wilson
from pipeline.model.ages import AgeCounters, age_edges

TIMEOUT_MS = 900_000


def table_of(ages_ms: list[float], kinds: list[int], timeout_ms: int = TIMEOUT_MS) -> LifeTable:
    """Of journeys followed from their opening to their timeout. Kinds: 1 completed, 2 abandoned, 0 neither."""
    edges = age_edges(timeout_ms)
    bins = len(edges) - 1
    completed, abandoned, lived, at_risk = (np.zeros(bins) for _ in range(4))
    for age, kind in zip(ages_ms, kinds, strict=True):
        for at in range(bins):
            low, high = edges[at], edges[at + 1]
            at_risk[at] += max(0.0, min(age, high) - low)
            if kind and low <= age < high:
                (completed if kind == 1 else abandoned)[at] += 1
                lived[at] += age - low
    return LifeTable(completed, abandoned, lived, at_risk, np.diff(np.array(edges, dtype=float)))


def test_a_table_worked_by_hand() -> None:
    """Two bins, 0-10 s and 10-20 s, seen for different numbers of journeys as at the start of an outage.

    First bin: 10 entered, 4 completed after 5 s each, 1 cancelled after 5 s: 5 x 10 + 5 x 5 = 75 s at risk.
    Second: of 8 seen there 2 completed after 5 s: 6 x 10 + 2 x 5 = 70 s. So 4/10 complete in the first bin,
    5/10 go on, of those 2/8 complete: 0.4 + 0.5 x 0.25 = 0.525 in all, 0.475 do not.
    """
    table = LifeTable(
        completed=np.array([4.0, 2.0]),
        abandoned=np.array([1.0, 0.0]),
        lived_ms=np.array([25_000.0, 10_000.0]),
        at_risk_ms=np.array([75_000.0, 70_000.0]),
        width_ms=np.array([10_000.0, 10_000.0]),
    )
    assert table.entering.tolist() == [10.0, 8.0]
    found = nowcast(table)
    assert found.value == pytest.approx(0.475)
    # With a quarter of a journey added to each way out: 4.25/10.5 complete and 1.25/10.5 are cancelled in the
    # first bin, 2.25/8.5 and 0.25/8.5 in the second.
    late = 2.25 / 8.5
    chance = 4.25 / 10.5 + 5 / 10.5 * late
    first = (4.25 / 10.5 + 5 / 10.5 * late**2 - chance**2) / 10
    second = (5 / 10.5) ** 2 * (late - late**2) / 8
    assert found.n == math.floor(chance * (1 - chance) / (first + second))
    lower, upper = wilson(np.array(0.475 * found.n), np.array(float(found.n)))
    assert (float(found.lower), float(found.upper)) == pytest.approx((float(lower), float(upper)))


@pytest.mark.parametrize(("seed", "journeys"), [(1, 40), (2, 400), (3, 3_000)])
def test_of_journeys_followed_to_their_end_it_is_the_estimate_of_aalen_and_johansen(
    seed: int, journeys: int
) -> None:
    chance = np.random.default_rng(seed)
    kinds = chance.choice([0, 1, 2], size=journeys, p=[0.25, 0.65, 0.1])
    ages = np.where(kinds == 0, TIMEOUT_MS, chance.lognormal(math.log(90_000), 0.8, journeys))
    kinds[ages >= TIMEOUT_MS] = 0
    ages = np.minimum(ages, TIMEOUT_MS)
    found = nowcast(table_of(ages.tolist(), kinds.tolist()))
    fitter = AalenJohansenFitter(calculate_variance=False)
    fitter.fit(pandas.Series(ages), pandas.Series(kinds), event_of_interest=1)
    assert found.value == pytest.approx(1 - fitter.cumulative_density_.iloc[-1, 0], abs=1e-9)
    assert found.n == pytest.approx(journeys, rel=0.1)


def test_journeys_that_are_still_under_way_count_for_the_ages_they_have_reached() -> None:
    """Censored ones, as lifelines sees them: within the width of the bins the estimates agree."""
    chance = np.random.default_rng(5)
    kinds = chance.choice([0, 1, 2], size=20_000, p=[0.25, 0.65, 0.1])
    ages = np.where(kinds == 0, TIMEOUT_MS, chance.lognormal(math.log(90_000), 0.8, len(kinds)))
    seen = chance.uniform(0, 1.5 * TIMEOUT_MS, len(kinds))
    kinds = np.where((seen < ages) | (ages >= TIMEOUT_MS), 0, kinds)
    ages = np.minimum(np.minimum(ages, seen), TIMEOUT_MS)
    found = nowcast(table_of(ages.tolist(), kinds.tolist()))
    fitter = AalenJohansenFitter(calculate_variance=False)
    fitter.fit(pandas.Series(ages), pandas.Series(kinds), event_of_interest=1)
    assert found.value == pytest.approx(1 - fitter.cumulative_density_.iloc[-1, 0], abs=0.005)


def test_an_age_that_was_not_seen_leaves_nothing_to_be_said_unless_nobody_gets_there() -> None:
    width = np.array([10_000.0, 10_000.0])
    unseen = LifeTable(np.array([1.0, 0.0]), np.zeros(2), np.zeros(2), np.array([20_000.0, 0.0]), width)
    assert nowcast(unseen).n == 0
    all_gone = LifeTable(np.array([30.0, 0.0]), np.zeros(2), np.zeros(2), np.zeros(2), width)
    found = nowcast(all_gone)
    assert [float(found.value), float(found.lower)] == [0.0, 0.0]
    assert found.n > 0


def test_when_nobody_completes_the_interval_still_has_a_width() -> None:
    found = nowcast(table_of([TIMEOUT_MS] * 40, [0] * 40))
    assert [float(found.value), float(found.upper)] == [1.0, 1.0]
    assert 0.85 < found.lower < 0.95


def test_edges_double_from_ten_seconds_and_end_with_the_timeout() -> None:
    assert age_edges(120_000) == (0, 10_000, 20_000, 40_000, 80_000, 120_000)
    assert age_edges(900_000) == (0, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 900_000)
    assert age_edges(5_000) == (0, 5_000)
    assert age_edges(12_000) == (0, 12_000)


def test_an_age_is_in_the_bin_that_begins_with_it() -> None:
    counters = AgeCounters.of("search", 120_000)
    assert [counters.bin_of(age) for age in (0, 9_999, 10_000, 119_999, 120_000)] == [0, 0, 1, 4, None]
