"""What phase two tells detection of persons: completions, abandonments, those completed elsewhere; moments.

Steps are told when rows of windows that end with them are complete, later than other evidence is told, and again
as long as detection can go back to them. An hour teaches as it is when no event can be late for it any more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from pipeline.core.hours import hour_of
from pipeline.core.windows.evidence_emitter import Told
from pipeline.core.windows.person_parts import Part, together
from pipeline.core.windows.segment_rows import SegmentRows, numbered
from pipeline.core.windows.signals import SignalTable
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence, step_of
from pipeline.model.facts import RECOVERABLE
from pipeline.model.tiles import EVENTS, SEEN, Counters, elsewhere_counter, funnel_counters, moments_counter

_MOST_MS: Final = 2 * HOUR_MS
"""Of new steps, told at once."""


class PersonTeller:
    """Remembers up to when has been told."""

    def __init__(self, table: SignalTable, lateness_ms: int, rules: Iterable[str] = ()) -> None:
        self._table = table
        self._lateness_ms = lateness_ms
        counted = {name for funnel in RECOVERABLE for name in funnel_counters(funnel)[:2]}
        self._counted = (counted | {SEEN}) & set(table.counters)
        self._told_names = self._counted | {elsewhere_counter(funnel) for funnel in RECOVERABLE}
        self._told_names.update(map(moments_counter, rules))
        self.told_ms: int | None = None

        self._steps: list[Evidence] = []
        self._hours: list[Evidence] = []

    def take(self) -> Told:
        """What has been told since the last call."""
        steps, hours, self._steps, self._hours = self._steps, self._hours, [], []
        return Told(self.told_ms, steps, hours)

    def tell_changed(self, some: list[Part]) -> None:
        """The steps told before that have changed, and that detection can go back to."""
        told = self.told_ms
        if told is None:
            return
        oldest = told - self._lateness_ms - HOUR_MS
        starts = [sorted({step_of(bucket) for bucket in part.dirty if oldest <= bucket < told}) for part in some]
        self._steps += self._evidence(some, starts, STEP_MS)

    def tell_new(self, complete_ms: int, first_ms: int, within: Callable[[int], Iterator[Part]]) -> None:
        """The next piece of what has become complete.

        ``first_ms``: from which on there is anything. ``within``: gives of an hour what there is of each segment.
        """
        since = first_ms if self.told_ms is None else self.told_ms
        until = min(step_of(complete_ms), step_of(max(since, first_ms)) + _MOST_MS)
        if self.told_ms is not None and until <= self.told_ms:
            return
        for hour in range(hour_of(since), until, HOUR_MS):
            for some in together(within(hour)):
                starts = [_steps_in(part, max(hour, since), min(hour + HOUR_MS, until)) for part in some]
                self._steps += self._evidence(some, starts, STEP_MS)
        for hour in self._final_hours(until, first_ms):
            for some in together(within(hour)):
                found = self._evidence(some, [[hour]] * len(some), HOUR_MS)
                self._hours += [one for one in found if one.counters]
        self.told_ms = until

    def _final_hours(self, until_ms: int, first_ms: int) -> Iterable[int]:
        """Starts of the hours that become final with the next piece."""
        back_ms = self._lateness_ms + HOUR_MS
        since = hour_of(first_ms) if self.told_ms is None else self.told_ms - back_ms + 1
        return range(max(hour_of(first_ms), -(-since // HOUR_MS) * HOUR_MS), until_ms - back_ms + 1, HOUR_MS)

    def _evidence(self, some: list[Part], starts: Sequence[list[int]], length_ms: int) -> Iterator[Evidence]:
        """Of each segment from each of its starts on; where nothing is any more, no counters."""
        segments, begins = numbered([np.array(one, dtype=np.int64) for one in starts])
        if not len(begins):
            return
        windows = segments, begins, begins + length_ms
        found = self._table.named(SegmentRows([part.sums for part in some], *windows).sums(*windows))
        for segment, start, counters in zip(segments.tolist(), begins.tolist(), found, strict=True):
            yield Evidence(some[segment].segment, start, self._told_of(counters))

    def _told_of(self, counters: Counters) -> Counters:
        told = {name: count for name, count in counters.items() if name in self._told_names}
        if events := sum(told.get(name, 0) for name in self._counted):
            told[EVENTS] = events  # by which it is known that something comes in
        return told


def _steps_in(part: Part, since_ms: int, until_ms: int) -> list[int]:
    """Starts of the steps in [since, until) in which there is a bucket."""
    buckets = part.sums.buckets
    within = buckets[(buckets >= since_ms) & (buckets < until_ms)]
    starts: list[int] = np.unique(within - within % STEP_MS).tolist()
    return starts
