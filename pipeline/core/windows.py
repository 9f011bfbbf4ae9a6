"""Phase two: the tiles of all sources merged per segment into rolling windows.

A source is one touchpoint partition (``topic:partition``). A tile replaces the one held for the same
segment, bucket and source if its version is higher; a window is the sum of its buckets. Which rows
exist follows DESIGN.md, section 2.3: every window end that covers data, up to the first boundary
after the newest watermark of the sources.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.age_rows import Reached, age_rows
from pipeline.core.ages import age_counters
from pipeline.core.buckets import Ints
from pipeline.core.cuts import MINUTE_MS
from pipeline.core.detection.measures import Measures
from pipeline.core.evidence import Evidence, hour_start, step_of
from pipeline.core.exposure import AgeLayout
from pipeline.core.funnels import Funnels
from pipeline.core.records import GENERATION_SHIFT
from pipeline.core.segment_tiles import SegmentTiles
from pipeline.core.signal_rows import signal_rows
from pipeline.core.signals import SignalColumns, SignalTable
from pipeline.core.telling import Teller, Told
from pipeline.core.tiles import BUCKET_MS, Counters
from pipeline.core.usual import Usual, hours_to_look_up
from pipeline.core.window_ends import LONGEST_WINDOW_MS, WINDOWS, Ends

APART_MS: Final = 600_000
"""Sources further apart than this are still catching up."""
SEGMENTS_AT_A_TIME: Final = 32
"""Whose rows are computed together: what a call of numpy costs is shared, and others still get their turn."""
BUCKETS_AT_A_TIME: Final = 16_384
"""At most, of several segments: each may have a hundred rows to be computed of each signal."""
Names = NDArray[np.object_]
_WINDOW_NAMES: Final[Names] = np.array([window.name for window in WINDOWS], dtype=object)


@dataclass(frozen=True, slots=True)
class SignalRows:
    """Rows of one signal, of several segments and windows: parallel columns, ends in ms since the epoch."""

    version: int
    segments: list[str]
    windows: list[str]
    ends_ms: Ints
    columns: SignalColumns


class Forgotten:
    """Stretches of event time in which buckets were dropped, further apart than ``reach_ms``."""

    def __init__(self, reach_ms: int, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self.reach_ms = reach_ms
        self.stretches: list[tuple[int, int]] = list(stretches)

    def add(self, buckets: list[int]) -> None:
        stretches = sorted([*self.stretches, *((bucket, bucket) for bucket in buckets)])
        self.stretches = stretches[:1]
        for first, last in stretches[1:]:
            if first - self.stretches[-1][1] <= self.reach_ms:
                first_before, last_before = self.stretches[-1]
                self.stretches[-1] = (first_before, max(last, last_before))
            else:
                self.stretches.append((first, last))

    def touches(self, bucket_ms: int) -> bool:
        """Whether a row can depend on both this bucket and a dropped one."""
        # They are in order and further apart than the reach: only the two around it can.
        at = bisect_right(self.stretches, (bucket_ms, bucket_ms))
        reach = self.reach_ms
        near = self.stretches[max(0, at - 1) : at + 1]
        return any(first - reach < bucket_ms < last + reach for first, last in near)


class Windows:
    """State of phase two for the segments of one partition of ``cx.tiles``."""

    def __init__(
        self,
        funnels: Funnels,
        lateness_ms: int,
        generation: int = 0,
        sources: int = 0,
    ) -> None:
        """``sources``: how many there are, heard of or not."""
        self._table = SignalTable(funnel.name for funnel in funnels.all)
        ages = age_counters((funnel.name, funnel.timeout_ms) for funnel in funnels.all)
        self._layout = AgeLayout(ages)
        self.reach_ms = LONGEST_WINDOW_MS + funnels.longest_timeout_ms
        """How far back from its end a row can look: who is at risk may have entered before the window."""
        self._lateness_ms = lateness_ms
        self.first_version = generation << GENERATION_SHIFT
        self._sources = sources
        self._mid_batch: set[str] = set()
        """Sources of which a part of a batch has come, and not all of it."""
        self.versions: dict[str, int] = {}
        """By source: the highest version received."""
        self.watermarks: dict[str, int] = {}
        """By source, ms."""
        self.empty: dict[str, int | None] = {}
        """By source of which nothing has come yet: how far the others were when it was last said to be empty."""
        self.segments: dict[str, SegmentTiles] = {}
        self.refused = 0
        """Tiles of a source first heard of when what they belong to had been dropped."""
        self.forgotten = Forgotten(self.reach_ms)
        self.newest_ms: int | None = None
        """The newest watermark at the last emission."""
        self.teller = Teller(self._layout, lateness_ms)
        self._told: list[Told] = []
        self.usual = Usual(Measures(ages), lateness_ms)
        self.usual_ms: int | None = None
        """Completion ratios are written of windows that end by then."""
        self.changed_minutes: set[int] = set()
        """Minutes of event time whose tiles have changed since the last cut, by their start."""
        self.in_minute: dict[int, set[str]] = {}
        """By minute, the segments with tiles in it; those forgotten are taken out by the next cut."""

    def merge(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        tiles: Iterable[tuple[str, int, Counters]],
        more: bool = False,
    ) -> None:
        """Take what one source sent after one batch: its watermark and its changed tiles.

        ``more``: it is a part of that, and others follow.
        What is left in the topic from an earlier generation is passed over: that log is told anew.
        """
        if version < self.first_version:
            return
        self.versions[source] = max(version, self.versions.get(source, version))
        (self._mid_batch.add if more else self._mid_batch.discard)(source)
        passed_ms = max(self.watermarks.values(), default=None)
        if watermark_ms is not None:
            self.watermarks[source] = watermark_ms
            self.empty.pop(source, None)
        elif not more and source not in self.watermarks:
            self.empty[source] = min(self.watermarks.values(), default=None)
        for segment, bucket_ms, counters in tiles:
            if self.forgotten.touches(bucket_ms):
                # Merged with nothing it would replace the rows of the whole (law 5).
                self.refused += 1
                continue
            self.held(segment).put(bucket_ms, source, version, counters, passed_ms)
            minute = bucket_ms - bucket_ms % MINUTE_MS
            self.changed_minutes.add(minute)
            self.in_minute.setdefault(minute, set()).add(segment)

    def smallest_ms(self) -> int | None:
        """What all sources have passed, ms; None while one that may be about to begin has passed nothing.

        An empty source is taken to have passed what the others had when it was last said to be empty. What has
        come to it since may be as old as anything.
        """
        if not self.watermarks or None in self.empty.values():
            return None
        return min([*self.watermarks.values(), *(at_ms for at_ms in self.empty.values() if at_ms is not None)])

    @property
    def is_mid_batch(self) -> bool:
        """Whether nothing may be put out, for a part of a batch is missing yet."""
        return bool(self._mid_batch)

    @property
    def version(self) -> int:
        """Of a row as it is now: the generation, and the sum over all sources of how far each was read."""
        first = self.first_version
        return first + sum([version - first for version in self.versions.values()])

    def held(self, segment: str) -> SegmentTiles:
        """What is held of a segment, new where there is nothing yet."""
        found = self.segments.get(segment)
        if found is None:
            found = self.segments[segment] = SegmentTiles(self._table, self._layout)
        return found

    def emit(self) -> Iterator[SignalRows]:
        """Every row that is new or has changed since the last call."""
        if not self.watermarks:
            return
        newest = max(self.watermarks.values())
        before = self.newest_ms
        self.newest_ms = newest if before is None else max(before, newest)
        self._told.append(self.teller.tell(self.segments, self.complete_ms()))
        usual_before = self.usual_ms
        self._learn(self._told[-1].hours)
        reached = Reached(before, self.newest_ms), Reached(usual_before, self.usual_ms)
        due = [
            (name, held)
            for name, held in self.segments.items()
            if held.has_changed() or self._may_gain_rows(held, reached)
        ]
        for some in self._together(due, reached):
            yield from self._rows(some, before)
            yield from self._age_rows(some, reached)
            for held in some.values():
                held.forget_changes()

    def _together(
        self, due: list[tuple[str, SegmentTiles]], reached: tuple[Reached, Reached]
    ) -> Iterator[dict[str, SegmentTiles]]:
        """Segments whose rows are computed together: not too many, and fewer where history has come in."""
        some: dict[str, SegmentTiles] = {}
        buckets = 0
        for name, held in due:
            new = max(_count_since(held, each) for each in reached)
            if some and (len(some) == SEGMENTS_AT_A_TIME or buckets + new > BUCKETS_AT_A_TIME):
                yield some
                some, buckets = {}, 0
            some[name] = held
            buckets += new
        if some:
            yield some

    def is_apart(self) -> bool:
        """Whether the sources are further apart than they are when all are read to their ends."""
        smallest = self.smallest_ms()
        return smallest is None or max(self.watermarks.values()) - smallest > APART_MS

    def pass_over(self) -> None:
        """Do as an emission does, without computing any row."""
        self._told.append(self.teller.tell(self.segments, self.complete_ms()))
        for held in self.segments.values():
            held.forget_changes()

    def take_told(self) -> Told:
        """The evidence that the emissions since the last call have given."""
        told, self._told = self._told, []
        steps = [one for each in told for one in each.steps]
        return Told(self.teller.told_ms, steps, [one for each in told for one in each.hours])

    def _learn(self, hours: list[Evidence]) -> None:
        """Bring what is usual as far as the smallest watermark, or as far as has been told."""
        told, before, smallest = self.teller.told_ms, self.usual_ms, self.smallest_ms()
        if told is None or smallest is None:
            return
        until = smallest if told >= step_of(smallest) else told
        self.usual.take(hours)
        self.usual_ms = until if before is None else max(before, until)
        if before is None or hour_start(before) != hour_start(self.usual_ms):
            buckets = (held.buckets for held in self.segments.values())
            after = None if before is None else hour_start(before)
            self.usual.look_up(hours_to_look_up(buckets, after, self.usual_ms, self._lateness_ms))

    def complete_ms(self) -> int | None:
        """The end of the last step that all sources have passed; never earlier than it was."""
        told, smallest = self.teller.told_ms, self.smallest_ms()
        if len(self.versions) < self._sources or smallest is None:
            return told
        reached = step_of(smallest)
        return reached if told is None else max(reached, told)

    def is_behind(self) -> bool:
        """Whether there is more to tell."""
        return self.teller.told_ms != self.complete_ms()

    def _may_gain_rows(self, held: SegmentTiles, reached: tuple[Reached, Reached]) -> bool:
        last = int(held.buckets[-1])
        return any(
            now is not None and before != now and (before is None or last > before - LONGEST_WINDOW_MS - BUCKET_MS)
            for before, now in reached
        )

    def _rows(self, some: Mapping[str, SegmentTiles], before_ms: int | None) -> Iterator[SignalRows]:
        assert self.newest_ms is not None
        names = np.array(list(some), dtype=object)
        for ends, columns in signal_rows(self._table, list(some.values()), before_ms, self.newest_ms):
            yield self._named(names, ends, columns)

    def _age_rows(
        self, some: Mapping[str, SegmentTiles], reached: tuple[Reached, Reached]
    ) -> Iterator[SignalRows]:
        for funnel, counters in self._layout.ages.items():
            names = [name for name, held in some.items() if funnel in held.ages]
            if not names:
                continue
            ages = [some[name].ages[funnel] for name in names]
            hazards = partial(self.usual.hazards, names, funnel)
            for ends, columns in age_rows(funnel, counters, ages, *reached, hazards):
                yield self._named(np.array(names, dtype=object), ends, columns)

    def _named(self, names: Names, ends: Ends, columns: SignalColumns) -> SignalRows:
        at = columns.rows
        segments, windows = names[ends.segments[at]].tolist(), _WINDOW_NAMES[ends.windows[at]].tolist()
        return SignalRows(self.version, segments, windows, ends.ends_ms[at], columns)

    def horizon_ms(self) -> int | None:
        """Buckets that end before it can be forgotten: no source heard of can change their windows."""
        done = self.smallest_ms()
        if done is None or len(self.versions) < self._sources:
            return None  # what is not heard of yet holds everything back
        if self.teller.told_ms is not None:
            done = min(done, self.teller.told_ms)
        return done - self._lateness_ms - self.reach_ms

    def forget(self, horizon_ms: int) -> None:
        """Drop the buckets that end at or before the horizon."""
        dropped: set[int] = set()
        self.usual.forget(horizon_ms)
        for name in [n for n, h in self.segments.items() if h.buckets[0] + BUCKET_MS <= horizon_ms]:
            held = self.segments[name]
            dropped.update(held.forget(horizon_ms))
            if not len(held.buckets):
                del self.segments[name]
        if dropped:
            self.forgotten.add(sorted(dropped))
            self.changed_minutes.update(bucket - bucket % MINUTE_MS for bucket in dropped)


def _count_since(held: SegmentTiles, reached: Reached) -> int:
    """Buckets that have changed, or from which rows may follow that have become due."""
    if reached.before_ms is None:
        return len(held.buckets)
    since = int(np.searchsorted(held.buckets, reached.before_ms - LONGEST_WINDOW_MS))
    return len(held.dirty) + len(held.buckets) - since
