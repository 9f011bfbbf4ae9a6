"""One session in one partition: the events it keeps, its open journeys and its ended ones.

The outcome is a function of the *set* of events (law 1). An event in order advances the walk; one
out of order is put in its place, and the walk is made again from the oldest kept event, once per
batch. What lies before the allowed lateness can no longer change and is folded into ``base``.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pipeline.core.sessions.event_log import NOWHERE, Entry, EventLog, Names
from pipeline.core.sessions.walk import Journey, JourneyKey, OpenJourney, Walk, journey_key, timed_out
from pipeline.model.dimensions import Dims
from pipeline.model.event_time import NEVER_MS
from pipeline.model.funnels import Funnel, Funnels
from pipeline.model.tiles import bucket_of

EventKey = tuple[int, str]
"""Time and id of an event, by which a session's events are in order."""


class Session(EventLog):
    """Mutable state of one session; ``Partition`` decides when to do what.

    It is its log, and does not have one: that would take 56 bytes more.
    """

    __slots__ = ("_ended", "_late", "base", "last_ms", "late_from", "session_id", "shard", "timer_ms", "walk")

    def __init__(self, session_id: str, names: Names) -> None:
        super().__init__(names)
        self.session_id = session_id
        self.base: Walk | None = None
        """The walk up to the first kept event; None while that is the first of all."""
        self.walk = Walk()
        """The walk over base and log; stale while ``late_from`` is set."""
        self._ended: dict[JourneyKey, Journey] | None = None
        self.late_from: Entry | None = None
        """The earliest event of this batch that came after something later was (or could be) seen."""
        self._late: set[EventKey] | None = None
        """That one and all that have come in this batch since."""
        self.last_ms = -1
        """Time of the latest event; -1 before the first."""
        self.timer_ms = NEVER_MS
        """When the partition looks at this session's timeouts next; NEVER_MS: it does not."""
        self.shard = -1
        """Where it is stored at a checkpoint: the number of its shard, or with the fast lane its handle there."""

    @classmethod
    def restored(
        cls,
        session_id: str,
        base: Walk | None,
        names: Names,
        packed: bytes | bytearray,
        watermark_ms: int | None,
        funnels: Funnels,
    ) -> "Session":
        """A session as it was at the end of a batch: all else follows from what it keeps.

        ``watermark_ms``: at the end of that batch; None where there was none yet.
        """
        session = cls(session_id, names)
        session.restore(packed)
        session.base = base
        session.rewalk(funnels)
        session.last_ms = session.walk.last_ms
        if watermark_ms is not None:
            session.time_out(watermark_ms)
        return session

    @classmethod
    def late(
        cls,
        session_id: str,
        names: Names,
        packed: bytes | bytearray,
        known: "Late",
        funnels: Funnels,
    ) -> "Session":
        """A session that late events have come to, which is still to be walked anew."""
        ended, opened, first, late = known
        session = cls(session_id, names)
        session.restore(packed)
        session._ended = ended or None
        under_way = [(key, by) for key, by in opened.items() if key not in ended]
        session.walk = Walk(tuple([OpenJourney(funnels.by_name[key[0]], by) for key, by in under_way]))
        session.late_from, session._late = session.entry_at(session.position_of(*first)), late
        return session

    def is_settled_at(self, entry: Entry, most_later: int) -> bool:
        """Whether so many later events have been taken that none is put before them any more.

        A session without an end (one id for all visitors, a bot) must not make each late event of it dearer. It
        is a question to the set of the events taken, so neither batches nor what was folded away change the
        answer.
        """
        return self.has_after(self.position_of(entry.at_ms, entry.event_id), most_later)

    @property
    def ended(self) -> dict[JourneyKey, Journey]:
        """Journeys that ended within the log, or by timeout as the watermark has it."""
        return {} if self._ended is None else self._ended

    def takes_in_order(self, at_ms: int, watermark_ms: int) -> bool:
        """Whether an event at this time is the session's next, and none that could revive a journey.

        One that continues a journey whose timeout the watermark has passed comes as good as late: the
        journey may have been published as timed out.
        """
        return at_ms > self.last_ms and self.walk.last_ms + self.walk.shortest_ms >= watermark_ms

    def append(self, entry: Entry, funnels: Funnels, ended: list[Journey]) -> Sequence[str]:
        """Take an event in order; gives the funnels of which it opened a journey.

        The journeys that it ended are appended to ``ended``.
        """
        position = self.put_last(entry)
        at_ms = self.last_ms = entry.at_ms
        if self.late_from is not None:
            # The walk stands still since: whether a timeout could have been published before it came is not known.
            assert self._late is not None
            self._late.add(entry.key)
            return ()
        walk = self.walk
        opens = entry.type in funnels.opened_by_type
        if not opens and not walk.open:
            walk.last_ms = at_ms
            return ()
        walk.advance(entry, position, self, funnels, ended)
        for journey in ended:
            self._note(journey)
        return [one.funnel.name for one in walk.open if one.position == position] if opens else ()

    def insert(self, entry: Entry) -> bool:
        """Put an event in its place, to be walked later; False where it is there already."""
        bytes_before = len(self.packed)
        position = self.put(entry)
        if position == NOWHERE:
            return False
        for journey in self.walk.open:
            if journey.position >= position:
                journey.position += len(self.packed) - bytes_before
        self.last_ms = max(self.last_ms, entry.at_ms)
        if self._late is None:
            self._late = set()
        self._late.add(entry.key)
        if self.late_from is None or entry.key < self.late_from.key:
            self.late_from = entry
        return True

    def rewalk(self, funnels: Funnels, late: Entry | None = None) -> "Rewalk":
        """Walk the kept events anew; gives what that has changed, and what there was before the late event."""
        before, opened_before = self.ended, self._openings()
        ended: list[Journey] = []
        walk = self.walk = Walk() if self.base is None else self.base.copy()
        start = NOWHERE if late is None else self.position_of(late.at_ms, late.event_id)
        under_way, before_ms, rest = dict[str, Entry](), walk.last_ms, list[Entry]()
        for position, entry in self.entries():
            if position == start:
                under_way = {journey.funnel.name: journey.opening(self) for journey in walk.open}
                before_ms = walk.last_ms
            if start != NOWHERE and position >= start:
                rest.append(entry)
            walk.advance(entry, position, self, funnels, ended)
        now = {journey.key: journey for journey in ended}
        self._ended = now or None
        late_ones, self._late = self._late or set(), None
        return changes(before, opened_before, now, self._openings(), under_way, before_ms, rest, late_ones)

    def _note(self, journey: Journey) -> None:
        if self._ended is None:
            self._ended = {}
        self._ended[journey.key] = journey

    def _openings(self) -> dict[JourneyKey, Entry]:
        """The opening events of all journeys that ended within the log or are open."""
        found = {key: journey.opened_by for key, journey in self.ended.items()}
        for journey in self.walk.open:
            opened_by = journey.opening(self)
            found[journey_key(journey.funnel.name, opened_by)] = opened_by
        return found

    def time_out(self, watermark_ms: int) -> list[Journey]:
        """End the open journeys whose timeout lies before the watermark.

        They stay in the walk: an event that is yet to come may show that they went on.
        """
        last_ms = self.walk.last_ms
        return [
            self._time_out(journey)
            for journey in self.walk.open
            if not journey.has_timed_out and last_ms + journey.funnel.timeout_ms < watermark_ms
        ]

    def have_timed_out(self, funnels: Collection[str]) -> None:
        """The open journeys of these funnels have been ended by their timeout."""
        for journey in self.walk.open:
            if journey.funnel.name in funnels:
                self._time_out(journey)

    def _time_out(self, journey: OpenJourney) -> Journey:
        journey.has_timed_out = True
        ended = timed_out(journey, self.walk.last_ms, self)
        self._note(ended)
        return ended

    def next_deadline_ms(self) -> int:
        """When the next journey that has not been ended times out; NEVER_MS where there is none."""
        shortest_ms = NEVER_MS
        for journey in self.walk.open:
            if not journey.has_timed_out:
                shortest_ms = min(shortest_ms, self.walk.last_ms + journey.funnel.timeout_ms)
        return shortest_ms

    def trim(self, cutoff_ms: int, funnels: Funnels) -> None:
        """Fold events before the cutoff, which nothing can change any more, into ``base``."""
        self._fold(self.position_of(cutoff_ms, ""), funnels)

    def shorten(self, most_later: int, funnels: Funnels) -> None:
        """Fold away what no event is put before any more (``is_settled_at``), once that is half as much again."""
        if self.count >= most_later + most_later // 2:
            self._fold(self.position_of_last(most_later), funnels)

    def _fold(self, until: int, funnels: Funnels) -> None:
        """Fold the events before a position into ``base``."""
        if not until:
            return
        base = self.base = self.base or Walk()
        final: list[Journey] = []
        for position, entry in self.entries():
            if position >= until:
                break
            base.advance(entry, NOWHERE, self, funnels, final)
        for journey in self.walk.open:
            if journey.opened_by is None:
                if journey.position < until:
                    journey.opened_by, journey.position = self.entry_at(journey.position), NOWHERE
                else:
                    journey.position -= until
        self.drop_before(until)
        self.drop_names()
        for ended in final:
            self.ended.pop(ended.key, None)


