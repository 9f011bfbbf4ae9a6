"""Phase one: one partition's log into journeys, tiles and dead letters.

Whatever is put out at the end of a batch is a function of the log up to there, not of how it was
cut into batches (laws 1 and 2). The state of a partition is this object and nothing else.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.core.agenda import Agenda
from pipeline.core.contributions import Contribution, JourneyCounters, Place, step_counters
from pipeline.core.cuts import MINUTE_MS, SessionShards
from pipeline.core.event_log import Dims, Entry, Names, names_of
from pipeline.core.funnels import (
    NEVER_MS,
    RETRACTED,
    Journey,
    JourneyKey,
    journey_key,
)
from pipeline.core.records import (
    GENERATION_SHIFT,
    ClockRefusal,
    JourneyRow,
    Outputs,
    Record,
    Rules,
    Tile,
)
from pipeline.core.refusals import FUTURE_MS, Limits, dead_letter, refused, refused_again
from pipeline.core.session import Session, could_have_ended
from pipeline.core.tiles import (
    BUCKET_MS,
    EVENTS,
    FRICTION,
    FRICTION_TYPES,
    STEP_COUNTERS,
    Counters,
    add,
    bucket_of,
    survey_counters,
)
from schemas.decoding import decode
from schemas.privacy import Pseudonyms
from schemas.reasons import Refusal
from schemas.touchpoint import Touchpoint

WATERMARK_DELAY_MS: Final = 5_000
_NEVER: Final = -NEVER_MS
_MAX_PLACES: Final = 100_000
_TIMER_SLOT_MS: Final = 1_000
_RETENTION_SLOT_MS: Final = 60_000


class Spot:
    """Where events happen: one combination of dimensions, and the batch's events there by bucket."""

    __slots__ = ("counts", "dims", "names")

    def __init__(self, dims: Dims) -> None:
        self.dims = dims
        self.names: Names = names_of(dims)
        self.counts: dict[int, int] = {}


