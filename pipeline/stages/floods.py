"""The watch over how many records of a topic are refused."""

import logging
from collections import deque
from typing import Final

from pipeline.metrics import Metrics
from pipeline.model.event_time import Clock

logger = logging.getLogger(__name__)
_WATCHED_S: Final = 60.0
#: A share of fewer records says little.
_FEWEST: Final = 100


class FloodWatch:
    """Tells, by metric and log line, of a topic whose last minute was refused beyond a share."""

    def __init__(self, metrics: Metrics, share: float, clock: Clock) -> None:
        self._metrics = metrics
        self._share = share
        self._clock = clock
        self._counts: dict[str, deque[tuple[float, int, int]]] = {}
        self._flooded: set[str] = set()

    def count(self, topic: str, refused: int, records: int) -> None:
        """Take a batch's numbers."""
        now = self._clock()
        counts = self._counts.setdefault(topic, deque())
        counts.append((now, refused, records))
        while counts[0][0] < now - _WATCHED_S:
            counts.popleft()
        bad, total = sum(c[1] for c in counts), sum(c[2] for c in counts)
        is_flooded = total >= _FEWEST and bad > self._share * total
        self._metrics.flooded.labels(topic).set(is_flooded)
        if is_flooded and topic not in self._flooded:
            self._flooded.add(topic)
            logger.warning(
                "%d of %d records of %s in the last minute are refused, over the share of %g "
                "(CX_PIPELINE__DEAD_LETTER_SHARE); see 'cx-signals deadletters list --topic %s'",
                bad,
                total,
                topic,
                self._share,
                topic,
            )
        elif topic in self._flooded and total >= _FEWEST and not is_flooded:
            self._flooded.discard(topic)
            logger.warning("%s has fewer refused records again: %d of %d", topic, bad, total)
