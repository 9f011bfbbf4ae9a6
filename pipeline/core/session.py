"""One session in one partition: the events it keeps, its open journeys and its ended ones.

The outcome is a function of the *set* of events (law 1). An event in order advances the walk; one
out of order is put in its place, and the walk is made again from the oldest kept event, once per
batch. What lies before the allowed lateness can no longer change and is folded into ``base``.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.core.funnels import (
    Dims,
    Entry,
    Funnels,
    Journey,
    JourneyKey,
    Walk,
    journey_key,
    timed_out,
)
from pipeline.core.tiles import bucket_of


class Session:
    """Mutable state of one session; ``Partition`` decides when to do what."""

    __slots__ = ("base", "ended", "last_ms", "late_from", "log", "session_id", "shard", "timer_ms", "walk")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.base = Walk()
        """The walk up to the first kept event."""
        self.log: list[Entry] = []
        """Kept events, in order."""
        self.walk = Walk()
        """The walk over base and log; stale while ``late_from`` is set."""
        self.ended: dict[JourneyKey, Journey] = {}
        """Journeys that ended within the log, or by timeout as the watermark has it."""
        self.late_from: Entry | None = None
        """The earliest event of this batch that came after something later was (or could be) seen."""
        self.last_ms = -1
        """Time of the latest event; -1 before the first."""
        self.timer_ms: int | None = None
        """When the partition looks at this session's timeouts next."""
        self.shard = -1
        """Where it is stored at a checkpoint."""

    @classmethod
    def restored(
        cls, session_id: str, base: Walk, log: list[Entry], watermark_ms: int, funnels: Funnels
    ) -> "Session":
        """A session as it was at the end of a batch: all else follows from what it keeps."""
        session = cls(session_id)
        session.base, session.log = base, log
        session.last_ms = log[-1].at_ms if log else base.last_ms
        session.rewalk(funnels)
        session.time_out(watermark_ms)
        return session

    def takes_in_order(self, at_ms: int, watermark_ms: int) -> bool:
        """Whether an event at this time is the session's next, and none that could revive a journey.

        One that continues a journey whose timeout the watermark has passed comes as good as late: the
        journey may have been published as timed out.
        """
        return at_ms > self.last_ms and self.walk.last_ms + self.walk.shortest_ms >= watermark_ms

    def append(self, entry: Entry, funnels: Funnels) -> Sequence[Journey]:
        """Take an event in order; gives the journeys that it ended."""
        self.log.append(entry)
        self.last_ms = entry.at_ms
        if self.late_from is not None:
            return ()
        walk = self.walk
        if not walk.open and entry.type not in funnels.opened_by_type:
            walk.last_ms = entry.at_ms
            return ()
        ended: list[Journey] = []
        walk.advance(entry, funnels, ended)
        for journey in ended:
            self.ended[journey.key] = journey
        return ended

    def insert(self, entry: Entry) -> bool:
        """Put an event in its place, to be walked later; False where it is there already."""
        index = bisect_left(self.log, (entry.at_ms, entry.event_id))
        if index < len(self.log):
            there = self.log[index]
            if there.at_ms == entry.at_ms and there.event_id == entry.event_id:
                return False
        self.log.insert(index, entry)
        self.last_ms = max(self.last_ms, entry.at_ms)
        if self.late_from is None or entry[:2] < self.late_from[:2]:
            self.late_from = entry
        return True

    def rewalk(self, funnels: Funnels) -> "Rewalk":
        """Walk the kept events anew; gives what that has changed."""
        ended: list[Journey] = []
        before, opened_before = self.ended, self._openings()
        self.walk = self.base.copy()
        for entry in self.log:
            self.walk.advance(entry, funnels, ended)
        self.ended = {journey.key: journey for journey in ended}
        opened = self._openings()
        return Rewalk(
            no_longer_ended=[j for key, j in before.items() if self.ended.get(key) != j],
            ended=[j for key, j in self.ended.items() if before.get(key) != j],
            no_longer_opened=[(key[0], by) for key, by in opened_before.items() if key not in opened],
            opened=[(key[0], by) for key, by in opened.items() if key not in opened_before],
        )

    def _openings(self) -> dict[JourneyKey, Entry]:
        """The opening events of all journeys that ended within the log or are open."""
        found = {key: journey.opened_by for key, journey in self.ended.items()}
        for journey in self.walk.open:
            found[journey_key(journey.funnel.name, journey.opened_by)] = journey.opened_by
        return found

    def opened_by(self, entry: Entry) -> list[str]:
        """Funnels of the open journeys that the event has opened."""
        return [journey.funnel.name for journey in self.walk.open if journey.opened_by is entry]

    def time_out(self, watermark_ms: int) -> list[Journey]:
        """End the open journeys whose timeout lies before the watermark.

        They stay in the walk: an event that is yet to come may show that they went on.
        """
        ended = []
        for journey in self.walk.open:
            if self.walk.last_ms + journey.funnel.timeout_ms < watermark_ms:
                result = timed_out(journey, self.walk.last_ms)
                if self.ended.get(result.key) != result:
                    self.ended[result.key] = result
                    ended.append(result)
        return ended

    def next_deadline_ms(self) -> int | None:
        """When the next journey that has not been ended times out; None where there is none."""
        deadlines = [
            self.walk.last_ms + journey.funnel.timeout_ms
            for journey in self.walk.open
            if journey_key(journey.funnel.name, journey.opened_by) not in self.ended
        ]
        return min(deadlines) if deadlines else None

    def trim(self, cutoff_ms: int, funnels: Funnels) -> None:
        """Fold events before the cutoff, which nothing can change any more, into ``base``."""
        index = bisect_left(self.log, (cutoff_ms,))
        final: list[Journey] = []
        for entry in self.log[:index]:
            self.base.advance(entry, funnels, final)
        del self.log[:index]
        for journey in final:
            self.ended.pop(journey.key, None)

    def could_have_ended(self, late: Entry, funnels: Funnels) -> "Undone":
        """What a run may have published that had not seen ``late`` and what came after it (law 2).

        Per funnel: the journey under way just before the late event, and each opening event after
        it; with each end not before the late event that any event from the one before it on could
        have given them, by closing them or by being followed by nothing, and where they were opened.
        """
        start = bisect_left(self.log, late[:2])
        walk, ignored = self.base.copy(), list[Journey]()
        for entry in self.log[:start]:
            walk.advance(entry, funnels, ignored)
        under_way = {journey.funnel.name: journey.opened_by for journey in walk.open}
        rest = self.log[start:]
        undone = Undone([], [])
        for funnel in funnels.all:
            opened = [entry for entry in rest if entry.type in funnel.opens_on]
            if funnel.name in under_way:
                opened.insert(0, under_way[funnel.name])
            if not opened:
                continue
            undone.openings.extend((funnel.name, entry) for entry in opened)
            closing = funnel.completes_on | funnel.abandons_on
            ends = {entry.at_ms for entry in rest if entry.type in closing}
            ends |= {entry.at_ms + funnel.timeout_ms for entry in rest}
            ends.add(walk.last_ms + funnel.timeout_ms)
            buckets = {bucket_of(end_ms) for end_ms in ends if end_ms >= late.at_ms}
            # Endings are counted at the bucket of entry too, up to the age of the timeout.
            buckets |= {bucket_of(by.at_ms) for by in opened if late.at_ms - by.at_ms < funnel.timeout_ms}
            undone.places.append(({entry.dims for entry in opened}, buckets))
        return undone


class Rewalk(NamedTuple):
    """What walking the events of a session anew has changed. Openings: funnel and event."""

    no_longer_ended: list[Journey]
    ended: list[Journey]
    no_longer_opened: list[tuple[str, Entry]]
    opened: list[tuple[str, Entry]]


class Undone(NamedTuple):
    """What must be written again."""

    openings: list[tuple[str, Entry]]
    """Journeys: funnel and opening event."""
    places: list[tuple[set[Dims], set[int]]]
    """Tiles: any of the dimensions in any of the buckets."""
