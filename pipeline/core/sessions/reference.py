"""The reference session engine: plain Python, one event after the other (implements ``engine.SessionEngine``).

The outcome is a function of the *set* of events (law 1). An event in order advances its session's walk; one out of
order is put in its place, and the session is walked anew, once a batch.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final

from pipeline.core.sessions import codec
from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.facts import FactEvent, answered
from pipeline.core.sessions.late import Rewalk, changes
from pipeline.core.sessions.session import Late, Session
from pipeline.core.sessions.shards import SessionShards
from pipeline.core.sessions.visits import Named, named
from pipeline.core.sessions.walk import Journey, JourneyKey, Walk, journey_key, timed_out
from pipeline.core.timer_wheel import TimerWheel
from pipeline.model.ages import AgeCounters
from pipeline.model.dimensions import Dims
from pipeline.model.erasure import Hide
from pipeline.model.event_time import NEVER_MS, WATERMARK_DELAY_MS
from pipeline.model.facts import FACT_TYPES
from pipeline.model.moments import MomentFacts
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.tiles import EVENTS, FRICTION_TYPES, STEP_COUNTERS, Counters, bucket_of
from schemas.facts import Observation
from schemas.partitions import partition_of
from schemas.touchpoint import NOBODY, Touchpoint

_TIMER_SLOT_MS: Final = 1_000
_RETENTION_SLOT_MS: Final = 60_000
_key: Final = attrgetter("key")


class ReferenceEngine:
    """The sessions of one partition as objects."""

    def __init__(self, channel: str, rules: Rules, hide_customer: Hide | None, hide_visitor: Hide | None) -> None:
        self._channel: Final = channel
        self._rules: Final = rules
        self._funnels: Final = rules.funnels
        self._lateness_ms: Final = rules.lateness_of(channel)
        self._opened: Final = {f.name: AgeCounters.of(f.name, f.timeout_ms).opened for f in rules.funnels.all}
        self._hide_customer: Final = hide_customer
        self._hide_visitor: Final = hide_visitor
        self._fact_types: Final = FACT_TYPES | MomentFacts(rules.moments).types
        self._number = self._partitions = 0
        self.latest_ms = self.reached_ms = self._watermark_ms = self._cutoff_ms = -NEVER_MS
        self._sessions: dict[str, Session] = {}
        self._shards: Final = SessionShards()
        self._timers: Final[TimerWheel[Session]] = TimerWheel(_TIMER_SLOT_MS)
        self._retention: Final[TimerWheel[Session]] = TimerWheel(_RETENTION_SLOT_MS)
        self._late: dict[str, Session] = {}
        self._ended: list[tuple[str, Journey]] = []
        self._counts: dict[tuple[Dims, int], Counters] = {}
        self._details: dict[tuple[Dims, int, str, str | None], int] = {}
        self._facts: list[FactEvent] = []
        self._named: list[str] = []
        self._folded: list[tuple[str, list[Named]]] = []
        self._gone: list[str] = []
        self._to_watch: set[str] = set()
        self._observations: list[Observation] = []
        self._long: dict[str, int] = {}
        self._to_shorten: dict[str, Session] = {}
        self.begin()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self) -> None:
        self.accepted = self.duplicates = self.misplaced = 0
        self.newest_ms = -NEVER_MS

    def spread_over(self, number: int, partitions: int) -> None:
        self._number, self._partitions = number, partitions

    def see(self, at_ms: int, reached_ms: int) -> None:
        if at_ms > self.latest_ms:
            self.latest_ms = at_ms
            self._cutoff_ms = at_ms - WATERMARK_DELAY_MS - self._lateness_ms
        if reached_ms > self.reached_ms:
            self.reached_ms = reached_ms
            self._watermark_ms = reached_ms - WATERMARK_DELAY_MS

    # --- events ---------------------------------------------------------------------------------

    def take(self, records: Sequence[Record], at: int, latest_stamp_ms: int) -> int:
        """Every record is left to be decoded and offered."""
        return at

    def offer(self, event: Touchpoint) -> bool | None:
        entry, session_id = self._entry(event), event.session_id
        session = self._sessions.get(session_id)
        if session is None:
            session = self._new(session_id, entry.at_ms)
        last_ms = session.last_ms
        if entry.at_ms > last_ms and last_ms + session.walk.shortest_ms >= self._watermark_ms:
            opened = self._append(session, entry)
            self._observe(session, entry)
        else:
            # One that continues a journey whose timeout the watermark has passed comes as good as late.
            at = bisect_left(session.entries, entry.key, key=_key)
            if len(session.entries) - at >= self._rules.most_later:
                return None
            if at < len(session.entries) and session.entries[at].key == entry.key:
                self.duplicates += 1
                self.misplaced += session.is_misplaced
                return False
            self._insert(session, entry, at)
            self._observe_late(entry)
            opened = ()
        self.misplaced += session.is_misplaced
        self._shards.changed.add(session.shard)
        if len(session.entries) > self._rules.most_later:
            self._long[session_id] = len(session.entries)
            self._to_shorten[session_id] = session
        self._count(entry, opened)
        self._note(session, entry, event)
        return True

    def _entry(self, event: Touchpoint) -> Entry:
        amount = event.amount if event.currency in (None, self._rules.currency) else None
        customer, visitor = event.customer_id, event.visitor_id
        if customer and self._hide_customer is not None:
            customer = self._hide_customer(customer)
        if visitor and self._hide_visitor is not None:  # ``NOBODY`` stays
            visitor = self._hide_visitor(visitor)
        who = customer, visitor, event.order_id
        return Entry(event.at_ms, event.event_id, event.type, amount, event.step, *who, event.dims)

    def _new(self, session_id: str, at_ms: int) -> Session:
        is_misplaced = self._partitions > 0 and partition_of(session_id, self._partitions) != self._number
        session = self._sessions[session_id] = Session(session_id, is_misplaced)
        if session_id in self._to_watch:
            self._to_watch.remove(session_id)
            session.is_watched = True
        self._shards.add(session)
        self._retention.add(at_ms + self._funnels.longest_timeout_ms, session)
        return session

    def _append(self, session: Session, entry: Entry) -> Sequence[str]:
        """Take an event in order; gives the funnels of which it opened a journey."""
        session.entries.append(entry)
        session.last_ms = entry.at_ms
        if session.late is not None:
            # The walk stands still since: whether a timeout could have been published before it came is not known.
            session.late.keys.add(entry.key)
            return ()
        ended: list[Journey] = []
        walk = session.walk
        opened = walk.advance(entry, self._funnels, ended)
        self._ended += [(session.session_id, journey) for journey in ended]
        if walk.open and walk.last_ms + walk.shortest_ms < session.timer_ms:
            self._schedule(session)
        return [funnel.name for funnel in opened]

    def _insert(self, session: Session, entry: Entry, at: int) -> None:
        """Put an event in its place, to be walked later."""
        if session.late is None:
            session.late = self._as_it_was(session, entry)
            self._late[session.session_id] = session
        session.late.first = min(session.late.first, entry.key)
        session.late.keys.add(entry.key)
        session.entries.insert(at, entry)
        session.last_ms = max(session.last_ms, entry.at_ms)

    def _count(self, entry: Entry, opened: Sequence[str]) -> None:
        self.accepted += 1
        self.newest_ms = max(self.newest_ms, entry.at_ms)
        bucket, kind = bucket_of(entry.at_ms), entry.type
        counters = self._counts.setdefault((entry.dims, bucket), {})
        for name in (EVENTS, *(self._opened[funnel] for funnel in opened)):
            counters[name] = counters.get(name, 0) + 1
        if kind in FRICTION_TYPES or (entry.step is not None and kind in STEP_COUNTERS):
            key = (entry.dims, bucket, kind, entry.step)
            self._details[key] = self._details.get(key, 0) + 1

    # --- who it was -----------------------------------------------------------------------------

    def _note(self, session: Session, entry: Entry, event: Touchpoint) -> None:
        """Take note of an event that is a fact, or that may make a session's facts somebody else's."""
        if entry.type in self._fact_types and entry.visitor_id != NOBODY:
            which = session.session_id, entry.at_ms, entry.event_id, entry.type
            what = entry.amount, entry.order_id, entry.step, entry.dims
            self._facts.append(FactEvent(*which, *what, *answered(event)))
        if session.is_watched and (entry.customer_id is not None or entry.visitor_id is not None):
            self._named.append(session.session_id)

    def _observe(self, session: Session, entry: Entry) -> None:
        """Take note of an event in order that names both a visitor and a customer."""
        customer, visitor = entry.customer_id, entry.visitor_id
        if customer is not None and customer != session.customer_id:
            session.customer_id, session.is_observed = customer, False
        if visitor is not None and visitor != session.visitor_id:
            session.visitor_id, session.is_observed = visitor, False
        if customer is not None and visitor is not None and not session.is_observed:
            session.is_observed = True
            self._observations.append(Observation(visitor, customer, entry.at_ms))

    def _observe_late(self, entry: Entry) -> None:
        if entry.customer_id is not None and entry.visitor_id is not None:
            self._observations.append(Observation(entry.visitor_id, entry.customer_id, entry.at_ms))

    def _observe_last(self, entries: Sequence[Entry]) -> None:
        """Take note of the last of events that are let go."""
        last: Entry | None = None
        for entry in entries:
            if entry.customer_id is None or entry.visitor_id is None:
                continue
            if last is not None and (last.customer_id, last.visitor_id) != (entry.customer_id, entry.visitor_id):
                self._observe_late(last)
            last = entry
        if last is not None:
            self._observe_late(last)

    def who(self, session_id: str) -> list[Named]:
        session = self._sessions.get(session_id)
        return [] if session is None else self._named_in(session.entries)

    def _named_in(self, entries: Iterable[Entry]) -> list[Named]:
        who = ((entry.at_ms, entry.customer_id, entry.visitor_id) for entry in entries)
        return named(who, self._funnels.longest_timeout_ms)

    def watch(self, session_id: str) -> None:
        session = self._sessions.get(session_id)
        if session is not None:
            session.is_watched = True
        else:
            self._to_watch.add(session_id)

    def take_facts(self) -> list[FactEvent]:
        taken, self._facts = self._facts, []
        return taken

    def take_named(self) -> list[str]:
        taken, self._named = self._named, []
        return taken

    def take_folded(self) -> list[tuple[str, list[Named]]]:
        taken, self._folded = self._folded, []
        return taken

    def take_gone(self) -> list[str]:
        taken, self._gone = self._gone, []
        return taken

    def take_observations(self) -> list[Observation]:
        taken, self._observations = self._observations, []
        return taken

    # --- what a batch has changed ---------------------------------------------------------------

    def _as_it_was(self, session: Session, entry: Entry) -> Late:
        """What the session's walk had come to before this event, the first late one of the batch."""
        journeys, walk = list[Journey](), session.begin()
        for kept in session.entries:
            walk.advance(kept, self._funnels, journeys)
        ended = {journey.key: journey for journey in journeys}
        for journey in session.walk.open:
            if journey.has_timed_out:
                over = timed_out(journey, session.walk.last_ms)
                ended[over.key] = over
        return Late(ended, _openings(ended, session.walk), entry.key)

    def settle_late(self) -> list[tuple[str, Rewalk, dict[JourneyKey, Journey]]]:
        late, self._late = self._late, {}
        return [self._settled(session) for session in late.values()]

    def _settled(self, session: Session) -> tuple[str, Rewalk, dict[JourneyKey, Journey]]:
        late, session.late = session.late, None
        assert late is not None
        start = bisect_left(session.entries, late.first, key=_key)
        journeys, walk = list[Journey](), session.begin()
        for entry in session.entries[:start]:
            walk.advance(entry, self._funnels, journeys)
        under_way, before_ms = {one.funnel.name: one.opened_by for one in walk.open}, walk.last_ms
        rest = session.entries[start:]
        for entry in rest:
            walk.advance(entry, self._funnels, journeys)
        session.walk = walk
        _name_again(session)
        ended = {journey.key: journey for journey in journeys}
        self._schedule(session)
        opened = _openings(ended, walk)
        change = changes(late.ended, late.opened, ended, opened, under_way, before_ms, rest, late.keys)
        return session.session_id, change, ended

    def time_out(self, watermark_ms: int) -> None:
        # All of a second that the watermark has reached are looked at, at every batch until it has passed.
        reached = self._timers.slot_of(watermark_ms - 1) + _TIMER_SLOT_MS
        for session in self._timers.take(watermark_ms):
            if session.timer_ms < watermark_ms:
                over = _time_out(session.walk, watermark_ms)
                self._ended += [(session.session_id, journey) for journey in over]
                self._schedule(session)
            elif session.timer_ms < reached:
                self._timers.add(session.timer_ms, session)

    def _schedule(self, session: Session) -> None:
        """Look at the session when its next journey times out."""
        walk, session.timer_ms = session.walk, NEVER_MS
        for journey in walk.open:
            if not journey.has_timed_out:
                session.timer_ms = min(session.timer_ms, walk.last_ms + journey.funnel.timeout_ms)
        if session.timer_ms < NEVER_MS:
            self._timers.add(session.timer_ms, session)

    def take_ended(self) -> list[tuple[str, Journey]]:
        taken, self._ended = self._ended, []
        return taken

    def take_counts(self) -> list[tuple[Dims, int, Counters]]:
        taken, self._counts = self._counts, {}
        return [(dims, bucket, counters) for (dims, bucket), counters in taken.items()]

    def take_details(self) -> dict[tuple[Dims, int, str, str | None], int]:
        taken, self._details = self._details, {}
        return taken

    def take_long(self) -> dict[str, int]:
        taken, self._long = self._long, {}
        return taken

    # --- what is kept ---------------------------------------------------------------------------

    def forget(self) -> None:
        most = self._rules.most_later
        for session in self._to_shorten.values():
            # What no event is put before any more, once that is half as much again.
            if len(session.entries) >= most + most // 2:
                self._fold(session, len(session.entries) - most)
        self._to_shorten.clear()
        passed_ms = self._retention.slot_of(self._cutoff_ms)
        for session in self._retention.take(passed_ms):
            due_ms = session.last_ms + self._funnels.longest_timeout_ms
            if due_ms >= passed_ms:
                self._fold(session, bisect_left(session.entries, (self._cutoff_ms, ""), key=_key))
                self._retention.add(due_ms, session)
            else:
                self._observe_last(session.entries)
                if session.is_watched:
                    self._gone.append(session.session_id)
                del self._sessions[session.session_id]
                self._shards.remove(session)

    def _fold(self, session: Session, count: int) -> None:
        """Let the first events go: of them the walk after them is kept, if a journey was open then."""
        base = session.begin()
        for entry in session.entries[:count]:
            base.advance(entry, self._funnels, [])
        session.base = base if base.open else None
        if count:
            self._observe_last(session.entries[:count])
            self._folded.append((session.session_id, self._named_in(session.entries[:count])))
            del session.entries[:count]
            _name_again(session)

    def take_changed(self) -> Iterator[tuple[int, bytes]]:
        for number, sessions in self._shards.take_changed(self._sessions):
            yield number, codec.encode(sessions, self._rules)

    def everything(self) -> Iterator[tuple[int, bytes]]:
        for number, sessions in self._shards.everything(self._sessions):
            yield number, codec.encode(sessions, self._rules)

    def restore(self, shards: Mapping[int, bytes], watermark_ms: int) -> None:
        # The newest first: a session that was forgotten and came back is in an older one as well.
        for number in sorted(shards, reverse=True):
            stored = codec.decode(shards[number], self._channel, self._rules)
            sessions = [
                self._restored(one, watermark_ms) for one in stored if one.session_id not in self._sessions
            ]
            self._shards.restore(number, sessions)

    def _restored(self, stored: codec.StoredSession, watermark_ms: int) -> Session:
        is_misplaced = self._partitions > 0 and partition_of(stored.session_id, self._partitions) != self._number
        session = Session(stored.session_id, is_misplaced, stored.entries, stored.base)
        session.walk = session.begin()
        for entry in session.entries:
            session.walk.advance(entry, self._funnels, [])
        session.last_ms = session.walk.last_ms
        _name_again(session)
        _time_out(session.walk, watermark_ms)
        self._sessions[session.session_id] = session
        self._schedule(session)
        self._retention.add(session.last_ms + self._funnels.longest_timeout_ms, session)
        return session


def _name_again(session: Session) -> None:
    """Its events are others now: note whom the kept ones name last."""
    session.customer_id = session.visitor_id = None
    session.is_observed = False
    for entry in session.entries:
        session.customer_id = session.customer_id if entry.customer_id is None else entry.customer_id
        session.visitor_id = session.visitor_id if entry.visitor_id is None else entry.visitor_id


def _openings(ended: Mapping[JourneyKey, Journey], walk: Walk) -> dict[JourneyKey, Entry]:
    """The opening events of all journeys that have ended or are open."""
    found = {key: journey.opened_by for key, journey in ended.items()}
    for journey in walk.open:
        found[journey_key(journey.funnel.name, journey.opened_by)] = journey.opened_by
    return found


def _time_out(walk: Walk, watermark_ms: int) -> list[Journey]:
    """End the open journeys whose timeout lies before the watermark.

    They stay in the walk: an event that is yet to come may show that they went on.
    """
    over = [
        journey
        for journey in walk.open
        if not journey.has_timed_out and walk.last_ms + journey.funnel.timeout_ms < watermark_ms
    ]
    for journey in over:
        journey.has_timed_out = True
    return [timed_out(journey, walk.last_ms) for journey in over]
