"""When evidence is told: in order of event time, a piece at a time, so that no history fills the memory."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.evidence import (
    HOUR_MS,
    Asked,
    Evidence,
    changed_steps,
    evidence,
    final_hours,
    hour_evidence,
    new_steps,
    step_of,
)
from pipeline.core.exposure import AgeLayout
from pipeline.core.segment_tiles import SegmentTiles

DAY_MS: Final = 24 * HOUR_MS
LOOK_BACK_MS: Final = DAY_MS
"""Of what becomes complete at once, steps are told so far back; what is older has passed, and only teaches."""
_MOST_HOURS: Final = 5_000
"""Of single segments, told at once."""


class Told(NamedTuple):
    """Evidence up to ``until_ms`` (None: nothing is complete yet): steps, and hours that are final."""

    until_ms: int | None
    steps: list[Evidence]
    hours: list[Evidence]


class Teller:
    """Remembers what of one partition's segments was told."""

    def __init__(self, layout: AgeLayout, lateness_ms: int, look_back_ms: int | None = LOOK_BACK_MS) -> None:
        """``look_back_ms``: None to tell all steps, however long ago they are."""
        self.told_ms: int | None = None
        self._layout = layout
        self._lateness_ms = lateness_ms
        self._look_back_ms = look_back_ms

    def tell(self, segments: Mapping[str, SegmentTiles], complete_ms: int | None) -> Told:
        """The next piece, and the steps told before that have changed since the last emission.

        After the last piece, what it ends with is ``complete_ms``.
        """
        if complete_ms is None:
            return Told(None, [], [])
        oldest = None if self._look_back_ms is None else step_of(complete_ms - self._look_back_ms)
        told, until = self.told_ms, self._end(segments, oldest, complete_ms)
        changed, new, hours = [], [], []
        for name, held in segments.items():
            if held.has_changed():
                starts = [at for at in changed_steps(held, told) if oldest is None or at >= oldest]
                changed.append(Asked(name, held, starts))
            if told != until:
                first = max(at for at in (told, oldest, step_of(int(held.buckets[0]))) if at is not None)
                new.append(Asked(name, held, new_steps(held, self._layout, first, until)))
                hours.append(Asked(name, held, final_hours(held, told, until, self._lateness_ms)))
        steps = list(evidence(changed, self._layout))
        steps.extend(one for one in evidence(new, self._layout) if one.counters)
        self.told_ms = until
        return Told(until, steps, list(hour_evidence(hours, self._layout)))

    def _end(self, segments: Mapping[str, SegmentTiles], oldest_ms: int | None, complete_ms: int) -> int:
        """Where the piece ends that begins where the last one ended; times with nothing in them are free.

        It is a day or more of what only teaches, or an hour with its steps.
        """
        told = self.told_ms
        starts = [
            int(held.buckets[at])
            for held in segments.values()
            if (at := 0 if told is None else int(np.searchsorted(held.buckets, told))) < len(held.buckets)
        ]
        if not starts:
            return complete_ms
        start = step_of(min(starts))
        if oldest_ms is None or start >= oldest_ms:
            return min(complete_ms, start + HOUR_MS)
        return self._end_of_hours(segments, start, oldest_ms)

    def _end_of_hours(self, segments: Mapping[str, SegmentTiles], start_ms: int, oldest_ms: int) -> int:
        """So far that there are not too many hours to tell, and a day at least."""
        found = []
        for held in segments.values():
            first, last = np.searchsorted(held.buckets, [start_ms, oldest_ms])
            some = held.buckets[first:last]
            found.append(np.unique(some - some % HOUR_MS))
        hours = np.sort(np.concatenate(found))
        if len(hours) <= _MOST_HOURS:
            return oldest_ms
        return min(oldest_ms, max(start_ms + DAY_MS, int(hours[_MOST_HOURS])))
