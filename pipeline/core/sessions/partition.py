"""Phase one: one partition's log into journeys, tiles and dead letters.

Whatever is put out at the end of a batch is a function of the log up to there, not of how it was
cut into batches (laws 1 and 2). The state of a partition is this object and nothing else.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.core.cuts import MINUTE_MS, Cut, Head, Shards
from pipeline.core.sessions import cuts
from pipeline.core.sessions.contributions import Contribution, JourneyCounters, Place, step_counter
from pipeline.core.sessions.event_log import Entry, Names, names_of
from pipeline.core.sessions.lanes import by_column, new_lane
from pipeline.core.sessions.open_sessions import OpenSessions
from pipeline.core.sessions.outputs import JourneyRow, Outputs
from pipeline.core.sessions.refusals import (
    FUTURE_MS,
    Limits,
    dead_letter,
    is_tick_ahead,
    refused,
    refused_again,
    refused_tick,
    too_far_back,
)
from pipeline.core.sessions.session import Rewalk, Session, could_have_ended
from pipeline.core.sessions.walk import RETRACTED, Journey, JourneyKey, journey_key
from pipeline.model.dimensions import STEP, Dims, Value
from pipeline.model.event_time import NEVER_MS, WATERMARK_DELAY_MS
from pipeline.model.privacy import Pseudonyms
from pipeline.model.records import ClockRefusal, Record
from pipeline.model.rules import GENERATION_SHIFT, Rules
from pipeline.model.tiles import (
    BUCKET_MS,
    EVENTS,
    FRICTION,
    FRICTION_TYPES,
    STEP_COUNTERS,
    Counters,
    Tile,
    add,
    bucket_of,
    survey_counters,
)
from schemas.decoding import decode
from schemas.partitions import partition_of
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

    def __init__(
        self, channel: str, rules: Rules, *, number: int = 0, partitions: int = 0, with_lane: bool = True
    ) -> None:
        """``number``, ``partitions``: which of how many of its topic it is; 0 where nobody minds.

        ``with_lane``: whether events in order go through the fast lane, where there is one.
        """
        self.channel: Final = channel
        self.rules: Final = rules
        self._latest_ms = _NEVER
        self._reached_ms = _NEVER
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
        self._number: Final = number
        self._partitions = 0
        self.spread_over(partitions)
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
        self._steps: dict[tuple[Place, str, str], int] = {}
        """How many events: by place, type and step, of the types that are counted by step."""
        self._rewritten: list[tuple[set[Dims], set[int]]] = []
        """Tiles that are to be written again, whether or not anything in them has changed: dimensions, buckets."""

    @property
    def latest_ms(self) -> int | None:
        """The latest time seen, of events and ticks; None before the first."""
        return None if self._latest_ms == _NEVER else self._latest_ms

    @property
    def reached_ms(self) -> int | None:
        """How far time has certainly come: the latest of all times seen, each no later than its record's own.

        One client's clock may be five minutes ahead. Others must not be taken for gone by it (decisions/0016).
        """
        return None if self._reached_ms == _NEVER else self._reached_ms

    @property
    def watermark_ms(self) -> int | None:
        """The time reached less the delay; None before the first event or tick."""
        return None if self._reached_ms == _NEVER else self._watermark_ms

    def spread_over(self, partitions: int) -> None:
        """Its topic has so many partitions now."""
        self._partitions = partitions
        if self._lane is not None:
            self._lane.partition, self._lane.partitions = self._number, partitions

    def process(self, records: Sequence[Record], fetched_ms: int) -> Outputs:
        """Take a batch where nobody else has a say in which values are told apart (``core.values``)."""
        out = self.take(records, fetched_ms)
        self.rules.segmenter.values.admit(self.undecided())
        self.settle(out)
        return out

    def take(self, records: Sequence[Record], fetched_ms: int) -> Outputs:
        """Take consecutive records, oldest first, that were fetched at ``fetched_ms`` (wall clock).

        Nothing else may be asked of the state until what is ``undecided`` has been decided, and it is settled.
        """
        out = Outputs()
        at, batch, latest_stamp = 0, by_column(records), fetched_ms + FUTURE_MS
        lane = None if self._was_refused(batch) else self._lane
        while at < len(batch):
            if lane is not None:
                at = lane.take(batch, at, latest_stamp)
                self.see(lane.latest_ms, lane.reached_ms)
            if at < len(batch):
                self._take_record(batch[at], fetched_ms, out)
                at += 1
        self._take_over(out)
        self.accepted += out.accepted
        out.version = (self.rules.generation << GENERATION_SHIFT) + batch[-1].offset + 1
        self._walk(out)
        return out

    def undecided(self) -> list[Value]:
        """What must be decided of the batch taken before it can be settled, in an order of its own."""
        segmenter = self.rules.segmenter
        wanted = {pair for dims in {dims for dims, _ in self._deltas} for pair in segmenter.undecided(dims)}
        for dims, _ in self._rewritten:
            wanted.update(pair for one in dims for pair in segmenter.undecided(one))
        steps = {step for _, _, step in self._steps}
        wanted.update((STEP, step) for step in steps if not segmenter.values.is_decided(STEP, step))
        return sorted(wanted)

    def settle(self, out: Outputs) -> None:
        """Put into ``out`` all that the batch has changed, each row once, as it stands after the last record."""
        self._count_steps()
        out.tiles = self._fold()
        out.journeys = [self._row(key, journey) for key, journey in self._changed.items()]
        self._late.clear()
        self._walked.clear()
        self._changed.clear()
        self._deltas.clear()
        self._rewritten.clear()
        for session_id in out.long_sessions:
            self.sessions.objects[session_id].shorten(self.rules.most_later, self.rules.funnels)
        watermark = self.watermark_ms
        self.sessions.settle(watermark)
        if watermark is not None:
            self.forget()

    def _was_refused(self, batch: Sequence[Record]) -> bool:
        """Whether an earlier reading refused any of these records; what it refused before them comes no more."""
        if self.refused:
            first = batch[0].offset
            self.refused = {offset: letter for offset, letter in self.refused.items() if offset >= first}
        return any(offset <= batch[-1].offset for offset in self.refused)

    def _take_record(self, record: Record, fetched_ms: int, out: Outputs) -> None:
        """Take any record."""
        key, stamp_ms = self.rules.customer_key, record.timestamp_ms
        before = self.refused.pop(record.offset, None)
        if before is not None and (letter := refused_again(record, before, key)):
            out.dead_letters.append(letter)
            return
        if record.tick_ms is not None:
            self._take_tick(record, record.tick_ms, fetched_ms, out)
            return
        event = decode(record.value)
        if isinstance(event, Refusal):
            out.dead_letters.append(dead_letter(record, fetched_ms, event, key))
            return
        at_ms = event.at_ms
        if (
            event.channel != self.channel
            or at_ms < self._cutoff_ms
            or not at_ms - FUTURE_MS <= (stamp_ms if stamp_ms >= 0 else fetched_ms) <= fetched_ms + FUTURE_MS
        ):
            limits = Limits(self.channel, fetched_ms, self._cutoff_ms, self.rules.lateness_ms, key)
            out.dead_letters.append(refused(record, event, limits))
            return
        taken = None if self._lane is None else self._lane.offer(event)
        if taken is None:
            taken = self._take(event, at_ms, out)
            if taken is None:
                out.dead_letters.append(dead_letter(record, fetched_ms, too_far_back(self.rules.most_later), key))
        elif taken and event.survey is not None:
            place = (self.channel, event.store_id, event.region, event.device, event.campaign), bucket_of(at_ms)
            self._add(place, survey_counters(event.survey, event.score_units, event.scale_units))
        if taken:
            self.see(at_ms, at_ms if stamp_ms < 0 else min(at_ms, stamp_ms))

    def _take_tick(self, record: Record, tick_ms: int, fetched_ms: int, out: Outputs) -> None:
        if is_tick_ahead(record, fetched_ms):
            out.refused_ticks += 1
            if letter := refused_tick(record, fetched_ms, self.rules.customer_key):
                out.dead_letters.append(letter)
            return
        self.see(tick_ms, tick_ms if record.timestamp_ms < 0 else min(tick_ms, record.timestamp_ms))
        out.ticks += 1

    def _take_over(self, out: Outputs) -> None:
        """Have what the lane has taken of the batch."""
        lane = self._lane
        if lane is None:
            return
        if lane.accepted:
            out.accept(lane.newest_ms, lane.accepted)
        out.duplicates += lane.duplicates
        out.misplaced += lane.misplaced
        lane.begin()
        for dims, bucket, counters in lane.take_counts():
            self._add((dims, bucket), counters)
        for (dims, bucket, kind, step), count in lane.take_details().items():
            self._count_details((dims, bucket), kind, step, count)

    def _take(self, event: Touchpoint, at_ms: int, out: Outputs) -> bool | None:
        """Let a valid event change the state; False where it is a duplicate, None where its session is past it."""
        self._note_place(event.session_id, out)
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
        elif session.is_settled_at(entry, self.rules.most_later):
            return None
        elif session.insert(entry):
            self._late[session.session_id] = session
        else:
            out.duplicates += 1
            return False
        self.sessions.touch(session)
        if session.count > self.rules.most_later:
            out.long_sessions[session.session_id] = session.count
        self._count(event, place)
        out.accept(at_ms)
        return True

    def _note_place(self, session_id: str, out: Outputs) -> None:
        if self._partitions:
            out.misplaced += partition_of(session_id, self._partitions) != self._number

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
            key = place, kind, step
            self._steps[key] = self._steps.get(key, 0) + count
        if kind in FRICTION_TYPES:
            self._add(place, {FRICTION: count})

    def see(self, at_ms: int, reached_ms: int) -> None:
        """Let time go on to the latest one seen, and to how far it has certainly come."""
        if at_ms > self._latest_ms:
            self._latest_ms = at_ms
            self._cutoff_ms = at_ms - WATERMARK_DELAY_MS - self.rules.lateness_ms
        if reached_ms > self._reached_ms:
            self._reached_ms = reached_ms
            self._watermark_ms = reached_ms - WATERMARK_DELAY_MS
        if self._lane is not None:
            self._lane.see(at_ms, reached_ms)

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

    def _walk(self, out: Outputs) -> None:
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

    def _count_steps(self) -> None:
        values = self.rules.segmenter.values
        for (place, kind, step), count in self._steps.items():
            self._add(place, {step_counter(kind, values.of(STEP, step)): count})
        self._steps.clear()

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
        self._rewritten += undone.places
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
        segments = self.rules.segmenter.segments
        for (dims, bucket), delta in self._deltas.items():
            self._fold_in(bucket, segments(dims), delta, touched)
        nothing, latest_ms = Counters(), self.latest_ms or 0
        for some, buckets in self._rewritten:
            for each in {segments(one) for one in some}:
                for bucket in buckets:
                    # Of a time that this log has not come to nothing can have been told. Timeouts lie there.
                    if bucket <= latest_ms:
                        self._fold_in(bucket, each, nothing, touched)
        # The constructor that a NamedTuple has for itself is Python.
        return [tuple.__new__(Tile, (segment, bucket, dict(c))) for (segment, bucket), c in touched.items()]

    def _fold_in(
        self, bucket: int, segments: tuple[str, ...], delta: Counters, touched: dict[tuple[str, int], Counters]
    ) -> None:
        """Add to the tiles of a bucket. Where nothing is left of one it is written with zeros."""
        self.changed_minutes.add(bucket - bucket % MINUTE_MS)
        tiles = self.tiles.setdefault(bucket, {})
        for segment in segments:
            counters = tiles.setdefault(segment, {})
            add(counters, delta)
            touched[segment, bucket] = counters

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

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between batches."""
        return cuts.snapshot(self)

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        cuts.restore(self, head, shards)

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
