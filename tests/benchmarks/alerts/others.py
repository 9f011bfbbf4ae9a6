"""What a user would set up instead, on the rate that a dashboard shows: abandonments by timeout in 5 minutes.

Each is applied to the whole shop, its channels, regions and kinds of device (not to single stores, of which it
would see too little), needs ten journeys in the window and has to last five minutes, as is usual.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.model.evidence import STEP_MS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_MINUTE: Final = 60_000 // STEP_MS
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_LEAST_N: Final = 10
_FOR: Final = 5 * _MINUTE
_APART: Final = 30 * _MINUTE
"""What fires again so soon is the same alert."""


def rates(abandoned: Floats, completed: Floats) -> Floats:
    """Over 5 minutes, at the end of every step; NaN where too little was seen. Shape: steps, segments."""
    gone, done = _over(abandoned, 5 * _MINUTE), _over(completed, 5 * _MINUTE)
    n = gone + done
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n >= _LEAST_N, gone / n, np.nan)


def threshold(rate: Floats, learned: int) -> Flags:
    """Half as much again as was usual in the weeks before."""
    there = ~np.isnan(rate[:learned])
    n = np.maximum(there.sum(axis=0), 1)
    usual = np.where(there, rate[:learned], 0.0).sum(axis=0) / n
    found: Flags = there.any(axis=0) & (rate > 1.5 * usual)
    return found


def z_score(rate: Floats, _: int) -> Flags:
    """Three standard deviations above the mean of the last day."""
    mean, deviation = _moments(rate, _DAY)
    return rate > mean + 3 * deviation


def grafana(rate: Floats, _: int) -> Flags:
    """The adaptive band of Grafana's promql-anomaly-detection, with its default settings.

    Upper bound: the highest of the last hour's mean and twice the smoothed deviation, one and a half times that
    mean, and the same hour's mean and twice its deviation a day and a week ago.
    """
    mean, deviation = _moments(rate, _HOUR)
    counted = np.where(deviation > 0.5 * mean, deviation, np.nan)
    smooth = np.nan_to_num(_moments(counted, 26 * _HOUR)[0])
    upper = np.fmax(mean + 2 * smooth, 1.5 * mean)
    for back in (_DAY - _HOUR // 2, 7 * _DAY - _HOUR // 2):
        before = np.full_like(rate, np.nan)
        before[back:] = (mean + 2 * deviation)[:-back]
        upper = np.fmax(upper, before)
    return rate > upper


OTHERS: Final[dict[str, Callable[[Floats, int], Flags]]] = {
    "fixed threshold (1.5 x usual)": threshold,
    "z-score (3 s.d. of a day)": z_score,
    "Grafana's anomaly band": grafana,
}


def alerts(fires: Flags) -> Iterator[int]:
    """Steps at the end of which an alert begins to fire, each segment's by itself; ascending."""
    lasting = np.zeros_like(fires)
    lasting[_FOR - 1 :] = sliding_window_view(fires, _FOR, axis=0).all(axis=-1)
    begins = []
    for segment in lasting.T:
        at = np.flatnonzero(segment)
        begins.append(at[np.diff(at, prepend=-_APART) >= _APART])
    yield from sorted(np.concatenate(begins).tolist())


def _over(counts: Floats, steps: int) -> Floats:
    running = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
    first = np.maximum(np.arange(1, len(running)) - steps, 0)
    found: Floats = running[1:] - running[first]
    return found


def _moments(values: Floats, steps: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation over the last so many steps, of those that have a value."""
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    n = _over(there.astype(float), steps)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _over(filled, steps) / n
        return mean, np.sqrt(np.maximum(_over(filled**2, steps) / n - mean**2, 0.0))
