"""The signals of persons in rolling windows: what became of abandonments, for as long as that can change.

Who buys, cancels or turns out to be another one changes windows of up to two weeks ago. Their counts are kept for
so long, packed by hour, and the rows of what has changed are put out again. They are complete when touchpoint
partitions and partitions of ``cx.facts`` have all passed their end.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pipeline.core.cuts import PERSONS, Cut, Head, Shards
from pipeline.core.hours import HOUR_MS, Hours, hour_of
from pipeline.core.sources import Sources, later
from pipeline.core.windows.evidence_emitter import Told
from pipeline.core.windows.formulas import person_formulas
from pipeline.core.windows.person_evidence import PersonTeller
from pipeline.core.windows.person_hours import Layout, PersonHour
from pipeline.core.windows.person_parts import Joined, Part, together
from pipeline.core.windows.segment_tiles import still_pending
from pipeline.core.windows.signal_rows import signal_rows
from pipeline.core.windows.signals import SignalColumns, SignalTable
from pipeline.core.windows.window_ends import LONGEST_WINDOW_MS, Ends, Reached
from pipeline.model.event_time import NEVER_MS
from pipeline.model.evidence import step_of
from pipeline.model.facts import KEPT_MS, STEP_MS
from pipeline.model.tiles import BUCKET_MS, Counters, funnel_counters

_HOURS_AT_A_TIME: Final = 2
Before = bytes | None
"""A row as it was when rows of its windows were put out; None: it may have been otherwise."""


class PersonWindows:
    """Of the segments of one partition of ``cx.tiles``."""

    def __init__(
        self,
        funnels: Iterable[str],
        lateness_ms: int,
        first_version: int,
        sources: int,
        rules: Sequence[str] = (),
    ) -> None:
        """``sources``: how many partitions of ``cx.facts`` there are, heard of or not; 0: there are no persons.

        ``rules``: names of those about persons.
        """
        self.table: Final = SignalTable(person_formulas(funnels, rules))
        self._layout: Final = Layout(self.table)
        self._reach_ms: Final = KEPT_MS + lateness_ms + LONGEST_WINDOW_MS + STEP_MS
        self.sources: Final = Sources(first_version, sources)
        self.is_fed: Final = sources > 0
        self._touched: Final = frozenset(
            name for funnel in funnels for name in funnel_counters(funnel)[:2] if name in self._layout.places
        )
        """What is counted of touchpoints."""
        self.hours: Final = Hours(lambda stored: PersonHour(self._layout, stored))
        self.complete_ms: int | None = None
        """Rows of ends up to it have been put out as complete."""
        self.out_ms: int | None = None
        """Rows of ends up to it have been put out, complete or not."""
        self.horizon_ms = -NEVER_MS
        """What ended by then has been forgotten."""
        self.is_catching_up = False
        """Whether a run that has crashed may have put out rows that this state knows nothing of."""
        self._dirty: dict[str, dict[int, Before]] = {}
        """By segment and bucket: what has changed since rows were put out as complete."""
        self._shrunk: dict[str, dict[str, set[int]]] = {}
        """By segment and signal: buckets in which its denominator fell, until their windows are complete."""
        self._numbers: dict[str, int] = {}
        """Of the sources."""
        self.teller: Final = PersonTeller(self.table, lateness_ms, rules)
        self.refused = 0
        """Tiles of what has been forgotten."""

    def merge(self, source: str, version: int, watermark_ms: int | None, tiles: Iterable[Any], more: bool) -> None:
        """Take what one partition of ``cx.facts`` sent."""
        if not self.sources.hear(source, version, watermark_ms, more):
            return
        number = self._numbers.setdefault(source, len(self._numbers))
        for segment, bucket_ms, counters in tiles:
            if self._is_forgotten(bucket_ms):
                self.refused += 1
                continue
            hour = self.hours.change(bucket_ms, segment)
            before = self._before(hour, bucket_ms)
            self._note(segment, bucket_ms, hour.put(bucket_ms, number, version, counters), before)

    def count(self, segment: str, bucket_ms: int, delta: Counters) -> None:
        """Take by how much a tile of touchpoints has changed what is counted of them."""
        if not self.is_fed:
            return
        ours = {name: count for name, count in delta.items() if name in self._touched}
        if ours and not self._is_forgotten(bucket_ms):
            hour = self.hours.change(bucket_ms, segment)
            before = self._before(hour, bucket_ms)
            hour.count(bucket_ms, ours)
            self._note(segment, bucket_ms, ours, before)

    def _is_forgotten(self, bucket_ms: int) -> bool:
        # Its rows would be made without what was dropped.
        return bucket_ms < self.horizon_ms + LONGEST_WINDOW_MS

    def _is_out(self, bucket_ms: int) -> bool:
        """Whether complete rows of windows that hold the bucket have been put out."""
        return self.complete_ms is not None and bucket_ms + BUCKET_MS <= self.complete_ms

    def _before(self, hour: PersonHour, bucket_ms: int) -> Before:
        return hour.row(bucket_ms) if self._is_out(bucket_ms) and not self.is_catching_up else None

    def _note(self, segment: str, bucket_ms: int, delta: Counters, before: Before) -> None:
        if not delta:
            return
        if self._is_out(bucket_ms):
            dirty = self._dirty.setdefault(segment, {})
            if bucket_ms not in dirty or before is None:
                dirty[bucket_ms] = before
        for signal in self.table.shrunk(delta):
            self._shrunk.setdefault(segment, {}).setdefault(signal, set()).add(bucket_ms)

    def has_corrections(self) -> bool:
        """Whether anything put out as complete has changed since."""
        return bool(self._dirty)

    def passed_ms(self, touchpoints_ms: int | None) -> int | None:
        """What the sources of both have passed. ``touchpoints_ms``: what those of touchpoints have."""
        facts_ms = self.sources.all_passed_ms()
        return None if touchpoints_ms is None or facts_ms is None else min(touchpoints_ms, facts_ms)

    def is_due(self, due_ms: int | None) -> bool:
        """Whether rows wait that would be put out if ends up to then were due."""
        return self.is_fed and due_ms is not None and (self.out_ms is None or due_ms > self.out_ms)

    def emit(
        self, touchpoints_ms: int | None, due_ms: int | None, is_correcting: bool
    ) -> Iterator[tuple[bool, list[str], Ends, SignalColumns]]:
        """Whether they are complete, names of segments, ends, and columns over some of them: rows of windows that
        have become complete, those due although they are not, and where ``is_correcting`` those that have changed.
        """
        if not self.is_fed:
            return
        before, out = self.complete_ms, self.out_ms
        self.complete_ms = later(before, self.passed_ms(touchpoints_ms))
        self.out_ms = later(out, later(self.complete_ms, due_ms))
        if not is_correcting and before != self.complete_ms:
            # New rows hold what was not put out again yet: they are wrong if it becomes what it was before.
            self._dirty = {segment: dict.fromkeys(some) for segment, some in self._dirty.items()}
        if is_correcting:
            for some in together(self._corrected()):
                yield from self._rows(True, some, Reached(before, None), is_correcting=True)
                self.teller.tell_changed(some)
        yield from self._new_rows(True, before, self.complete_ms)
        yield from self._new_rows(False, later(out, self.complete_ms), self.out_ms)
        self._tell_new()
        if is_correcting:
            self._forget_changes()
            self._forget_hours()

    def _new_rows(
        self, is_complete: bool, since: int | None, until: int | None
    ) -> Iterator[tuple[bool, list[str], Ends, SignalColumns]]:
        for reached in self._pieces(since, until):
            for some in together(self._new(reached)):
                yield from self._rows(is_complete, some, reached, is_correcting=False)
            self.hours.close(hour_of(reached.now_ms or 0) - HOUR_MS)

    def _tell_new(self) -> None:
        if self.complete_ms is not None:
            first = min(self.hours.segments, default=self.complete_ms)
            self.teller.tell_new(self.complete_ms, first, self._within)
            self.hours.close(hour_of(self.complete_ms) - HOUR_MS)

    def is_behind(self) -> bool:
        """Whether there is more to tell."""
        complete = self.complete_ms
        return complete is not None and self.teller.told_ms != step_of(complete)

    def take_told(self) -> Told:
        """The evidence that the emissions since the last call have given."""
        return self.teller.take()

    def _within(self, hour_ms: int) -> Iterator[Part]:
        """Of all segments what is of one hour."""
        for segment in sorted(self.hours.segments.get(hour_ms, ())):
            yield self._part(segment, [hour_ms], set())

    def pass_over(self, touchpoints_ms: int | None) -> None:
        """Do as an emission does, without computing any row."""
        self.complete_ms = self.out_ms = later(self.complete_ms, self.passed_ms(touchpoints_ms))
        self._forget_changes()
        self._forget_hours()

    def _forget_hours(self) -> None:
        """Drop what nothing can change any more. To be called when what has changed has been put out."""
        if self.complete_ms is not None and not self.sources.is_told_again:
            self.horizon_ms = self.complete_ms - self._reach_ms
            self.hours.forget(self.horizon_ms)

    def _forget_changes(self) -> None:
        self._dirty.clear()
        kept = {segment: still_pending(some, self.complete_ms) for segment, some in self._shrunk.items()}
        self._shrunk = {segment: some for segment, some in kept.items() if some}

    def _rows(
        self, is_complete: bool, some: list[Part], reached: Reached, *, is_correcting: bool
    ) -> Iterator[tuple[bool, list[str], Ends, SignalColumns]]:
        names = [part.segment for part in some]
        for ends, columns in signal_rows(self.table, some, reached, is_correcting):
            yield is_complete, names, ends, columns

    def _pieces(self, since_ms: int | None, until_ms: int | None) -> Iterator[Reached]:
        """From what was put out to what is to be, some hours at a time."""
        if until_ms is None or not self.hours.segments:
            return
        first = min(self.hours.segments)
        since = first if since_ms is None else max(since_ms, min(first, until_ms))
        while since < until_ms:
            until = min(until_ms, hour_of(since) + _HOURS_AT_A_TIME * HOUR_MS)
            yield Reached(since, until)
            since = until

    def _new(self, reached: Reached) -> Iterator[Part]:
        """Segments with anything in the windows that end in this time."""
        since, until = reached
        assert since is not None
        assert until is not None
        hours = list(range(hour_of(since - LONGEST_WINDOW_MS), until, HOUR_MS))
        found: dict[str, None] = {}
        for hour in hours:
            found.update(dict.fromkeys(sorted(self.hours.segments.get(hour, ()))))
        for segment in found:
            yield self._part(segment, hours, set())

    def _corrected(self) -> Iterator[Part]:
        """What has changed of each segment, by stretches of hours."""
        for segment in list(self._dirty):
            dirty = sorted(
                bucket for bucket, before in self._dirty[segment].items() if self._differs(segment, bucket, before)
            )
            while dirty:
                first = hour_of(dirty[0])
                within = [bucket for bucket in dirty if bucket < first + HOUR_MS]
                dirty = dirty[len(within) :]
                hours = [first - HOUR_MS, first, first + HOUR_MS]
                yield self._part(segment, hours, set(within))

    def _differs(self, segment: str, bucket: int, before: Before) -> bool:
        """Facts move between persons, so that of two sources one counts more and another less."""
        hour = self.hours.get(hour_of(bucket), segment)
        return before is None or hour is None or hour.row(bucket) != before

    def _part(self, segment: str, hours: Iterable[int], dirty: set[int]) -> Part:
        found = [hour for at in hours if (hour := self.hours.get(at, segment)) is not None]
        return Part(segment, Joined(found), dirty, self._shrunk.get(segment, {}))

    def snapshot(self, cut: Cut) -> dict[str, Any]:
        """Put what has changed since the last one into a cut; gives the head.

        To be made when all that is merged has been put out.
        """
        self.hours.snapshot(cut, PERSONS)
        return {
            **self.sources.head(),
            "numbers": self._numbers,
            "complete_ms": self.complete_ms,
            "out_ms": self.out_ms,
            "horizon_ms": self.horizon_ms,
            "told_ms": self.teller.told_ms,
            "shrunk": {
                segment: {signal: sorted(some) for signal, some in by.items()}
                for segment, by in self._shrunk.items()
            },
        }

    def restore(self, head: Head, shards: Shards) -> None:
        """Raises ValueError where they are broken."""
        found = head["persons"]
        self.sources.restore(found)
        self._numbers = dict(found["numbers"])
        self.complete_ms, self.out_ms = found["complete_ms"], found["out_ms"]
        self._shrunk = {
            segment: {signal: set(some) for signal, some in by.items()} for segment, by in found["shrunk"].items()
        }
        self.horizon_ms, self.teller.told_ms = found["horizon_ms"], found["told_ms"]
        self.hours.restore(shards, PERSONS)