Late = tuple[dict[JourneyKey, Journey], dict[JourneyKey, Entry], EventKey, set[EventKey]]
"""Before its late events, by key, the journeys that had ended and the events that had opened journeys; the
earliest late event; that one and all that have come since."""


class Rewalk(NamedTuple):
    """What walking the events of a session anew has changed. Openings: funnel and event."""

    no_longer_ended: list[Journey]
    ended: list[Journey]
    no_longer_opened: list[tuple[str, Entry]]
    opened: list[tuple[str, Entry]]
    under_way: dict[str, Entry]
    """Opening events, by funnel, of the journeys that were open just before the late event."""
    before_ms: int
    """Time of the event before the late one; -1 where there is none."""
    rest: list[Entry]
    """The late event and all after it."""
    late: set[EventKey]
    """Which of these came late, or after one that did."""


def changes(
    before: dict[JourneyKey, Journey],
    opened_before: dict[JourneyKey, Entry],
    now: dict[JourneyKey, Journey],
    opened: dict[JourneyKey, Entry],
    under_way: dict[str, Entry],
    before_ms: int,
    rest: list[Entry],
    late: set[EventKey],
) -> Rewalk:
    """Ended journeys and opening events before a walk was made anew and now, by key."""
    return Rewalk(
        no_longer_ended=[j for key, j in before.items() if now.get(key) != j],
        ended=[j for key, j in now.items() if before.get(key) != j],
        no_longer_opened=[(key[0], by) for key, by in opened_before.items() if key not in opened],
        opened=[(key[0], by) for key, by in opened.items() if key not in opened_before],
        under_way=under_way,
        before_ms=before_ms,
        rest=rest,
        late=late,
    )


