"""What events that came late have changed, and what must be written again for them (law 2)."""

from typing import NamedTuple

from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.walk import Journey, JourneyKey
from pipeline.model.dimensions import Dims
from pipeline.model.funnels import Funnel, Funnels
from pipeline.model.tiles import bucket_of

EventKey = tuple[int, str]
"""Time and id of an event, by which a session's events are in order."""


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
        self._opens_on, self._closes_on = funnel.opens_on, (funnel.completes_on, funnel.abandons_on)
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
        if self._is_open:  # it may have timed out after the last event that a run saw, and now not as it did
            self._ends.add(before_ms + self._funnel.timeout_ms)
        self._close()

    def _opens(self, entry: Entry) -> bool:
        return self._opens_on.has(entry.type, entry.step, entry.dims[0])

    def _closes(self, entry: Entry) -> bool:
        completes_on, abandons_on = self._closes_on
        kind, step, channel = entry.type, entry.step, entry.dims[0]
        return completes_on.has(kind, step, channel) or abandons_on.has(kind, step, channel)

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
        if self._opens(entry):
            self._opened[entry.key] = entry
        if before_ms >= 0:
            self._ends.add(before_ms + funnel.timeout_ms)
        self._ends.add(entry.at_ms + funnel.timeout_ms)
        if self._closes(entry):
            self._ends.add(entry.at_ms)

    def _take_other(self, entry: Entry) -> None:
        opens = self._opens(entry)
        closes = self._closes(entry)
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
            self._under_way = entry if self._opens(entry) else None
        elif self._closes(entry):
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
