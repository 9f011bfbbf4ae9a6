"""Life tables journey by journey, and the nowcast from them. Written apart from the core."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BUCKET = 10_000


class Stay(NamedTuple):
    """A journey from its opening to its completion or explicit abandonment; None: neither of them."""

    opened_ms: int
    ended_ms: int | None
    completed: bool


def edges(timeout_ms: int) -> list[int]:
    """0, then 10 s and its doublings that are below the timeout by more than 2/7 of it, then the timeout."""
    found, edge = [0], BUCKET
    while edge * 1.4 < timeout_ms:
        found.append(edge)
        edge *= 2
    return [*found, timeout_ms]


@dataclass
class Cells:
    """Of one funnel and segment: by bucket, the time at risk and who ended, in each bin of age."""

    bins: int
    at_risk: dict[int, list[int]] = field(default_factory=dict)
    ended: dict[int, list[int]] = field(default_factory=dict)
    """Completed, abandoned, time lived in the bin; one bin after the other of each."""
    touched: set[int] = field(default_factory=set)
    """Buckets in which a journey was opened or ended."""


def cells_of(stays: Iterable[Stay], timeout_ms: int) -> Cells:
    bounds = edges(timeout_ms)
    bins = len(bounds) - 1
    cells = Cells(bins, defaultdict(lambda: [0] * bins), defaultdict(lambda: [0] * 3 * bins))
    for stay in stays:
        opened = stay.opened_ms // BUCKET * BUCKET + BUCKET // 2
        cells.touched.add(opened - BUCKET // 2)
        until = opened + timeout_ms
        age = None if stay.ended_ms is None else stay.ended_ms - stay.opened_ms
        if stay.ended_ms is not None and age is not None and age < timeout_ms:
            bucket = stay.ended_ms // BUCKET * BUCKET
            until = bucket + BUCKET // 2
            place = max(at for at in range(bins) if bounds[at] <= age)
            cells.touched.add(bucket)
            cells.ended[bucket][place if stay.completed else bins + place] += 1
            cells.ended[bucket][2 * bins + place] += age - bounds[place]
            _spend(cells.at_risk, opened, until, [*bounds[: place + 1], until - opened])
        else:
            _spend(cells.at_risk, opened, until, bounds)
    return cells


def _spend(at_risk: dict[int, list[int]], opened: int, until: int, bounds: list[int]) -> None:
    """Put the time from the opening to the end into the buckets and bins that it falls in.

    By the middles of their buckets an ending can lie a little before or after the bin of its exact age:
    the last bound is then that ending, so the bin before it is cut short or made longer.
    """
    for place, (low, high) in enumerate(itertools.pairwise(bounds)):
        at, end = opened + low, opened + high
        while at < end:
            bucket = at // BUCKET * BUCKET
            step = min(end, bucket + BUCKET) - at
            at_risk[bucket][place] += step
            at += step


def windows(cells: Cells, length: int, step: int, complete: int) -> Iterator[tuple[int, list[int], list[int]]]:
    """Complete ends of the windows that hold an opening or ending, with time at risk and endings by bin."""
    buckets = sorted(set(cells.at_risk) | set(cells.ended))
    nothing = [0] * cells.bins, [0] * 3 * cells.bins
    rows = [[*cells.at_risk.get(b, nothing[0]), *cells.ended.get(b, nothing[1])] for b in buckets]
    running: NDArray[np.int64] = np.vstack([np.zeros((1, 4 * cells.bins), np.int64), np.cumsum(rows, axis=0)])
    ends = sorted(
        {
            end
            for bucket in cells.touched
            for end in range(-(-(bucket + BUCKET) // step) * step, min(bucket + length, complete) + 1, step)
        }
    )
    last, first = np.searchsorted(buckets, ends), np.searchsorted(buckets, [end - length for end in ends])
    for end, total in zip(ends, (running[last] - running[first]).tolist(), strict=True):
        yield end, total[: cells.bins], total[cells.bins :]


def estimate(at_risk: list[int], ended: list[int], bounds: list[int]) -> tuple[float, float] | None:
    """Share that will not complete, and n; None where an age that matters was not seen."""
    bins = len(bounds) - 1
    completed, abandoned, lived = ended[:bins], ended[bins : 2 * bins], ended[2 * bins :]
    widths = [high - low for low, high in itertools.pairwise(bounds)]
    seen = []
    for at in range(bins):
        exits = completed[at] + abandoned[at]
        seen.append(max((max(at_risk[at], 0) + exits * widths[at] - lived[at]) / widths[at], exits))
    alive, done = 1.0, 0.0
    for at in range(bins):
        if seen[at] <= 0:
            if alive > 1e-9:
                return None
            continue
        done += alive * completed[at] / seen[at]
        alive *= 1 - (completed[at] + abandoned[at]) / seen[at]
    n = math.floor(_n(completed, abandoned, seen) + 1e-6)
    return (min(max(1 - done, 0.0), 1.0), float(n)) if n >= 1 else None


def _n(completed: list[int], abandoned: list[int], seen: list[float]) -> float:
    """The n of a share with the estimate's variance (a quarter of a journey added to each way out)."""
    done = [(c + 0.25) / (s + 0.5) for c, s in zip(completed, seen, strict=True)]
    gone = [(a + 0.25) / (s + 0.5) for a, s in zip(abandoned, seen, strict=True)]
    stays = [1 - d - g for d, g in zip(done, gone, strict=True)]
    chances = [0.0]  # of completing in the end, by bin, from the last one on
    for d, s in zip(reversed(done), reversed(stays), strict=True):
        chances.append(d + s * chances[-1])
    chances.reverse()
    variance, alive = 0.0, 1.0
    for at, s in enumerate(stays):
        spread = done[at] + s * chances[at + 1] ** 2 - chances[at] ** 2
        variance += alive**2 * max(spread, 0.0) / seen[at] if seen[at] > 0 else 0.0
        alive *= s
    return chances[0] * (1 - chances[0]) / variance
