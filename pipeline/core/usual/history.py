"""What was usual at each hour, segment by segment: the baseline of ``<funnel>_completion_ratio``.

A segment is held against its own past only, so that what is published of it depends on nothing but its own
events: not on which other segments there are, nor on where they are computed.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from pipeline.core.statistics import Floats, Ints
from pipeline.core.usual.baselines import Baselines
from pipeline.core.usual.measures import Measures, Segments, counts_of
from pipeline.model.evidence import HOUR_MS, Evidence, final_after, hour_start
from pipeline.model.tiles import Counters


class Usual:
    """Learns hours that are final, and keeps what was usual at each hour for as long as it may be asked for."""

    def __init__(self, measures: Measures, lateness_ms: int) -> None:
        self.measures: Final = measures
        self.baselines = Baselines(measures)
        self.segments = Segments()
        self.waiting: dict[int, dict[str, Counters]] = {}
        """Final hours that no hour asked for has come after yet, by start and segment."""
        self.at: dict[int, Floats] = {}
        """By hour: completions per ms at risk that were usual; 0 where unknown. Shape: segments, hazards."""
        self.changed: set[int] = set()
        """Of ``at``, since the last cut."""
        self._back_ms = final_after(lateness_ms)

    def take(self, hours: Iterable[Evidence]) -> None:
        """Take whole hours that nothing can change any more."""
        for segment, start_ms, counters in hours:
            self.waiting.setdefault(start_ms, {})[segment] = counters

    def look_up(self, hours: Iterable[int]) -> None:
        """Keep what is usual at these hours (ascending). All hours final before they begin must be in."""
        for hour in hours:
            self._learn_before(hour)
            parents = [-1] * len(self.segments)
            self.baselines.fit(len(parents))
            known = self.baselines.is_known(hour, parents)[:, : len(self.measures.funnels)]
            rates = self.baselines.rates(hour, parents)
            found = rates[:, : self.measures.hazards].copy()
            for at, life in enumerate(self.measures.life.values()):
                found[~known[:, at], life.hazards] = 0.0
            self.at[hour] = found
            self.changed.add(hour)

    def hazards(self, names: Sequence[str], funnel: str, segments: Ints, ends_ms: Ints) -> Floats:
        """At the hour in which each window has its last moment; 0 where nothing is known. Shape: ends, bins.

        ``segments``: of each window, which of the names is its segment's.
        """
        columns = self.measures.life[funnel].hazards
        found = np.zeros((len(ends_ms), columns.stop - columns.start))
        rows = np.array([-1 if row is None else row for row in map(self.segments.find, names)], dtype=np.int64)
        rows = rows[segments]
        hours = (ends_ms - 1) // HOUR_MS * HOUR_MS
        for hour in np.unique(hours).tolist():
            rates = self.at.get(hour)
            if rates is not None:
                at = np.flatnonzero((hours == hour) & (rows >= 0) & (rows < len(rates)))
                found[at] = rates[rows[at], columns]
        return found

    def forget(self, before_ms: int) -> None:
        """Drop what was usual at hours that end before the time."""
        for hour in [hour for hour in self.at if hour + HOUR_MS < before_ms]:
            del self.at[hour]
            self.changed.add(hour)

    def _learn_before(self, hour: int) -> None:
        for past in sorted(past for past in self.waiting if past <= hour - self._back_ms):
            rows = self.waiting.pop(past)
            counts = counts_of(self.measures, self.segments, rows)
            self.baselines.learn(past, counts, [-1] * len(self.segments))


def hours_to_look_up(buckets: Iterable[Ints], after_ms: int | None, until_ms: int, lateness_ms: int) -> list[int]:
    """Hours in (after, until] in which a window of at most an hour can end that holds something.

    That is one of the buckets, or what may still come.
    """
    last = hour_start(until_ms)
    wanted = set(range(hour_start(until_ms - lateness_ms), last + 1, HOUR_MS))
    for some in buckets:
        recent = some if after_ms is None else some[np.searchsorted(some, after_ms - HOUR_MS) :]
        for hour in np.unique(recent - recent % HOUR_MS).tolist():
            wanted |= {hour, hour + HOUR_MS}
    return sorted(hour for hour in wanted if hour <= last and (after_ms is None or hour > after_ms))
