"""Phase one: one partition's log into journeys, tiles and dead letters.

Whatever is put out at the end of a batch is a function of the log up to there, not of how it was
cut into batches (laws 1 and 2). The state of a partition is this object and nothing else.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.core.contributions import Contribution, JourneyCounters, Place, step_counters
from pipeline.core.cuts import MINUTE_MS
from pipeline.core.event_log import Dims, Entry, Names, names_of
from pipeline.core.funnels import (
    NEVER_MS,
    RETRACTED,
    Journey,
    JourneyKey,
    journey_key,
)
from pipeline.core.lanes import WATERMARK_DELAY_MS, by_column, new_lane
from pipeline.core.open_sessions import OpenSessions
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
from pipeline.core.session import Rewalk, Session, could_have_ended
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

_NEVER: Final = -NEVER_MS
_MAX_PLACES: Final = 100_000


class Spot:
    """Where events happen: one combination of dimensions, and the batch's events there by bucket."""

    __slots__ = ("counts", "dims", "names")

    def __init__(self, dims: Dims) -> None:
        self.dims = dims
        self.names: Names = names_of(dims)
        self.counts: dict[int, int] = {}


class Partition:
    """State of one touchpoint partition, and the step from one batch to the next."""

    def __init__(self, channel: str, rules: Rules, *, with_lane: bool = True) -> None:
        """``with_lane``: whether events in order go through the fast lane, where there is one."""
        self.channel: Final = channel
        self.rules: Final = rules
        self._latest_ms = _NEVER
        self._watermark_ms = _NEVER
        self._cutoff_ms = _NEVER
        """Events before it are too late."""
        self.accepted = 0
        """Events accepted so far."""
        self._pseudonyms = Pseudonyms(rules.customer_key) if rules.customer_key else None
        pseudonym = None if self._pseudonyms is None else self._pseudonyms.of
        lane = (
            new_lane(channel, rules.funnels, rules.currency, pseudonym, rules.lateness_ms) if with_lane else None
        )
        self.sessions: Final = OpenSessions(channel, rules.funnels, lane)
        self._lane: Final = lane
        self.tiles: dict[int, dict[str, Counters]] = {}
        """By bucket and segment: all buckets that an accepted event could still change."""
        self.changed_minutes: set[int] = set()
        """Minutes of event time whose tiles have changed since the last cut, by their start."""
        self.refused: dict[int, ClockRefusal] = {}
        """Records to come that an earlier reading refused by its wall clock, by offset."""
        self._journeys = JourneyCounters(rules.funnels)
        self._places: dict[Dims, Spot] = {}
        # Of the batch under way:
        self._late: dict[str, Session] = {}
        self._walked: dict[str, dict[JourneyKey, Journey]] = {}
        """Of sessions that the lane has walked anew the journeys that have ended."""
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
        at, batch, latest_stamp = 0, by_column(records), fetched_ms + FUTURE_MS
        lane = None if self._was_refused(batch) else self._lane
        while at < len(batch):
            if lane is not None:
                at = lane.take(batch, at, latest_stamp)
                self.see(lane.latest_ms)
            if at < len(batch):
                self._take_record(batch[at], fetched_ms, out)
                at += 1
        self._take_over(out)
        self.accepted += out.accepted
        out.version = (self.rules.generation << GENERATION_SHIFT) + batch[-1].offset + 1
        self._settle(out)
        return out

    def _was_refused(self, batch: Sequence[Record]) -> bool:
        """Whether an earlier reading refused any of these records; what it refused before them comes no more."""
        if self.refused:
            first = batch[0].offset
            self.refused = {offset: letter for offset, letter in self.refused.items() if offset >= first}
        return any(offset <= batch[-1].offset for offset in self.refused)

    def _take_record(self, record: Record, fetched_ms: int, out: Outputs) -> None:
        """Take any record."""
        key, stamp_ms, tick_ms = self.rules.customer_key, record.timestamp_ms, record.tick_ms
        if tick_ms is not None:
            self.see(tick_ms)
            out.ticks += 1
            return
        before = self.refused.pop(record.offset, None)
        if before is not None and (letter := refused_again(record, before, key)):
            out.dead_letters.append(letter)
            return
        event = decode(record.value)
        if isinstance(event, Refusal):
            out.dead_letters.append(dead_letter(record, fetched_ms, event, key))
            return
        at_ms = event.at_ms
        if (
            event.channel != self.channel
            or at_ms < self._cutoff_ms
            or (stamp_ms >= 0 and not at_ms - FUTURE_MS <= stamp_ms <= fetched_ms + FUTURE_MS)
        ):
            limits = Limits(self.channel, fetched_ms, self._cutoff_ms, self.rules.lateness_ms, key)
            out.dead_letters.append(refused(record, event, limits))
            return
        taken = None if self._lane is None else self._lane.offer(event)
        if taken is None and self._take(event, at_ms):
            out.accept(at_ms)
        elif taken is None:
            out.duplicates += 1
        elif taken and event.survey is not None:
            place = (self.channel, event.store_id, event.region, event.device, event.campaign), bucket_of(at_ms)
            self._add(place, survey_counters(event.survey, event.score_units, event.scale_units))
        self.see(at_ms)

    def _take_over(self, out: Outputs) -> None:
        """Have what the lane has taken of the batch."""
        lane = self._lane
        if lane is None:
            return
        if lane.accepted:
            out.accept(lane.newest_ms, lane.accepted)
        out.duplicates += lane.duplicates
        lane.begin()
        for dims, bucket, counters in lane.take_counts():
            self._add((dims, bucket), counters)
        for (dims, bucket, kind, step), count in lane.take_details().items():
            self._count_details((dims, bucket), kind, step, count)

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
            session = self.sessions.new(event.session_id, at_ms, place.names)
        if session.late_from is not None:
            self._late[session.session_id] = session  # it may have been the lane's until now
        if session.takes_in_order(at_ms, self._watermark_ms):
            self._append(session, entry)
        elif session.insert(entry):
            self._late[session.session_id] = session
        else:
            return False
        self.sessions.touch(session)
        self._count(event, place)
        return True

    def _append(self, session: Session, entry: Entry) -> None:
        ended: list[Journey] = []
        opened = session.append(entry, self.rules.funnels, ended)
        for journey in ended:
            self._end(session.session_id, journey)
        for funnel in opened:
            self._put(self._journeys.opened(funnel, entry))
        walk = session.walk
        if walk.open and walk.last_ms + walk.shortest_ms < session.timer_ms:
            self.sessions.schedule(session)

    def _count(self, event: Touchpoint, place: Spot) -> None:
        counts = place.counts
        bucket = bucket_of(event.at_ms)
        counts[bucket] = counts.get(bucket, 0) + 1
        self._count_details((place.dims, bucket), event.type, event.step)
        if event.survey is not None:
            answer = survey_counters(event.survey, event.score_units, event.scale_units)
            self._add((place.dims, bucket), answer)

    def _count_details(self, place: Place, kind: str, step: str | None, count: int = 1) -> None:
        if step is not None and kind in STEP_COUNTERS:
            self._add(place, step_counters(kind, step, self.rules.known_steps), count)
        if kind in FRICTION_TYPES:
            self._add(place, {FRICTION: count})

    def see(self, at_ms: int) -> None:
        """Let time go on to the latest one seen."""
        if at_ms > self._latest_ms:
            self._latest_ms = at_ms
            self._watermark_ms = at_ms - WATERMARK_DELAY_MS
            self._cutoff_ms = self._watermark_ms - self.rules.lateness_ms
            if self._lane is not None:
                self._lane.see(at_ms)

    def _add(self, place: Place, counters: Counters, times: int = 1) -> None:
        delta = self._deltas.get(place)
        if delta is None:
            delta = self._deltas[place] = {}
        add(delta, counters, times)

    def _put(self, contribution: Contribution, sign: int = 1) -> None:
        place, counters = contribution
        self._add(place, counters, sign)

    def _end(self, session_id: str, journey: Journey, sign: int = 1) -> None:
        """Count a journey as ended (or, with sign -1, as no longer so) and have it written."""
        self._changed[session_id, journey.key] = journey
        for contribution in self._journeys.ended(journey):
            self._put(contribution, sign)

    # --- the end of a batch ---------------------------------------------------------------------

    def _settle(self, out: Outputs) -> None:
        for session in self._late.values():
            self._rewalk(session)
        self._settle_late()
        watermark = out.watermark_ms = self.watermark_ms
        if watermark is not None:
            self._time_out(watermark)
        self._take_ended()
        for place in self._places.values():
            for bucket, count in place.counts.items():
                self._add((place.dims, bucket), {EVENTS: count})
            place.counts.clear()
        out.tiles = self._fold()
        out.journeys = [self._row(key, journey) for key, journey in self._changed.items()]
        self._late.clear()
        self._walked.clear()
        self._changed.clear()
        self._deltas.clear()
        self.sessions.settle(watermark)
        if watermark is not None:
            self.forget()

    def _take_ended(self) -> None:
        """Count the journeys that have ended in the lane."""
        for session_id, journey in () if self._lane is None else self._lane.take_ended():
            if session_id in self._walked:
                self._walked[session_id][journey.key] = journey
            self._end(session_id, journey)

    def _settle_late(self) -> None:
        """Have the lane's sessions walked anew that a late event has come to."""
        if self._lane is None:
            return
        self._take_ended()  # some of them are about to be taken back
        for session_id, change, ended in self._lane.settle_late():
            self._walked[session_id] = ended
            self._have_changed(session_id, change, ended)

    def _rewalk(self, session: Session) -> None:
        late, session.late_from = session.late_from, None
        assert late is not None
        self._have_changed(session.session_id, session.rewalk(self.rules.funnels, late), session.ended)
        self.sessions.schedule(session)

    def _have_changed(self, session_id: str, change: Rewalk, ended: dict[JourneyKey, Journey]) -> None:
        """Write what a late event has changed; ``ended``: the session's journeys that have ended now."""
        for journey in change.no_longer_ended:
            self._end(session_id, journey, sign=-1)
        for journey in change.ended:
            self._end(session_id, journey)
        for opening in change.no_longer_opened:
            self._put(self._journeys.opened(*opening), sign=-1)
        for opening in change.opened:
            self._put(self._journeys.opened(*opening))
        undone = could_have_ended(change, self.rules.funnels)
        segments = self.rules.segmenter.segments
        for dims, buckets in undone.places:
            for one in {segments(one): one for one in dims}.values():
                for bucket in buckets:
                    # An empty delta has the tile written again, with zeros where nothing is left.
                    self._add((one, bucket), {})
        for funnel, opened_by in undone.openings:
            # One that has not changed is written again all the same: seen from between two late events it was
            # another, or none.
            key = journey_key(funnel, opened_by)
            phantom = Journey(funnel, opened_by, 0, RETRACTED, None, 0, None, None)
            self._changed[session_id, key] = ended.get(key, phantom)

    def _time_out(self, watermark_ms: int) -> None:
        for session, journey in self.sessions.time_out(watermark_ms):
            self._end(session.session_id, journey)
        if self._lane is not None:
            self._lane.time_out(watermark_ms)

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
        # The constructor that a NamedTuple has for itself is Python.
        return [tuple.__new__(Tile, (segment, bucket, dict(c))) for (segment, bucket), c in touched.items()]

    def _row(self, key: tuple[str, JourneyKey], journey: Journey) -> JourneyRow:
        session_id, which = key
        session = self.sessions.objects.get(session_id)
        ended = self._walked.get(session_id) if session is None else session.ended
        now = journey if ended is None else ended.get(which)
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
        return tuple.__new__(JourneyRow, (session_id, now))

    def forget(self) -> None:
        """Drop sessions and tiles that no event within the allowed lateness can change."""
        funnels, cutoff_ms = self.rules.funnels, self._cutoff_ms
        self.sessions.forget(cutoff_ms)
        # An ending is counted at the bucket of entry too, as long as it is no older than its timeout.
        oldest_ms = cutoff_ms - funnels.longest_timeout_ms
        for bucket in [b for b in self.tiles if b + BUCKET_MS <= oldest_ms]:
            del self.tiles[bucket]
            self.changed_minutes.add(bucket - bucket % MINUTE_MS)
        if len(self._places) > _MAX_PLACES:
            self._places.clear()
