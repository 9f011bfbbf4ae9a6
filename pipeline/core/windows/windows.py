"""Phase two: the tiles of all sources merged per segment into rolling windows.

A source is one touchpoint partition (``topic:partition``). A tile replaces the one held for the same
segment, bucket and source if its version is higher; a window is the sum of its buckets. Which rows are put out
follows docs/signals.md: of every window end that covers data once, when its window is complete; earlier
where a source holds the others back for too long; and again where something changes what was complete.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.cuts import MINUTE_MS, Cut, Head, Shards
from pipeline.core.sources import APART_MS, Progress, Sources, later
from pipeline.core.usual.history import Usual, hours_to_look_up
from pipeline.core.usual.measures import Measures
from pipeline.core.windows import cuts
from pipeline.core.windows.age_rows import Turn, age_rows
from pipeline.core.windows.emission import Emission, SignalRows
from pipeline.core.windows.evidence_emitter import EvidenceEmitter, Told
from pipeline.core.windows.exposure import AgeLayout
from pipeline.core.windows.forgotten import Forgotten
from pipeline.core.windows.formulas import formulas
from pipeline.core.windows.person_windows import PersonWindows
from pipeline.core.windows.segment_tiles import SegmentTiles
from pipeline.core.windows.signal_rows import signal_rows
from pipeline.core.windows.signals import SignalColumns, SignalTable
from pipeline.core.windows.window_ends import LONGEST_WINDOW_MS, WINDOWS, Ends, Reached
from pipeline.model.ages import age_counters
from pipeline.model.evidence import Evidence, hour_start, step_of
from pipeline.model.funnels import Funnels
from pipeline.model.rules import GENERATION_SHIFT
from pipeline.model.tiles import BUCKET_MS, Counters
from schemas.facts import FACTS_TOPIC

SEGMENTS_AT_A_TIME: Final = 32
"""Whose rows are computed together: what a call of numpy costs is shared, and others still get their turn."""
BUCKETS_AT_A_TIME: Final = 16_384
"""At most, of several segments: each may have a hundred rows to be computed of each signal."""
Names = NDArray[np.object_]
_NOTHING: Final = Reached(None, None)
_WINDOW_NAMES: Final[Names] = np.array([window.name for window in WINDOWS], dtype=object)


class Windows:
    """State of phase two for the segments of one partition of ``cx.tiles``."""

    def __init__(
        self,
        funnels: Funnels,
        lateness_ms: int,
        generation: int = 0,
        sources: int = 0,
        persons: int = 0,
        rules: Sequence[str] = (),
    ) -> None:
        """``sources``: how many there are, heard of or not. ``persons``: how many partitions tell of persons.

        ``rules``: names of those about persons.
        """
        names = [funnel.name for funnel in funnels.all]
        self._table = SignalTable(formulas(names))
        ages = age_counters((funnel.name, funnel.timeout_ms) for funnel in funnels.all)
        self._layout = AgeLayout(ages)
        self.reach_ms = LONGEST_WINDOW_MS + funnels.longest_timeout_ms
        """How far back from its end a row can look: who is at risk may have entered before the window."""
        self._lateness_ms = lateness_ms
        self.sources: Final = Sources(generation << GENERATION_SHIFT, sources)
        self.persons: Final = PersonWindows(names, lateness_ms, self.sources.first_version, persons, rules)
        self.segments: dict[str, SegmentTiles] = {}
        self.refused = 0
        """Tiles of a source first heard of when what they belong to had been dropped."""
        self.forgotten = Forgotten(self.reach_ms)
        self.complete_ms: int | None = None
        """Rows of ends up to it have been put out as complete."""
        self.out_ms: int | None = None
        """Rows of ends up to it have been put out, complete or not."""
        self.unsure_ms: int | None = None
        """Rows of ends up to it may have been put out by a run that has crashed since."""
        self._is_catching_up = False
        self.teller = EvidenceEmitter(self._layout, lateness_ms)
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
        if source.startswith(FACTS_TOPIC):
            self.persons.merge(source, version, watermark_ms, tiles, more)
            return
        if not self.sources.hear(source, version, watermark_ms, more):
            return
        for segment, bucket_ms, counters in tiles:
            if self.forgotten.touches(bucket_ms):
                # Merged with nothing it would replace the rows of the whole (law 5).
                self.refused += 1
                continue
            delta = self.held(segment).put(bucket_ms, source, version, counters, self.complete_ms)
            if delta:
                self.persons.count(segment, bucket_ms, delta)
            minute = bucket_ms - bucket_ms % MINUTE_MS
            self.changed_minutes.add(minute)
            self.in_minute.setdefault(minute, set()).add(segment)

    def held(self, segment: str) -> SegmentTiles:
        """What is held of a segment, new where there is nothing yet."""
        found = self.segments.get(segment)
        if found is None:
            found = self.segments[segment] = SegmentTiles(self._table, self._layout)
        return found

    def begin_catching_up(self) -> None:
        """A run that has crashed may have gone further than this state does, and have put out what that gave."""
        self._is_catching_up = self.persons.is_catching_up = True

    def end_catching_up(self) -> None:
        """All that such a run can have taken has been taken."""
        if self._is_catching_up:
            self._is_catching_up = self.persons.is_catching_up = False
            self.unsure_ms = later(self.unsure_ms, self.sources.newest_ms)

    def emit(
        self, due_ms: int | None = None, is_correcting: bool = True, persons_due_ms: int | None = None
    ) -> Iterator[SignalRows]:
        """Rows of windows that have become complete since the last call, and of those due although they are not.

        ``due_ms``: ends up to it have waited long enough; ``persons_due_ms``: those of the signals of persons.
        ``is_correcting``: also the rows put out as complete
        that something has changed since.
        """
        if not self.sources.watermarks:
            return
        yield from self._own_rows(due_ms, is_correcting)
        told = self.persons.emit(self.sources.all_passed_ms(), persons_due_ms, is_correcting)
        for is_complete, names, ends, columns in told:
            yield self._named(np.array(names, dtype=object), ends, columns, is_complete, self.persons_version)

    def _own_rows(self, due_ms: int | None, is_correcting: bool) -> Iterator[SignalRows]:
        usual_before = self.usual_ms
        self._told.append(self.teller.tell(self.segments, self.tellable_ms(), is_correcting))
        self._learn(self._told[-1].hours)
        emission = self._begin(due_ms, Reached(usual_before, self.usual_ms), is_correcting)
        due = [
            (name, held)
            for name, held in self.segments.items()
            if (is_correcting and held.has_changed()) or self._may_gain_rows(held, emission)
        ]
        for some in self._together(due, emission):
            for is_complete in (True, False):
                yield from self._rows(some, emission, is_complete)
                yield from self._age_rows(some, emission, is_complete)
            if is_correcting:
                for held in some.values():
                    held.forget_changes(self.complete_ms)

    def _begin(self, due_ms: int | None, usual: Reached, is_correcting: bool) -> Emission:
        """Note how far rows are put out by this emission."""
        before, out_before = self.complete_ms, self.out_ms
        told = later(out_before, self.sources.newest_ms if self._is_catching_up else self.unsure_ms)
        self.complete_ms = later(before, self.sources.all_passed_ms())
        self.out_ms = later(out_before, later(self.complete_ms, due_ms))
        due = Reached(later(out_before, self.complete_ms), self.out_ms)
        return Emission(Reached(before, self.complete_ms), due, usual, is_correcting, told)

    @property
    def is_mid_batch(self) -> bool:
        """Whether rows are to wait for the rest: equal versions must mean equal content.

        A part of what a source sent is missing; or one that has crashed tells again, unless more than minutes of
        event time would wait for it, for what is kept to make rows of has an end.
        """
        if self.sources.is_mid_batch or self.persons.sources.is_mid_batch:
            return True
        newest_ms = self.sources.newest_ms
        if not self.is_told_again or newest_ms is None or self.complete_ms is None:
            return False
        return newest_ms - self.complete_ms <= APART_MS

    @property
    def is_told_again(self) -> bool:
        """Whether the content need not be what the versions say (:class:`pipeline.core.sources.Sources`)."""
        return self.sources.is_told_again or self.persons.sources.is_told_again

    def is_due(self, due_ms: int | None, persons_due_ms: int | None = None) -> bool:
        """Whether rows wait that would be put out if ends up to then were due."""
        is_due = due_ms is not None and (self.out_ms is None or due_ms > self.out_ms)
        return is_due or self.persons.is_due(persons_due_ms)

    def has_corrections(self) -> bool:
        """Whether anything put out as complete has changed since."""
        return self.persons.has_corrections() or self._has_changed()

    def _has_changed(self) -> bool:
        return any(held.has_changed() for held in self.segments.values())

    def _together(
        self, due: list[tuple[str, SegmentTiles]], emission: Emission
    ) -> Iterator[dict[str, SegmentTiles]]:
        """Segments whose rows are computed together: not too many, and fewer where history has come in."""
        some: dict[str, SegmentTiles] = {}
        buckets = 0
        for name, held in due:
            new = max(_count_since(held, each) for each in emission.reached)
            if some and (len(some) == SEGMENTS_AT_A_TIME or buckets + new > BUCKETS_AT_A_TIME):
                yield some
                some, buckets = {}, 0
            some[name] = held
            buckets += new
        if some:
            yield some

    def persons_progress(self) -> Progress:
        """Of the signals of persons: they wait for what is told of persons too."""
        touchpoints = self.sources.progress()
        if not self.persons.is_fed:
            return Progress(None, None, is_apart=False)
        passed = self.persons.passed_ms(touchpoints.passed_ms)
        newest = touchpoints.newest_ms
        is_apart = newest is None or passed is None or newest - passed > APART_MS
        return Progress(newest, passed, is_apart)

    def pass_over(self) -> None:
        """Do as an emission does, without computing any row."""
        self._told.append(self.teller.tell(self.segments, self.tellable_ms()))
        self.complete_ms = self.out_ms = later(self.complete_ms, self.sources.all_passed_ms())
        self.persons.pass_over(self.sources.all_passed_ms())
        for held in self.segments.values():
            held.forget_changes(self.complete_ms)

    def take_told(self) -> Told:
        """The evidence that the emissions since the last call have given."""
        told, self._told = self._told, []
        steps = [one for each in told for one in each.steps]
        return Told(self.teller.told_ms, steps, [one for each in told for one in each.hours])

    def take_persons_told(self) -> Told:
        """The same of persons."""
        return self.persons.take_told()

    @property
    def persons_version(self) -> int:
        """Of what is put out of persons."""
        return self.sources.version + self.persons.sources.version - self.persons.sources.first_version

    def _learn(self, hours: list[Evidence]) -> None:
        """Bring what is usual as far as the smallest watermark, or as far as has been told."""
        told, before, smallest = self.teller.told_ms, self.usual_ms, self.sources.smallest_ms()
        if told is None or smallest is None:
            return
        until = smallest if told >= step_of(smallest) else told
        self.usual.take(hours)
        self.usual_ms = until if before is None else max(before, until)
        if before is None or hour_start(before) != hour_start(self.usual_ms):
            buckets = (held.buckets for held in self.segments.values())
            after = None if before is None else hour_start(before)
            self.usual.look_up(hours_to_look_up(buckets, after, self.usual_ms, self._lateness_ms))

    def tellable_ms(self) -> int | None:
        """The end of the last step that all sources have passed; never earlier than it was."""
        passed, told = self.sources.all_passed_ms(), self.teller.told_ms
        return told if passed is None else later(told, step_of(passed))

    def is_behind(self) -> bool:
        """Whether there is more to tell."""
        return self.teller.told_ms != self.tellable_ms() or self.persons.is_behind()

    def _may_gain_rows(self, held: SegmentTiles, emission: Emission) -> bool:
        last = int(held.buckets[-1])
        return any(
            now is not None and before != now and (before is None or last > before - LONGEST_WINDOW_MS - BUCKET_MS)
            for before, now in emission.reached
        )

    def _rows(
        self, some: Mapping[str, SegmentTiles], emission: Emission, is_complete: bool
    ) -> Iterator[SignalRows]:
        names = np.array(list(some), dtype=object)
        reached = emission.complete if is_complete else emission.due
        is_correcting = is_complete and emission.is_correcting
        for ends, columns in signal_rows(self._table, list(some.values()), reached, is_correcting):
            yield self._named(names, ends, columns, is_complete, self.sources.version)

    def _age_rows(
        self, some: Mapping[str, SegmentTiles], emission: Emission, is_complete: bool
    ) -> Iterator[SignalRows]:
        is_correcting = is_complete and emission.is_correcting
        nowcasts = Turn(emission.complete if is_complete else emission.due, is_correcting, emission.told_ms)
        usual = emission.usual if is_complete else _NOTHING
        ratios = Turn(usual, is_correcting, emission.told_ms)
        for funnel, counters in self._layout.ages.items():
            names = [name for name, held in some.items() if funnel in held.ages]
            if not names:
                continue
            ages = [some[name].ages[funnel] for name in names]
            hazards = partial(self.usual.hazards, names, funnel)
            for ends, columns in age_rows(funnel, counters, ages, nowcasts, ratios, hazards):
                yield self._named(np.array(names, dtype=object), ends, columns, is_complete, self.sources.version)

    def _named(
        self, names: Names, ends: Ends, columns: SignalColumns, is_complete: bool, version: int
    ) -> SignalRows:
        at = columns.rows
        segments, windows = names[ends.segments[at]].tolist(), _WINDOW_NAMES[ends.windows[at]].tolist()
        return SignalRows(version, is_complete, segments, windows, ends.ends_ms[at], columns)

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made when all that is merged has been put out."""
        return cuts.snapshot(self)

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        cuts.restore(self, head, shards)

    def horizon_ms(self) -> int | None:
        """Buckets that end before it can be forgotten: no source heard of can change their windows."""
        done = self.sources.all_passed_ms()
        if done is None or self._has_changed() or self.sources.is_told_again:
            # What is not heard of yet holds everything back; so does what is still to be put out, or corrected.
            return None
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
