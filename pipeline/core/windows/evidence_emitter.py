"""When evidence is told: in order of event time, a piece at a time, so that no history fills the memory."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.windows.evidence import Asked, changed_steps, evidence, final_hours, hour_evidence, new_steps
from pipeline.core.windows.exposure import AgeLayout
from pipeline.core.windows.segment_tiles import SegmentTiles
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence, step_of

_MOST_STEPS: Final = 5_000
"""Of single segments, told at once."""


class Told(NamedTuple):
    """Evidence up to ``until_ms`` (None: nothing is complete yet): steps, and hours that are final."""

    until_ms: int | None
    steps: list[Evidence]
    hours: list[Evidence]


class EvidenceEmitter:
    """Remembers what of one partition's segments was told."""

    def __init__(self, layout: AgeLayout, lateness_ms: int) -> None:
        self.told_ms: int | None = None
        self._layout = layout
        self._lateness_ms = lateness_ms

    def tell(
        self, segments: Mapping[str, SegmentTiles], complete_ms: int | None, is_correcting: bool = True
    ) -> Told:
        """The next piece, and where ``is_correcting`` the steps told before that have changed since.

        After the last piece, what it ends with is ``complete_ms``.
        """
        if complete_ms is None:
            return Told(None, [], [])
        told, until = self.told_ms, self._end(segments, complete_ms)
        changed, new, hours = [], [], []
        for name, held in segments.items():
            if is_correcting and held.has_changed():
                changed.append(Asked(name, held, changed_steps(held, told)))
            if told != until:
                first = step_of(int(held.buckets[0]))
                first = first if told is None else max(told, first)
                new.append(Asked(name, held, new_steps(held, self._layout, first, until)))
                hours.append(Asked(name, held, final_hours(held, told, until, self._lateness_ms)))
        steps = list(evidence(changed, self._layout))
        steps.extend(one for one in evidence(new, self._layout) if one.counters)
        self.told_ms = until
        return Told(until, steps, list(hour_evidence(hours, self._layout)))

    def _end(self, segments: Mapping[str, SegmentTiles], complete_ms: int) -> int:
        """Where the piece ends that begins where the last one ended: not too many steps on, and an hour at least.

        Steps are those of the buckets, and those after them as long as a journey may be at risk.
        """
        found = []
        for held in segments.values():
            first, last = np.searchsorted(held.buckets, [self.told_ms or 0, complete_ms])
            some = held.buckets[first:last]
            found.append(np.unique(some - some % STEP_MS))
        steps = np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)
        if not len(steps):
            return complete_ms
        start = int(steps[0])
        if len(steps) <= _MOST_STEPS:
            return complete_ms
        return min(complete_ms, max(start + HOUR_MS, int(steps[_MOST_STEPS])))
