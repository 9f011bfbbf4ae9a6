"""Phase one: one partition's log into journeys, tiles and dead letters.

Whatever is put out at the end of a batch is a function of the log up to there, not of how it was
cut into batches (laws 1 and 2). The state of a partition is this object and nothing else.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.sessions import codec, cuts
from pipeline.core.sessions.contributions import Contribution, JourneyCounters, Place, step_counter
from pipeline.core.sessions.engine import SessionEngine, by_column, new_engine
from pipeline.core.sessions.facts import SessionFacts
from pipeline.core.sessions.late import Rewalk, could_have_ended
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
    without_erased,
)
from pipeline.core.sessions.tile_book import TileBook
from pipeline.core.sessions.walk import RETRACTED, Journey, JourneyKey, journey_key
from pipeline.model.dimensions import STEP, Dims, Value
from pipeline.model.erasure import NONE, Erased
from pipeline.model.event_time import NEVER_MS, WATERMARK_DELAY_MS
from pipeline.model.moments import MomentFacts
from pipeline.model.named_together import that_tell
from pipeline.model.privacy import Pseudonyms
from pipeline.model.records import ClockRefusal, Record
from pipeline.model.rules import GENERATION_SHIFT, Rules
from pipeline.model.tiles import (
    FRICTION,
    FRICTION_TYPES,
    STEP_COUNTERS,
    Counters,
    add,
    bucket_of,
    survey_counters,
)
from schemas.decoding import decode
from schemas.reasons import Refusal

_NEVER: Final = -NEVER_MS


class Partition:
    """State of one touchpoint partition, and the step from one batch to the next."""

    def __init__(
        self,
        channel: str,
        rules: Rules,
        *,
        number: int = 0,
        partitions: int = 0,
        is_compiled: bool = True,
        erased: Erased = NONE,
    ) -> None:
        """``number``, ``partitions``: which of how many of its topic it is; 0: misplaced
        sessions are not counted.

        ``is_compiled``: False for the reference engine, also where the compiled one is there.
        """
        self.channel: Final = channel
        self.rules: Final = rules
        self._lateness_ms: Final = rules.lateness_of(channel)
        self.cutoff_ms = _NEVER
        """Events before it are too late."""
        self.accepted = 0
        """Events accepted so far."""
        self._is_compiled: Final = is_compiled
        self._pseudonym: Final = Pseudonyms(rules.customer_key).of if rules.customer_key else None
        self.erased = erased
        self.sessions = self._new_engine(erased)
        self.has_erased = False
        """Whether the next snapshot is to hold all there is of sessions."""
        self.gone: list[int] = []
        """Shards of sessions that were to be removed when it came to that."""
        self._number: Final = number
        self._partitions = partitions
        self.spread_over(partitions)
        self.book: Final = TileBook()
        self.facts: Final = SessionFacts(channel, rules.funnels.longest_timeout_ms, MomentFacts(rules.moments))
        self.refused: dict[int, ClockRefusal] = {}
        """Records to come that an earlier reading refused by its wall clock, by offset."""
        self._journeys = JourneyCounters(rules.funnels)
        # Of the batch under way:
        self._walked: dict[str, dict[JourneyKey, Journey]] = {}
        """Of sessions that were walked anew the journeys that have ended."""
        self._changed: dict[tuple[str, JourneyKey], Journey] = {}
        self._deltas: dict[Place, Counters] = {}
        self._steps: dict[tuple[Place, str, str], int] = {}
        """How many events: by place, type and step, of the types that are counted by step."""
        self._rewritten: list[tuple[set[Dims], set[int]]] = []
        """Tiles that are to be written again, whether or not anything in them has changed: dimensions, buckets."""

    @property
    def tiles(self) -> dict[int, dict[str, Counters]]:
        """By bucket and segment: all buckets that an accepted event could still change."""
        return self.book.tiles

    @property
    def latest_ms(self) -> int | None:
        """The latest time seen, of events and ticks; None before the first."""
        return None if self.sessions.latest_ms == _NEVER else self.sessions.latest_ms

    @property
    def reached_ms(self) -> int | None:
        """How far time has certainly come: the latest of all times seen, each no later than its record's own.

        One client's clock may be five minutes ahead. Others must not be taken for gone by it (decisions/0016).
        """
        return None if self.sessions.reached_ms == _NEVER else self.sessions.reached_ms

    @property
    def watermark_ms(self) -> int | None:
        """The time reached less the delay; None before the first event or tick."""
        reached_ms = self.reached_ms
        return None if reached_ms is None else reached_ms - WATERMARK_DELAY_MS

    def spread_over(self, partitions: int) -> None:
        """Its topic has so many partitions now."""
        self._partitions = partitions
        self.sessions.spread_over(self._number, partitions)

    def _new_engine(self, erased: Erased) -> SessionEngine:
        return new_engine(self.channel, self.rules, self._is_compiled, *erased.hiding(self._pseudonym))

    def erase(self, erased: Erased) -> None:
        """Keep nothing of who is erased, nor of what events yet to come say of them. To be called between batches.

        What is stored is taken back into an engine that knows of it, as after a restart.
        """
        before, self.erased = self.sessions, erased
        self.gone += [number for number, stored in before.take_changed() if not stored]
        self.sessions = engine = self._new_engine(erased)
        self.spread_over(self._partitions)
        engine.see(before.latest_ms, before.reached_ms)
        shards = {n: codec.erase(stored, self.channel, self.rules, erased) for n, stored in before.everything()}
        engine.restore(
            {n: stored for n, stored in shards.items() if stored}, before.reached_ms - WATERMARK_DELAY_MS
        )
        self.gone += [number for number, stored in shards.items() if not stored]
        self.facts.erase(erased, engine)
        self.has_erased = True

    def process(self, records: Sequence[Record], fetched_ms: int) -> Outputs:
        """Take a batch, and admit new values alone (``model.dimensions``)."""
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
        was_refused = self._was_refused(batch)
        while at < len(batch):
            if not was_refused:
                at = self.sessions.take(batch, at, latest_stamp)
                self.cutoff_ms = self.sessions.latest_ms - WATERMARK_DELAY_MS - self._lateness_ms
            if at < len(batch):
                self._take_record(batch[at], fetched_ms, out)
                at += 1
        if self.erased.marks and out.dead_letters:
            out.dead_letters = [without_erased(letter, self.erased) for letter in out.dead_letters]
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
        out.tiles = self.book.fold(self._deltas, self._rewritten, self.rules.segmenter, self.latest_ms or 0)
        out.journeys = [self._row(key, journey) for key, journey in self._changed.items()]
        self.facts.tell(self.sessions, out, self._walked)
        self._walked.clear()
        self._changed.clear()
        self._deltas.clear()
        self._rewritten.clear()
        if self.watermark_ms is not None:
            self.forget()
        out.observations = that_tell(self.sessions.take_observations())

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
        event = decode(record.value, self.rules.vocabulary)
        if isinstance(event, Refusal):
            out.dead_letters.append(dead_letter(record, fetched_ms, event, key))
            return
        at_ms = event.at_ms
        if (
            event.channel != self.channel
            or at_ms < self.cutoff_ms
            or not at_ms - FUTURE_MS <= (stamp_ms if stamp_ms >= 0 else fetched_ms) <= fetched_ms + FUTURE_MS
        ):
            limits = Limits(self.channel, fetched_ms, self.cutoff_ms, self._lateness_ms, key)
            out.dead_letters.append(refused(record, event, limits))
            return
        taken = self.sessions.offer(event)
        if taken is None:
            out.dead_letters.append(dead_letter(record, fetched_ms, too_far_back(self.rules.most_later), key))
        elif taken:
            if event.survey is not None:
                answer = survey_counters(event.survey, event.score_units, event.scale_units)
                self._add((event.dims, bucket_of(at_ms)), answer)
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
        """Have what the engine has taken of the batch."""
        engine = self.sessions
        if engine.accepted:
            out.accept(engine.newest_ms, engine.accepted)
        out.duplicates += engine.duplicates
        out.misplaced += engine.misplaced
        out.long_sessions = engine.take_long()
        engine.begin()
        for dims, bucket, counters in engine.take_counts():
            self._add((dims, bucket), counters)
        for (dims, bucket, kind, step), count in engine.take_details().items():
            self._count_details((dims, bucket), kind, step, count)

    def _count_details(self, place: Place, kind: str, step: str | None, count: int) -> None:
        if step is not None and kind in STEP_COUNTERS:
            key = place, kind, step
            self._steps[key] = self._steps.get(key, 0) + count
        if kind in FRICTION_TYPES:
            self._add(place, {FRICTION: count})

    def see(self, at_ms: int, reached_ms: int) -> None:
        """Let time go on to the latest one seen, and to how far it has certainly come."""
        self.sessions.see(at_ms, reached_ms)
        self.cutoff_ms = self.sessions.latest_ms - WATERMARK_DELAY_MS - self._lateness_ms

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
        self._settle_late()
        watermark = out.watermark_ms = self.watermark_ms
        if watermark is not None:
            self.sessions.time_out(watermark)
        self._take_ended()

    def _count_steps(self) -> None:
        values = self.rules.segmenter.values
        for (place, kind, step), count in self._steps.items():
            self._add(place, {step_counter(kind, values.of(STEP, step)): count})
        self._steps.clear()

    def _take_ended(self) -> None:
        """Count the journeys that have ended."""
        for session_id, journey in self.sessions.take_ended():
            if session_id in self._walked:
                self._walked[session_id][journey.key] = journey
            self._end(session_id, journey)

    def _settle_late(self) -> None:
        """Have the sessions walked anew that a late event has come to."""
        self._take_ended()  # some of them are about to be taken back
        for session_id, change, ended in self.sessions.settle_late():
            self._walked[session_id] = ended
            self._have_changed(session_id, change, ended)

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
            phantom = Journey(funnel, opened_by, 0, RETRACTED, None, 0, None, None, None)
            self._changed[session_id, key] = ended.get(key, phantom)

    def _row(self, key: tuple[str, JourneyKey], journey: Journey) -> JourneyRow:
        session_id, which = key
        ended = self._walked.get(session_id)
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
                visitor_id=journey.opened_by.visitor_id or None,  # NOBODY is none
            )
        return tuple.__new__(JourneyRow, (session_id, now))

    def end_catching_up(self) -> None:
        """All that a run that has crashed can have taken has been taken."""
        self.facts.is_catching_up = False

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between batches."""
        return cuts.snapshot(self)

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        cuts.restore(self, head, shards)

    def forget(self) -> None:
        """Drop sessions and tiles that no event within the allowed lateness can change."""
        funnels, cutoff_ms = self.rules.funnels, self.cutoff_ms
        self.sessions.forget()
        self.facts.forget(self.sessions)
        # An ending is counted at the bucket of entry too, as long as it is no older than its timeout.
        self.book.forget(cutoff_ms - funnels.longest_timeout_ms)