class Undone(NamedTuple):
    """What must be written again."""

    openings: list[tuple[str, Entry]]
    """Journeys: funnel and opening event."""
    places: list[tuple[set[Dims], set[int]]]
    """Tiles: any of the dimensions in any of the buckets."""


def could_have_ended(change: Rewalk, funnels: Funnels) -> Undone:
    """What a run may have published that had not seen the late events and what came after them (law 2).

    Per funnel and late event: the journey under way just before it, the event itself where it opens one, and the
    first opening event after it; with each end that these could have had, and where they were opened. That reaches
    as far as the funnel is closed whichever of the late events are there: by an event that closes it, or a gap.
    """
    undone = Undone([], [])
    for funnel in funnels.all:
        _Reach(funnel, change, undone).follow()
    return undone


class _Reach:
    """How far late events have changed the walk of one funnel."""

    def __init__(self, funnel: Funnel, change: Rewalk, undone: Undone) -> None:
        self._funnel = funnel
        self._change = change
        self._undone = undone
        self._closing = funnel.completes_on | funnel.abandons_on
        self._under_way = change.under_way.get(funnel.name)
        self._is_open = False
        """Whether the walk may be another than without some of the late events."""
        self._needs_opening = False
        self._opened: dict[EventKey, Entry] = {}
        self._ends: set[int] = set()
        self._since_ms = 0

    def follow(self) -> None:
        before_ms, late = self._change.before_ms, self._change.late
        for entry in self._change.rest:
            if entry.at_ms - before_ms > self._funnel.timeout_ms:
                self._time_out(before_ms)
            if entry.key in late:
                self._take_late(entry, before_ms)
            elif self._is_open:
                self._take_other(entry)
            self._go_on(entry)
            before_ms = entry.at_ms
        self._close()

    def _time_out(self, before_ms: int) -> None:
        """A gap: whatever was open has timed out."""
        if self._is_open:
            self._ends.add(before_ms + self._funnel.timeout_ms)
            self._close()
        self._under_way = None

    def _take_late(self, entry: Entry, before_ms: int) -> None:
        funnel = self._funnel
        if not self._is_open:
            self._is_open, self._since_ms = True, entry.at_ms
        if self._under_way is not None:
            self._opened[self._under_way.key] = self._under_way
        self._needs_opening = True
        if entry.type in funnel.opens_on:
            self._opened[entry.key] = entry
        if before_ms >= 0:
            self._ends.add(before_ms + funnel.timeout_ms)
        self._ends.add(entry.at_ms + funnel.timeout_ms)
        if entry.type in self._closing:
            self._ends.add(entry.at_ms)

    def _take_other(self, entry: Entry) -> None:
        opens = entry.type in self._funnel.opens_on
        closes = entry.type in self._closing
        if opens and (self._needs_opening or closes):
            self._opened[entry.key] = entry
            self._needs_opening = False
        if closes:
            self._ends.add(entry.at_ms)
            if not opens:
                self._close()

    def _go_on(self, entry: Entry) -> None:
        """Let the walk take the event, as it is now."""
        if self._under_way is None:
            self._under_way = entry if entry.type in self._funnel.opens_on else None
        elif entry.type in self._closing:
            self._under_way = None

    def _close(self) -> None:
        """From here on the walk is what it was."""
        if self._is_open and self._opened:
            opened = self._opened.values()
            self._undone.openings.extend((self._funnel.name, entry) for entry in opened)
            buckets = {bucket_of(end_ms) for end_ms in self._ends if end_ms >= self._since_ms}
            # Endings are counted at the bucket of entry too, up to the age of the timeout.
            timeout_ms = self._funnel.timeout_ms
            buckets |= {bucket_of(by.at_ms) for by in opened if self._since_ms - by.at_ms < timeout_ms}
            self._undone.places.append(({entry.dims for entry in opened}, buckets))
        self._is_open = self._needs_opening = False
        self._opened, self._ends = {}, set()
