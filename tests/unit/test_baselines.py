"""Baselines: scores, intervals, and what each hour of the week is like."""

import math

import numpy as np
import pytest

from pipeline.core.detection.watch import Rule
from pipeline.core.statistics import Floats, ratio_interval
from pipeline.core.usual.baselines import Baselines, Learning, hour_of_week
from pipeline.core.usual.measures import Measures
from pipeline.core.usual.scores import discoveries, lower_score, tail, upper_score
from pipeline.model.ages import age_counters
from pipeline.model.evidence import HOUR_MS
from tests.support import RULES

ONE = np.array([1.0])
AGES = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)
MEASURES = Measures(AGES)
MONDAY = 4 * 24 * HOUR_MS  # 1970-01-05
RULE = Rule("r", "checkout_completion_ratio", True, (120_000, 600_000), 8, 0.3, family="purchase")


def poisson_lower(count: int, mean: float) -> float:
    return sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count + 1))


@pytest.mark.parametrize(("count", "mean"), [(0, 8.0), (0, 14.0), (3, 14.0), (20, 40.0), (70, 100.0)])
def test_scores_are_the_poisson_tails_or_on_the_safe_side(count: int, mean: float) -> None:
    exact = poisson_lower(count, mean)
    found = tail(float(lower_score(np.array([float(count)]), np.array([mean]), ONE)[0]))
    assert 0.9 * exact <= found <= 4 * exact


def test_upper_scores_mirror_and_dispersion_weakens() -> None:
    observed, expected = np.array([30.0]), np.array([10.0])
    exact = 1 - poisson_lower(29, 10.0)
    assert 0.3 * exact <= tail(float(upper_score(observed, expected, ONE)[0])) <= 3 * exact
    assert upper_score(observed, expected, 2 * ONE) < upper_score(observed, expected, ONE)
    assert upper_score(np.array([0.0]), expected, ONE) == -np.inf


def test_false_discoveries_are_controlled_over_all_tests_made() -> None:
    p = np.array([0.0001, 0.004, 0.02, 0.5])
    assert discoveries(p, 4, 0.05).tolist() == [True, True, True, False]
    assert discoveries(p, 4_000, 0.05).tolist() == [False] * 4


def test_the_interval_of_a_standardised_ratio_is_byars() -> None:
    """Breslow and Day, vol. II, table 2.10: for 10 observed the exact limits are 4.80 and 18.39."""
    lower, upper = ratio_interval(np.array([10.0, 0.0]), np.array([1.0, 1.0]))
    assert lower.tolist() == pytest.approx([4.80, 0.0], abs=0.02)
    assert upper.tolist() == pytest.approx([18.39, 3.69], abs=0.06)


def counts(segments: int, completed: float, at_risk_s: float = 100.0) -> Floats:
    found = np.zeros((segments, len(MEASURES.columns)))
    life = MEASURES.life["checkout"]
    found[:, life.completed.start + 3] = completed
    found[:, life.at_risk.start + 3] = at_risk_s * 1000
    return found


def expected_of(baselines: Baselines, at_ms: int, parents: list[int], now: Floats) -> float:
    rates = baselines.rates(at_ms, parents)
    return float(MEASURES.expected(now, rates)[0, MEASURES.funnels.index("checkout")])


def test_hours_of_week_begin_on_monday() -> None:
    assert hour_of_week(MONDAY) == 0
    assert hour_of_week(MONDAY - 1) == 167
    assert hour_of_week(MONDAY + 25 * HOUR_MS) == 25


def test_an_unusual_hour_does_not_teach_unless_it_lasts_a_day() -> None:
    baselines = Baselines(MEASURES, Learning(accepted_after_hours=5))
    for hour in range(10):
        baselines.learn(MONDAY + hour * HOUR_MS, counts(1, 100), [-1])
    before = expected_of(baselines, MONDAY + 10 * HOUR_MS, [-1], counts(1, 100))
    assert before == pytest.approx(100, rel=0.01)
    for hour in range(10, 15):
        baselines.learn(MONDAY + hour * HOUR_MS, counts(1, 20), [-1])
    assert expected_of(baselines, MONDAY + 20 * HOUR_MS, [-1], counts(1, 100)) == pytest.approx(before, rel=0.01)
    for hour in range(15, 30):
        baselines.learn(MONDAY + hour * HOUR_MS, counts(1, 20), [-1])
    assert expected_of(baselines, MONDAY + 40 * HOUR_MS, [-1], counts(1, 100)) < 0.7 * before


def test_an_hour_of_week_has_a_rate_of_its_own_when_it_has_been_seen() -> None:
    baselines = Baselines(MEASURES)
    for hour in range(4 * 168):
        usual = 130 if hour % 24 == 20 else 100
        baselines.learn(MONDAY + hour * HOUR_MS, counts(1, usual), [-1])
    at_eight = expected_of(baselines, MONDAY + 20 * HOUR_MS, [-1], counts(1, 0))
    assert 120 < at_eight < 130
    assert expected_of(baselines, MONDAY + 19 * HOUR_MS, [-1], counts(1, 0)) == pytest.approx(100, rel=0.02)


def test_a_segment_without_a_history_is_expected_to_be_like_its_parent() -> None:
    baselines = Baselines(MEASURES)
    for hour in range(10):
        rows = counts(2, 100)
        rows[1] = 0
        baselines.learn(MONDAY + hour * HOUR_MS, rows, [-1, 0])
    at_ms = MONDAY + 10 * HOUR_MS
    rates = baselines.rates(at_ms, [-1, 0])
    now = counts(2, 0)
    expected = MEASURES.expected(now, rates)[:, MEASURES.funnels.index("checkout")]
    assert expected[1] == pytest.approx(expected[0])
    assert baselines.is_known(at_ms, [-1, 0])[1, MEASURES.funnels.index("checkout")]
