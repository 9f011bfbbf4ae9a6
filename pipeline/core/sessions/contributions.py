"""What events and journeys add to the tiles of their segments.

Each contribution is the dimensions and the bucket it belongs to, and its counters. A journey's depends on
its opening event and its end alone: taken back and given anew it leaves no trace, whatever the order.
"""

from typing import Final

from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.walk import COMPLETED, EMPTIED, TIMEOUT, Journey
from pipeline.model.ages import AgeCounters
from pipeline.model.dimensions import Dims
from pipeline.model.funnels import Funnels
from pipeline.model.tiles import STEP_COUNTERS, Counters, bucket_of, funnel_counters

Place = tuple[Dims, int]
"""Dimensions, and the start of the bucket in ms."""
Contribution = tuple[Place, Counters]


class JourneyCounters:
    """Of journeys: where they were opened, where and at what age they ended."""

    def __init__(self, funnels: Funnels) -> None:
        self._names: Final = {f.name: funnel_counters(f.name) for f in funnels.all}
        self._ages: Final = {f.name: AgeCounters.of(f.name, f.timeout_ms) for f in funnels.all}

    def opened(self, funnel: str, opened_by: Entry) -> Contribution:
        return (opened_by.dims, bucket_of(opened_by.at_ms)), {self._ages[funnel].opened: 1}

    def ended(self, journey: Journey) -> list[Contribution]:
        found: list[Contribution] = []
        if journey.outcome == EMPTIED:  # nobody was lost, and what it would leave at its age is behind the timeout
            return found
        dims, entered_ms = journey.opened_by.dims, journey.opened_by.at_ms
        completed, abandoned, value, value_sq = self._names[journey.funnel]
        if journey.outcome == COMPLETED:
            counters = {completed: 1}
        else:
            amount = journey.value
            counters = {abandoned: 1, value: amount, value_sq: amount * amount}
        if journey.reason != TIMEOUT:
            ages = self._ages[journey.funnel]
            age_ms = journey.ended_ms - entered_ms
            at = ages.bin_of(age_ms)
            if at is not None:
                counters[ages.completed[at] if journey.outcome == COMPLETED else ages.abandoned[at]] = 1
                counters[ages.lived[at]] = age_ms - ages.edges_ms[at]
                found.append(((dims, bucket_of(entered_ms)), {ages.left[at]: 1}))
        found.append(((dims, bucket_of(journey.ended_ms)), counters))
        return found


def step_counter(kind: str, step: str) -> str:
    """The counter of an event of a type in ``STEP_COUNTERS`` at a step."""
    return STEP_COUNTERS[kind] + step
