"""Evidence: what phase two tells detection of each segment in each step of event time.

A step is told when all sources have passed it, and again when it has changed. Its counters are those of the
tiles, and the time at risk by age, which only the tiles of all sources together can tell.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.buckets import Ints
from pipeline.core.exposure import AgeLayout, life_table
from pipeline.core.segment_tiles import SegmentTiles
from pipeline.core.tiles import BUCKET_MS, Counters, is_by_step

STEP_MS: Final = 30_000
"""How often detection looks; a multiple of the tiles' buckets."""


HOUR_MS: Final = 3_600_000
"""Of an hour that nothing can change any more, the whole is told: from it is learned what is usual."""


class Evidence(NamedTuple):
    """Counters of one segment in [start, start + STEP_MS), or in a whole hour."""

    segment: str
    start_ms: int
    counters: Counters


def step_of(at_ms: int) -> int:
    """Start of the step that holds the instant."""
    return at_ms - at_ms % STEP_MS


def hour_start(at_ms: int) -> int:
    """Start of the hour that holds the instant."""
    return at_ms - at_ms % HOUR_MS


def final_after(lateness_ms: int) -> int:
    """By when a whole hour is final: the hour that begins so long after it began, ms."""
    return (1 + -(-lateness_ms // HOUR_MS)) * HOUR_MS


def changed_steps(held: SegmentTiles, told_ms: int | None) -> list[int]:
    """Starts of the steps that were told and are not as they were."""
    if told_ms is None:
        return []
    found = {step_of(bucket) for bucket in held.dirty if bucket < told_ms}
    for ages in held.ages.values():
        for from_ms, until_ms in ages.changed.merged():
            found.update(range(step_of(from_ms), min(until_ms, told_ms), STEP_MS))
    return sorted(found)


def new_steps(held: SegmentTiles, layout: AgeLayout, first_ms: int, until_ms: int) -> list[int]:
    """Starts of the steps from ``first_ms`` on in which something may be: at risk for as long as a timeout."""
    reach = layout.longest_timeout_ms + BUCKET_MS
    buckets = held.buckets[np.searchsorted(held.buckets, first_ms - reach) :]
    if not len(buckets):
        return []
    breaks = np.flatnonzero(np.diff(buckets) > reach)
    begins = buckets[np.concatenate([[0], breaks + 1])].tolist()
    ends = buckets[np.concatenate([breaks, [-1]])].tolist()
    found: list[int] = []
    for begin, end in zip(begins, ends, strict=True):
        after = found[-1] + STEP_MS if found else first_ms
        found.extend(range(max(step_of(begin), after), min(end + reach + 1, until_ms), STEP_MS))
    return found


def final_hours(held: SegmentTiles, told_ms: int | None, until_ms: int, lateness_ms: int) -> list[int]:
    """Starts of the hours with anything in them that no event can change any more, and that were not told."""
    last = until_ms - lateness_ms - HOUR_MS
    first = told_ms - lateness_ms - HOUR_MS if told_ms is not None else None
    hours = np.unique(held.buckets - held.buckets % HOUR_MS)
    return [h for h in hours.tolist() if h <= last and (first is None or h > first)]


def evidence(segment: str, held: SegmentTiles, layout: AgeLayout, starts: list[int]) -> Iterator[Evidence]:
    """Of the steps that begin at ``starts`` (ascending); where nothing is any more, no counters."""
    if not starts:
        return
    begins = np.array(starts, dtype=np.int64)
    found = held.counters(STEP_MS, begins + STEP_MS)
    _add_ages(found, held, layout, begins, STEP_MS)
    for start, counted in zip(starts, found, strict=True):
        _add_untabled(counted, held, range(start, start + STEP_MS, BUCKET_MS), layout)
        yield Evidence(segment, start, counted)


def hour_evidence(segment: str, held: SegmentTiles, layout: AgeLayout, starts: list[int]) -> Iterator[Evidence]:
    """The same of whole hours; those in which nothing occurred are left out."""
    if not starts:
        return
    begins = np.array(starts, dtype=np.int64)
    found = held.counters(HOUR_MS, begins + HOUR_MS)
    has_any = [any(counted.values()) for counted in found]
    _add_ages(found, held, layout, begins, HOUR_MS)
    buckets = held.buckets
    for start, counted, has in zip(starts, found, has_any, strict=True):
        if has:
            within = slice(*np.searchsorted(buckets, [start, start + HOUR_MS]).tolist())
            _add_untabled(counted, held, buckets[within].tolist(), layout)
            yield Evidence(segment, start, counted)


def _add_ages(into: list[Counters], held: SegmentTiles, layout: AgeLayout, begins: Ints, length_ms: int) -> None:
    for funnel, ages in held.ages.items():
        counters = layout.ages[funnel]
        table = life_table(ages.rows, counters, begins, begins + length_ms)
        kinds = (
            (counters.at_risk, table.at_risk_ms),
            (counters.completed, table.completed),
            (counters.abandoned, table.abandoned),
            (counters.lived, table.lived_ms),
        )
        for names, counts in kinds:
            for at, place in np.argwhere(counts).tolist():
                into[at][names[place]] = int(counts[at, place])


def _add_untabled(into: Counters, held: SegmentTiles, buckets: Iterable[int], layout: AgeLayout) -> None:
    """Openings, and events by step."""
    for _, by_source in held.tiles_in(buckets):
        for _, counters in by_source.values():
            for name, count in counters.items():
                if count and (is_by_step(name) or name in layout.openings):
                    into[name] = into.get(name, 0) + count
