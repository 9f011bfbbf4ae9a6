"""What the rules look back over: sums of the last steps."""

import copy
from collections import deque

import numpy as np

from pipeline.core.statistics import Floats


class Rolling:
    """Sums over the last steps, by column and segment. Segments may be added as time goes on."""

    def __init__(self, steps: int, columns: int) -> None:
        self._running: deque[Floats] = deque([np.zeros((columns, 0))], maxlen=steps + 1)

    def fork(self) -> "Rolling":
        """The same, to go on by itself."""
        found = copy.copy(self)
        found._running = self._running.copy()
        return found

    def push(self, counts: Floats) -> None:
        """Shape: columns, segments."""
        before = self._running[-1]
        # Of a step in which nothing came the segments known then are told, which may be fewer.
        running = np.zeros((counts.shape[0], max(counts.shape[1], before.shape[1])))
        running[:, : counts.shape[1]] = counts
        running[:, : before.shape[1]] += before
        self._running.append(running)

    def over(self, steps: int, into: Floats) -> None:
        """Of the last ``steps`` steps, or of as many as there were, for the first segments."""
        count = into.shape[1]
        before = self._running[-1 - min(steps, len(self._running) - 1)][:, :count]
        into[:] = self._running[-1][:, :count]
        into[:, : before.shape[1]] -= before