class Partition:
    """State of one touchpoint partition, and the step from one batch to the next."""

    def __init__(self, channel: str, rules: Rules) -> None:
        self.channel: Final = channel
        self.rules: Final = rules
        self._latest_ms = _NEVER
        self._watermark_ms = _NEVER
        self._cutoff_ms = _NEVER
        """Events before it are too late."""
        self.accepted = 0
        """Events accepted so far."""
        self.sessions: dict[str, Session] = {}
        self.tiles: dict[int, dict[str, Counters]] = {}
        """By bucket and segment: all buckets that an accepted event could still change."""
        self.shards = SessionShards()
        self.changed_minutes: set[int] = set()
        """Minutes of event time whose tiles have changed since the last cut, by their start."""
        self.refused: dict[int, ClockRefusal] = {}
        """Records to come that an earlier reading refused by its wall clock, by offset."""
        self._timers = Agenda(_TIMER_SLOT_MS)
        self._retention = Agenda(_RETENTION_SLOT_MS)
        self._journeys = JourneyCounters(rules.funnels)
        self._places: dict[Dims, Spot] = {}
        self._pseudonyms = Pseudonyms(rules.customer_key) if rules.customer_key else None
        # Of the batch under way:
        self._late: dict[str, Session] = {}
        self._changed: dict[tuple[str, JourneyKey], Journey] = {}
        self._deltas: dict[Place, Counters] = {}

    @property
    def latest_ms(self) -> int | None:
        """The latest time seen, of events and ticks; None before the first."""
        return None if self._latest_ms == _NEVER else self._latest_ms

    @property
    def watermark_ms(self) -> int | None:
        """The latest time seen less the delay; None before the first."""
        return None if self._latest_ms == _NEVER else self._watermark_ms

    def process(self, records: Sequence[Record], fetched_ms: int) -> Outputs:
        """Take consecutive records, oldest first, that were fetched at ``fetched_ms`` (wall clock).

        Gives all that changed, each row once, as it stands after the last record.
        """
        out = Outputs()
        channel, latest_stamp, again = self.channel, fetched_ms + FUTURE_MS, self.refused
        key, newest_ms = self.rules.customer_key, _NEVER
        for record in records:
            _, stamp_ms, value, tick_ms = record
            if tick_ms is not None:
                self.see(tick_ms)
                out.ticks += 1
                continue
            if record.offset in again and (letter := refused_again(record, again.pop(record.offset), key)):
                out.dead_letters.append(letter)
                continue
            event = decode(value)
            if isinstance(event, Refusal):
                out.dead_letters.append(dead_letter(record, fetched_ms, event, key))
                continue
            at_ms = event.at_ms
            if (
                event.channel == channel
                and self._cutoff_ms <= at_ms
                and (stamp_ms < 0 or at_ms - FUTURE_MS <= stamp_ms <= latest_stamp)
            ):
                if self._take(event, at_ms):
                    out.accepted += 1
                    newest_ms = max(newest_ms, at_ms)
                else:
                    out.duplicates += 1
            else:
                limits = Limits(channel, fetched_ms, self._cutoff_ms, self.rules.lateness_ms, key)
                out.dead_letters.append(refused(record, event, limits))
        out.newest_ms = newest_ms if out.accepted else None
        self.accepted += out.accepted
        out.version = (self.rules.generation << GENERATION_SHIFT) + records[-1].offset + 1
        self._settle(out)
        return out

    def _take(self, event: Touchpoint, at_ms: int) -> bool:
        """Let a valid event change the state; False where it is a duplicate."""
        key = (event.store_id, event.region, event.device, event.campaign)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Spot((self.channel, *key))
        amount = event.amount
        if event.currency is not None and event.currency != self.rules.currency:
            amount = None
        customer = event.customer_id
        if customer is not None and self._pseudonyms is not None:
            customer = self._pseudonyms.of(customer)
        entry = Entry(at_ms, event.event_id, event.type, amount, event.step, customer, place.dims)
        session = self.sessions.get(event.session_id)
        if session is None:
            session = self._new_session(event.session_id, at_ms, place.names)
        if session.takes_in_order(at_ms, self._watermark_ms):
            self._append(session, entry)
        elif session.insert(entry):
            self._late[session.session_id] = session
        else:
            return False
        self.shards.changed.add(session.shard)
        self._count(event, place)
        if at_ms > self._latest_ms:
            self.see(at_ms)
        return True

    def _append(self, session: Session, entry: Entry) -> None:
        ended: list[Journey] = []
        opened = session.append(entry, self.rules.funnels, ended)
        for journey in ended:
            self._end(session, journey)
        for funnel in opened:
            self._put(self._journeys.opened(funnel, entry))
        walk = session.walk
        if walk.open and walk.last_ms + walk.shortest_ms < session.timer_ms:
            self._schedule(session)

    def _count(self, event: Touchpoint, place: Spot) -> None:
        counts = place.counts
        bucket = bucket_of(event.at_ms)
        counts[bucket] = counts.get(bucket, 0) + 1
        if event.step is not None and event.type in STEP_COUNTERS:
            self._add((place.dims, bucket), step_counters(event.type, event.step, self.rules.known_steps))
        if event.type in FRICTION_TYPES:
            self._add((place.dims, bucket), {FRICTION: 1})
        elif event.survey is not None:
            answer = survey_counters(event.survey, event.score_units, event.scale_units)
            self._add((place.dims, bucket), answer)

    def _new_session(self, session_id: str, at_ms: int, names: Names) -> Session:
        session = self.sessions[session_id] = Session(session_id, names)
        self.shards.add(session)
        self._retention.add(at_ms + self.rules.funnels.longest_timeout_ms, session)
        return session

    def see(self, at_ms: int) -> None:
        """Let time go on to the latest one seen."""
        if at_ms > self._latest_ms:
            self._latest_ms = at_ms
            self._watermark_ms = at_ms - WATERMARK_DELAY_MS
            self._cutoff_ms = self._watermark_ms - self.rules.lateness_ms

    def _add(self, place: Place, counters: Counters, sign: int = 1) -> None:
        delta = self._deltas.get(place)
        if delta is None:
            delta = self._deltas[place] = {}
        add(delta, counters, sign)

    def _put(self, contribution: Contribution, sign: int = 1) -> None:
        place, counters = contribution
        self._add(place, counters, sign)

    def _end(self, session: Session, journey: Journey, sign: int = 1) -> None:
        """Count a journey as ended (or, with sign -1, as no longer so) and have it written."""
        self._changed[session.session_id, journey.key] = journey
        for contribution in self._journeys.ended(journey):
            self._put(contribution, sign)

    def _schedule(self, session: Session) -> None:
        deadline_ms = session.next_deadline_ms()
        if deadline_ms < session.timer_ms:
            session.timer_ms = deadline_ms
            self._timers.add(deadline_ms, session)

    # --- the end of a batch ---------------------------------------------------------------------

    def _settle(self, out: Outputs) -> None:
        for session in self._late.values():
            self._rewalk(session)
        watermark = out.watermark_ms = self.watermark_ms
        if watermark is not None:
            self._time_out(watermark)
        for place in self._places.values():
            for bucket, count in place.counts.items():
                self._add((place.dims, bucket), {EVENTS: count})
            place.counts.clear()
        out.tiles = self._fold()
        out.journeys = [self._row(key, journey) for key, journey in self._changed.items()]
        self._late.clear()
        self._changed.clear()
        self._deltas.clear()
        if watermark is not None:
            self.forget()

    def _rewalk(self, session: Session) -> None:
        late, session.late_from = session.late_from, None
        assert late is not None
        change = session.rewalk(self.rules.funnels, late)
        for journey in change.no_longer_ended:
            self._end(session, journey, sign=-1)
        for journey in change.ended:
            self._end(session, journey)
        for opening in change.no_longer_opened:
            self._put(self._journeys.opened(*opening), sign=-1)
        for opening in change.opened:
            self._put(self._journeys.opened(*opening))
        undone = could_have_ended(late, change, self.rules.funnels)
        segments = self.rules.segmenter.segments
        for dims, buckets in undone.places:
            for one in {segments(one): one for one in dims}.values():
                for bucket in buckets:
                    # An empty delta has the tile written again, with zeros where nothing is left.
                    self._add((one, bucket), {})
        for funnel, opened_by in undone.openings:
            if journey_key(funnel, opened_by) not in session.ended:
                phantom = Journey(funnel, opened_by, 0, RETRACTED, None, 0, None, None)
                self._changed[session.session_id, phantom.key] = phantom
        self._schedule(session)

    def _time_out(self, watermark_ms: int) -> None:
        # All of a second that the watermark has reached are looked at, at every batch until it has passed.
        reached = self._timers.slot_of(watermark_ms - 1) + _TIMER_SLOT_MS
        for session in self._timers.take(watermark_ms):
            if session.timer_ms < watermark_ms:
                session.timer_ms = NEVER_MS
                for journey in session.time_out(watermark_ms):
                    self._end(session, journey)
                self._schedule(session)
            elif session.timer_ms < reached:
                self._timers.add(session.timer_ms, session)

    def _fold(self) -> list[Tile]:
        """Add the batch's deltas to the tiles; gives every tile touched, whole."""
        touched: dict[tuple[str, int], Counters] = {}
        for (dims, bucket), delta in self._deltas.items():
            self.changed_minutes.add(bucket - bucket % MINUTE_MS)
            tiles = self.tiles.setdefault(bucket, {})
            for segment in self.rules.segmenter.segments(dims):
                counters = tiles.setdefault(segment, {})
                add(counters, delta)
                touched[segment, bucket] = counters
        return [Tile(segment, bucket, dict(c)) for (segment, bucket), c in touched.items()]

    def _row(self, key: tuple[str, JourneyKey], journey: Journey) -> JourneyRow:
        session_id, which = key
        now = self.sessions[session_id].ended.get(which)
        if now is None:
            now = Journey(
                journey.funnel,
                journey.opened_by,
                ended_ms=journey.opened_by.at_ms,
                outcome=RETRACTED,
                reason=None,
                value=0,
                last_step=None,
                customer_id=journey.opened_by.customer_id,
            )
        return JourneyRow(session_id, now)

    def adopt(self, session: Session) -> None:
        """Take a session as it was stored."""
        self.sessions[session.session_id] = session
        self._retention.add(session.last_ms + self.rules.funnels.longest_timeout_ms, session)
        self._schedule(session)

    def forget(self) -> None:
        """Drop sessions and tiles that no event within the allowed lateness can change."""
        funnels, retention, cutoff_ms = self.rules.funnels, self._retention, self._cutoff_ms
        passed_ms = retention.slot_of(cutoff_ms)
        for session in retention.take(passed_ms):
            due_ms = session.last_ms + funnels.longest_timeout_ms
            if due_ms >= passed_ms:
                session.trim(cutoff_ms, funnels)
                retention.add(due_ms, session)
            elif self.sessions.pop(session.session_id, None) is not None:
                self.shards.remove(session)
        # An ending is counted at the bucket of entry too, as long as it is no older than its timeout.
        oldest_ms = cutoff_ms - funnels.longest_timeout_ms
        for bucket in [b for b in self.tiles if b + BUCKET_MS <= oldest_ms]:
            del self.tiles[bucket]
            self.changed_minutes.add(bucket - bucket % MINUTE_MS)
        if len(self._places) > _MAX_PLACES:
            self._places.clear()
