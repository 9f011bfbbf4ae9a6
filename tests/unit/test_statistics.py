"""Intervals against published or hand-worked figures."""

import numpy as np
import pytest

from pipeline.core.statistics import adjusted_wald, normal, sample_variance, wilson


@pytest.mark.parametrize(
    ("successes", "n", "lower", "upper"),
    [
        (0, 10, 0.0, 0.27753279),  # Brown, Cai and DasGupta's example of a share of 0
        (5, 10, 0.23659309, 0.76340691),
        (10, 10, 0.72246721, 1.0),
        (81, 263, 0.25529079, 0.36621093),  # Newcombe 1998, Statistics in Medicine 17, table I
    ],
)
def test_wilson(successes: float, n: float, lower: float, upper: float) -> None:
    low, high = wilson(np.array([successes], dtype=float), np.array([n], dtype=float))
    assert low[0] == pytest.approx(lower, abs=2e-4)
    assert high[0] == pytest.approx(upper, abs=2e-4)


def test_bounds_of_a_share_are_shares_though_it_was_rounded() -> None:
    """A nowcast's share is a product of many: 0 may come out as 1e-17, and its bound was below 0."""
    n = np.arange(1.0, 400.0)
    for rounded in (1e-17, 1e-15, 1e-13):
        low, _ = wilson(n * rounded, n)
        _, high = wilson(n * (1 - rounded), n)
        assert low.min() >= 0.0
        assert high.max() <= 1.0


def test_adjusted_wald_by_hand() -> None:
    # 6 promoters, 2 detractors of 10: p+ = 6.75/13, p- = 2.75/13
    plus, minus = 6.75 / 13, 2.75 / 13
    half = 1.959963984540054 * ((plus + minus - (plus - minus) ** 2) / 13) ** 0.5
    low, high = adjusted_wald(np.array([6.0]), np.array([2.0]), np.array([10.0]))
    assert low[0] == pytest.approx(100 * (plus - minus - half))
    assert high[0] == pytest.approx(100 * (plus - minus + half))


def test_normal_from_sums() -> None:
    values = [3, 5, 10, 2]
    variance = sample_variance(sum(values), sum(v * v for v in values), len(values))
    assert variance == pytest.approx(np.var(values, ddof=1))
    low, high = normal(np.array([5.0]), np.array([variance]), np.array([4.0]))
    assert (low[0] + high[0]) / 2 == pytest.approx(5.0)
    assert high[0] - low[0] == pytest.approx(2 * 1.959963984540054 * (variance / 4) ** 0.5)


def test_one_observation_has_no_spread_to_show() -> None:
    assert sample_variance(7, 49, 1) == 0.0


def test_variance_stays_exact_where_doubles_would_not() -> None:
    big = 10**16
    assert sample_variance(2 * big + 1, big**2 + (big + 1) ** 2, 2) == 0.5
