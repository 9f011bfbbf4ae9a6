"""Where in a journey it happens: the step at which more is lost than usual, or where errors are shown."""

import copy
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.statistics import Floats
from pipeline.core.usual.baselines import fading, grown
from pipeline.model.dimensions import OTHER
from pipeline.model.tiles import EVENTS, STEP_COUNTERS, Counters, is_by_step

VIEWED, COMPLETED, ERRORS, _EVENTS = range(4)
_PREFIXES: Final = dict(zip(STEP_COUNTERS.values(), (VIEWED, COMPLETED, ERRORS), strict=True))
_MOST: Final = 32
"""Steps told apart; those named later are one."""
_LEAST_SEEN: Final = 30.0
"""Views, or events, in a segment's past from which on it is asked, and not the whole shop's."""
_SURE: Final = 3.0
"""Standard deviations (of a Poisson count) by which a step must stand out."""


class Blamed(NamedTuple):
    """A step, and what is lost at it: completions that are usual and missing, or errors beyond the usual."""

    step: str
    lost: float
    of_all: float
    """Share of what is lost at all steps."""


class Steps:
    """Counts by step of the last while, by time, and the sums that tell what is usual."""

    def __init__(self, kept_ms: int) -> None:
        self._kept_ms = kept_ms
        self.names: list[str] = []
        self.recent: dict[int, Floats] = {}
        """By start. Shape: segments, steps, counts."""
        self.usual: Floats = np.zeros((0, 0, 4))
        self.learned_ms: int | None = None

    def fork(self) -> "Steps":
        """The same, to go on by itself."""
        found = copy.copy(self)
        found.names, found.recent = list(self.names), dict(self.recent)
        return found

    def see(self, start_ms: int, rows: Mapping[int, Counters]) -> None:
        """Take a step of time. ``rows``: counters by row of the segment."""
        counts = self._counts(rows)
        if counts.any():
            self.recent[start_ms] = counts
        for old in [at for at in self.recent if at <= start_ms - self._kept_ms]:
            del self.recent[old]

    def learn(self, at_ms: int, rows: Mapping[int, Counters]) -> None:
        """Take a whole hour in which nothing was unusual."""
        counts = self._counts(rows)
        self.usual = self.usual * fading(self.learned_ms, at_ms)
        self.learned_ms = at_ms
        self.usual = _fitted(self.usual, counts.shape) + _fitted(counts, self.usual.shape)

    def blamed(self, rows: Sequence[int], root: int, since_ms: int) -> Blamed | None:
        """The step that stands out in segments taken together, since then. ``root``: the whole shop's row."""
        shape = (max(*rows, root) + 1, len(self.names), 4)
        at_rows = list(rows)
        now = sum(
            (_fitted(some, shape)[at_rows].sum(axis=0) for at, some in self.recent.items() if at >= since_ms),
            np.zeros(shape[1:]),
        )
        usual = _fitted(self.usual, shape)
        for past in (usual[at_rows].sum(axis=0), usual[root]):
            losses = (_lost_views(now, past), _excess_errors(now, past))
            for lost, deviation in losses:
                total = float(np.maximum(lost, 0.0).sum())
                if not total:
                    continue
                at = int(np.argmax(lost))
                if lost[at] >= _SURE * max(deviation[at], 1.0):
                    return Blamed(self.names[at], float(lost[at]), float(lost[at]) / total)
        return None

    def _counts(self, rows: Mapping[int, Counters]) -> Floats:
        found: dict[tuple[int, int, int], int] = {}
        for row, counters in rows.items():
            # Those that come first are told apart: in any run the same.
            for name, count in sorted(item for item in counters.items() if is_by_step(item[0])):
                for prefix, kind in _PREFIXES.items():
                    if name.startswith(prefix):
                        at = (row, self._place(name.removeprefix(prefix)), kind)
                        found[at] = found.get(at, 0) + count
        counts = np.zeros((max(rows, default=-1) + 1, len(self.names), 4))
        for at, count in found.items():
            counts[at] = count
        for row, counters in rows.items():
            counts[row, :, _EVENTS] = counters.get(EVENTS, 0)
        return counts

    def _place(self, step: str) -> int:
        if step not in self.names:
            if len(self.names) >= _MOST:
                step = OTHER
            if step not in self.names:
                self.names.append(step)
        return self.names.index(step)


def _fitted(counts: Floats, shape: tuple[int, ...]) -> Floats:
    """Grown to at least this many segments and steps."""
    wider = grown(counts.swapaxes(0, 1), shape[1]).swapaxes(0, 1)
    return grown(wider, shape[0])


def _lost_views(now: Floats, past: Floats) -> tuple[Floats, Floats]:
    """Completions of each step that its views would usually have led to and have not, and their deviation."""
    ratio = _per(past[:, COMPLETED], past[:, VIEWED])
    expected = now[:, VIEWED] * ratio
    return expected - now[:, COMPLETED], np.sqrt(expected)


def _excess_errors(now: Floats, past: Floats) -> tuple[Floats, Floats]:
    # Events are a segment's: a step that had no errors yet has no count of its own.
    events = float(past[:, _EVENTS].max(initial=0.0))
    if events < _LEAST_SEEN:
        return np.zeros(len(now)), np.zeros(len(now))
    expected = now[:, _EVENTS] * past[:, ERRORS] / events
    return now[:, ERRORS] - expected, np.sqrt(expected)


def _per(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.divide(part, whole, out=np.zeros_like(whole), where=whole >= _LEAST_SEEN)
    return found
