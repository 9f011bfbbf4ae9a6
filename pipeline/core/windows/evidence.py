"""Evidence: what phase two tells detection of each segment in each step of event time.

A step is told when all sources have passed it, and again when it has changed. Its counters are those of the
tiles, and the time at risk by age, which only the tiles of all sources together can tell.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.statistics import Ints
from pipeline.core.windows.exposure import AgeLayout, life_tables, look_back_ms
from pipeline.core.windows.segment_rows import SegmentRows, numbered
from pipeline.core.windows.segment_tiles import SegmentTiles
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence, step_of
from pipeline.model.tiles import BUCKET_MS, Counters

_SEGMENTS_AT_A_TIME: Final = 64


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


class Asked(NamedTuple):
    """What is to be told of one segment."""

    segment: str
    held: SegmentTiles
    starts: list[int]
    """Of the steps, or of the hours, ascending."""


def evidence(asked: Iterable[Asked], layout: AgeLayout) -> Iterator[Evidence]:
    """Of steps; where nothing is any more, no counters."""
    for some in _together(asked):
        for (name, held, start), counted, _ in _counted(some, layout, STEP_MS):
            _add_untabled(counted, held, range(start, start + STEP_MS, BUCKET_MS), layout)
            yield Evidence(name, start, counted)


def hour_evidence(asked: Iterable[Asked], layout: AgeLayout) -> Iterator[Evidence]:
    """The same of whole hours; those in which nothing occurred are left out."""
    for some in _together(asked):
        for (name, held, start), counted, has_any in _counted(some, layout, HOUR_MS):
            if has_any:
                within = held.buckets[slice(*np.searchsorted(held.buckets, [start, start + HOUR_MS]).tolist())]
                _add_untabled(counted, held, within.tolist(), layout)
                yield Evidence(name, start, counted)


def _together(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    """Segments of which there is something to tell, so many at a time that memory stays bounded."""
    rest = [one for one in asked if one.starts]
    for first in range(0, len(rest), _SEGMENTS_AT_A_TIME):
        yield rest[first : first + _SEGMENTS_AT_A_TIME]


def _counted(
    some: list[Asked], layout: AgeLayout, length_ms: int
) -> Iterator[tuple[tuple[str, SegmentTiles, int], Counters, bool]]:
    """Of each segment and start, the counters that have columns; and whether anything occurred."""
    segments, begins = numbered([np.array(one.starts, dtype=np.int64) for one in some])
    windows = segments, begins, begins + length_ms
    found = some[0].held.table.named(SegmentRows([one.held.sums for one in some], *windows).sums(*windows))
    has_any = [bool(counted) for counted in found]
    _add_ages(found, some, layout, windows)
    places = ((one.segment, one.held, start) for one in some for start in one.starts)
    return zip(places, found, has_any, strict=True)


def _add_ages(
    into: list[Counters], some: list[Asked], layout: AgeLayout, windows: tuple[Ints, Ints, Ints]
) -> None:
    """``windows``: of each the number of its segment, its start and its end."""
    for funnel, counters in layout.ages.items():
        has = np.array([funnel in one.held.ages for one in some])
        at = np.flatnonzero(has[windows[0]])
        if not len(at):
            continue
        segments, begins, ends = (each[at] for each in windows)
        parts = [one.held.ages[funnel].rows for one in some if funnel in one.held.ages]
        groups = (np.cumsum(has) - 1)[segments]
        rows = SegmentRows(parts, groups, begins, ends, look_back_ms(counters))
        table = life_tables(rows, counters, groups, begins, ends)
        kinds = (
            (counters.at_risk, table.at_risk_ms),
            (counters.completed, table.completed),
            (counters.abandoned, table.abandoned),
            (counters.lived, table.lived_ms),
        )
        for names, counts in kinds:
            places, bins = np.nonzero(counts)
            for place, one_bin, count in zip(
                at[places].tolist(), bins.tolist(), counts[places, bins].tolist(), strict=True
            ):
                into[place][names[one_bin]] = int(count)


def _add_untabled(into: Counters, held: SegmentTiles, buckets: Iterable[int], layout: AgeLayout) -> None:
    """Openings, and events by step."""
    is_untabled = layout.is_untabled
    for _, by_source in held.tiles_in(buckets):
        for _, counters in by_source.values():
            for name, count in counters.items():
                if count and is_untabled[name]:
                    into[name] = into.get(name, 0) + count
