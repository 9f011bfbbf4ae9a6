# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled session engine (implements ``pipeline.core.sessions.engine.SessionEngine``).

What is done here is what ``pipeline.core.sessions.reference`` does, and is held to it by property tests over whole
streams. A record that is refused, or written in a way that is rare, is left to be decoded and offered.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.sessions.native.ahead cimport Ahead
from pipeline.core.sessions.native.bases cimport Base, Bases
from pipeline.core.sessions.native.block cimport MOST_STEPS, NONE, WHERE_BYTES, Event, Open, Session, event_at, is_event, is_text, make_room, session_id, text_at, where_of
from pipeline.core.sessions.native.columns cimport RecordColumns
from pipeline.core.sessions.native.folding cimport fold
from pipeline.core.sessions.native.late cimport DUPLICATE, TAKEN, TOO_FAR_BACK, LateSessions, Outcome
from pipeline.core.sessions.native.places cimport Place, Places
from pipeline.core.sessions.native.scan cimport NO_AMOUNT, Text, Touch, is_nobody
from pipeline.core.sessions.native.sessions cimport PER_SHARD, Handle, Handles, Sessions, TimerWheel, hash_of
from pipeline.core.sessions.native.texts cimport str_of, text_of
from pipeline.core.sessions.native.walks cimport Walks
from pipeline.core.sessions.native.words cimport OWN_DIMENSIONS, TYPES, Words, type_of

from pipeline.core.sessions.facts import FactEvent, answered
from pipeline.core.sessions.refusals import FUTURE_MS
from pipeline.core.sessions.visits import Named
from pipeline.model.ages import AgeCounters
from pipeline.model.event_time import NEVER_MS, WATERMARK_DELAY_MS
from pipeline.model.facts import FACT_TYPES
from pipeline.model.moments import MomentFacts
from pipeline.model.tiles import EVENTS, FRICTION_TYPES, STEP_COUNTERS
from schemas.events import EVENT_TYPES
from schemas.facts import Observation

cdef enum:
    WORTH_TRIMMING = 512  # bytes of a session's block

cdef packed struct Sizes:  # of a stored session (``codec``)
    uint32_t size
    uint16_t id_size
    uint16_t opens

cdef packed struct Folded:  # of one with a base, behind the sizes
    int64_t last_ms
    uint32_t start

cdef int64_t _never = NEVER_MS
cdef int64_t _future = FUTURE_MS
cdef bint _is_friction[TYPES]  # the contract's types come first in any vocabulary
cdef bint _is_step[TYPES]
for _code, _kind in enumerate(EVENT_TYPES):
    _is_friction[_code], _is_step[_code] = _kind in FRICTION_TYPES, _kind in STEP_COUNTERS
cdef object _new = tuple.__new__


cdef class NativeEngine:
    """The sessions of one partition, packed, and what a batch adds to their counts and journeys."""

    cdef Sessions _sessions
    cdef Ahead _ahead
    cdef TimerWheel _timers
    cdef TimerWheel _retention
    cdef Places _places
    cdef Walks _walks
    cdef Words _words
    cdef Bases _bases
    cdef LateSessions _late
    cdef bytes _channel
    cdef bytes _currency
    cdef object _hide_customer
    cdef object _hide_visitor
    cdef dict _details
    cdef dict _counts   # by handle, how many events a long session has
    cdef dict _long     # of the batch, by id
    cdef bint _is_fact[TYPES]
    cdef list _facts
    cdef list _named
    cdef list _folded
    cdef list _gone
    cdef set _to_watch
    cdef list _observations
    cdef int64_t _delay_ms
    cdef int64_t _lateness_ms
    cdef Py_ssize_t _most_later
    cdef readonly int64_t latest_ms
    cdef readonly int64_t reached_ms
    cdef int64_t _watermark_ms
    cdef int64_t _cutoff_ms
    cdef readonly int64_t newest_ms
    cdef readonly Py_ssize_t accepted
    cdef readonly Py_ssize_t duplicates
    cdef readonly Py_ssize_t misplaced
    cdef uint32_t _partition
    cdef uint32_t _partitions

    def __init__(self, str channel, rules, hide_customer, hide_visitor):
        """As ``new_engine``. Raises ValueError: more than fits."""
        opened = [AgeCounters.of(funnel.name, funnel.timeout_ms).opened for funnel in rules.funnels.all]
        self._channel, self._currency = channel.encode(), rules.currency.encode()
        self._hide_customer, self._hide_visitor = hide_customer, hide_visitor
        self._delay_ms, self._lateness_ms, self._most_later = WATERMARK_DELAY_MS, rules.lateness_of(channel), rules.most_later
        self._places = Places(channel, (EVENTS, *opened))
        self._words = Words(rules.vocabulary)
        self._walks = Walks(rules.funnels, channel, self._words, self._places)
        self._sessions, self._timers, self._retention = Sessions(), TimerWheel(1_000), TimerWheel(60_000)
        self._ahead, self._bases = Ahead(self._sessions, self._words), Bases()
        self._late = LateSessions(self._sessions, self._walks, self._bases, self._most_later)
        self.latest_ms = self.reached_ms = self._watermark_ms = self._cutoff_ms = -_never
        self._details, self._counts, self._long = {}, {}, {}
        self._facts, self._named, self._folded, self._gone, self._observations = [], [], [], [], []
        self._to_watch = set()
        for code, kind in enumerate(self._words.types):
            self._is_fact[code] = kind in FACT_TYPES or kind in MomentFacts(rules.moments).types
        self.begin()

    def spread_over(self, uint32_t number, uint32_t partitions):
        self._partition, self._partitions = number, partitions

    def __len__(self):
        return self._sessions.alive

    # --- a batch --------------------------------------------------------------------------------

    def begin(self):
        self.accepted = self.duplicates = self.misplaced = 0
        self._ahead.forget()
        self.newest_ms = -_never

    cpdef see(self, int64_t at_ms, int64_t reached_ms):
        if at_ms > self.latest_ms:
            self.latest_ms = at_ms
            self._cutoff_ms = at_ms - self._delay_ms - self._lateness_ms
        if reached_ms > self.reached_ms:
            self.reached_ms = reached_ms
            self._watermark_ms = reached_ms - self._delay_ms

    def take(self, RecordColumns records not None, Py_ssize_t at, int64_t latest_stamp_ms):
        cdef Touch *touch
        cdef int64_t stamp_ms
        cdef Outcome outcome
        while at < len(records.values):
            touch = self._ahead.event(records, at)
            if touch == NULL:
                break
            stamp_ms = records.stamps[at]
            if touch.at_ms < self._cutoff_ms:
                break
            if touch.at_ms > latest_stamp_ms if stamp_ms < 0 else not touch.at_ms - _future <= stamp_ms <= latest_stamp_ms:
                break
            if not self._is_here(touch.channel):
                break
            outcome = self._take(touch)
            if outcome == TOO_FAR_BACK:
                break
            if outcome == TAKEN:
                self.see(touch.at_ms, touch.at_ms if stamp_ms < 0 else min(touch.at_ms, stamp_ms))
            at += 1
        return at

    def offer(self, event):
        cdef Touch touch
        cdef int at
        cdef Outcome outcome
        memset(&touch, 0, sizeof(Touch))
        touch.at_ms, touch.amount = event.at_ms, NO_AMOUNT
        touch.event_id, touch.session_id = text_of(event.event_id), text_of(event.session_id)
        touch.channel, touch.hashed = text_of(event.channel), hash_of(touch.session_id)
        touch.type = type_of(&self._words.known, text_of(event.type).at, text_of(event.type).size)
        touch.customer, touch.currency, touch.step = text_of(event.customer_id), text_of(event.currency), text_of(event.step)
        touch.visitor, touch.order = text_of(event.visitor_id), text_of(event.order_id)
        touch.where[0], touch.where[1] = text_of(event.store_id), text_of(event.region)
        touch.where[2], touch.where[3] = text_of(event.device), text_of(event.campaign)
        for at, value in enumerate(event.further):
            touch.where[<int>OWN_DIMENSIONS + at] = text_of(value)
        if event.amount is not None:
            touch.amount = event.amount
        outcome = self._take(&touch)
        if outcome == TAKEN and event.survey is not None and self._is_fact[touch.type] and not is_nobody(touch.visitor):
            self._facts.append(_new(FactEvent, (*self._facts.pop()[:8], *answered(event))))
        return None if outcome == TOO_FAR_BACK else outcome == TAKEN

    cdef bint _is_here(self, Text channel) noexcept:
        return channel.size == PyBytes_GET_SIZE(self._channel) and (
            memcmp(channel.at, PyBytes_AS_STRING(self._channel), channel.size) == 0
        )

    cdef Outcome _take(self, Touch *touch) except *:
        cdef Handle handle = 0
        cdef Session *session
        cdef char where_bytes[WHERE_BYTES]
        cdef Text where
        cdef uint64_t opened = 0
        cdef Outcome outcome
        cdef bint is_late = False
        cdef uint32_t before_customer, before_visitor
        cdef object customer, visitor  # as long as their texts are read
        if touch.currency.at != NULL and not self._is_ours(touch.currency):
            touch.amount = NO_AMOUNT
        if self._hide_customer is not None and touch.customer.at != NULL:
            customer = self._hide_customer(str_of(touch.customer))
            touch.customer = text_of(customer)
        if self._hide_visitor is not None and touch.visitor.at != NULL and not is_nobody(touch.visitor):
            visitor = self._hide_visitor(str_of(touch.visitor))
            touch.visitor = text_of(visitor)
        where.at, where.size = where_bytes, where_of(touch, self._words.known.dimensions, where_bytes)
        session = self._sessions.find(touch.session_id, touch.hashed, &handle)
        if session == NULL:
            session = self._sessions.add(touch.session_id, touch.hashed, &handle)
            session.timer_ms, session.is_misplaced = _never, self._is_misplaced(touch.session_id)
            if self._to_watch and str_of(touch.session_id) in self._to_watch:
                self._to_watch.remove(str_of(touch.session_id))
                session.is_watched = True
            self._retention.add(touch.at_ms + self._walks.longest_ms, handle)
        before_customer, before_visitor = session.customer, session.visitor
        if touch.at_ms <= session.last_ms or session.last_ms + self._walks.shortest(session) < self._watermark_ms:
            outcome = self._late.take(session, handle, touch, where)
            if outcome != TAKEN:
                if outcome == DUPLICATE:
                    self.duplicates += 1
                    self.misplaced += session.is_misplaced
                return outcome
            is_late = True
        elif session.is_late:
            self._late.append(session, handle, touch, where)
        else:
            self._append(session, handle, touch, where, &opened)
        self.misplaced += session.is_misplaced
        if (session.size + self._late.bytes_waiting(session, handle)) // sizeof(Event) > <size_t>self._most_later:
            self._note_length(session, handle)
        self._sessions.touch(handle)
        if session.customer != before_customer or session.visitor != before_visitor:
            session.is_observed = False
        if touch.customer.at != NULL or touch.visitor.at != NULL:
            self._note_names(session, touch, is_late)
        if self._is_fact[touch.type] and not is_nobody(touch.visitor):
            self._note_fact(touch, where)
        self._count(touch, where, opened)
        self.accepted += 1
        self.newest_ms = max(self.newest_ms, touch.at_ms)
        return TAKEN

    cdef int _note_length(self, Session *session, Handle handle) except -1:
        """Count the events of a session that may have more than are kept."""
        cdef uint32_t position = self._bases.start(session, handle)
        cdef object count = self._counts.get(handle)
        if count is None:
            count = self._late.waiting(handle) if session.is_late else 0
            while position < session.size:
                position += event_at(session, position).size
                count += 1
        else:
            count += 1
        self._counts[handle] = count
        if count > self._most_later:
            self._long[str_of(session_id(session))] = count
        return 0

    cdef bint _is_misplaced(self, Text session_id) noexcept:
        return self._partitions > 0 and _murmur2(session_id) % self._partitions != self._partition

    cdef bint _is_ours(self, Text currency) noexcept:
        return currency.size == PyBytes_GET_SIZE(self._currency) and (
            memcmp(currency.at, PyBytes_AS_STRING(self._currency), currency.size) == 0
        )

    cdef int _append(self, Session *session, Handle handle, Touch *touch, Text where, uint64_t *opened) except -1:
        """Let the session's next event advance its walk, and look at it in time."""
        cdef int64_t deadline_ms
        self._walks.advance(session, touch, where, opened)
        if session.opens:
            deadline_ms = session.last_ms + self._walks.shortest(session)
            if deadline_ms < session.timer_ms:
                session.timer_ms = deadline_ms
                self._timers.add(deadline_ms, handle)
        return 0

    # --- who it was -----------------------------------------------------------------------------

    cdef int _note_names(self, Session *session, Touch *touch, bint is_late) except -1:
        """Take note of an event that names somebody."""
        if session.is_watched:
            self._named.append(str_of(touch.session_id))
        if touch.customer.at == NULL or touch.visitor.at == NULL or (session.is_observed and not is_late):
            return 0
        if not is_late:
            session.is_observed = True
        self._observations.append(Observation(str_of(touch.visitor), str_of(touch.customer), touch.at_ms))
        return 0

    cdef int _note_fact(self, Touch *touch, Text where) except -1:
        amount = None if touch.amount == NO_AMOUNT else touch.amount
        texts = str_of(touch.session_id), touch.at_ms, str_of(touch.event_id), self._words.types[touch.type]
        what = amount, str_of(touch.order), str_of(touch.step), self._places.at(where).dims
        self._facts.append(_new(FactEvent, (*texts, *what, None, None)))
        return 0

    cdef int _observe_last(self, Session *session, uint32_t position, uint32_t until) except -1:
        """Take note of the last of events that are let go and that name the same two."""
        cdef Event *event
        cdef Event *last = NULL
        if session.customer == NONE or session.visitor == NONE:
            return 0
        while position < until:
            event = event_at(session, position)
            if event.customer != NONE and event.visitor != NONE:
                if last != NULL and not (
                    _is_same(session, last.customer, event.customer) and _is_same(session, last.visitor, event.visitor)
                ):
                    self._observe(session, last)
                last = event
            position += event.size
        return 0 if last == NULL else self._observe(session, last)

    cdef int _observe(self, Session *session, Event *event) except -1:
        who = str_of(text_at(session, event.visitor)), str_of(text_at(session, event.customer))
        self._observations.append(Observation(*who, event.at_ms))
        return 0

    cdef list _names_in(self, Session *session, uint32_t position, uint32_t until):
        """As ``visits.named`` puts them together."""
        cdef list found = []
        cdef Event *event
        cdef Event *first = NULL
        cdef Event *last = NULL
        while position < until:
            event = event_at(session, position)
            if last != NULL and not (
                event.at_ms - last.at_ms <= self._walks.longest_ms
                and _is_same(session, last.customer, event.customer)
                and _is_same(session, last.visitor, event.visitor)
            ):
                found.append(_named(session, first, last))
                first = event
            first = event if first == NULL else first
            last = event
            position += event.size
        if last != NULL:
            found.append(_named(session, first, last))
        return found

    def who(self, session_id):
        cdef Handle handle = 0
        cdef Text text = text_of(session_id)
        cdef Session *session = self._sessions.find(text, hash_of(text), &handle)
        return [] if session == NULL else self._names_in(session, self._bases.start(session, handle), session.size)

    def watch(self, session_id):
        cdef Handle handle = 0
        cdef Text text = text_of(session_id)
        cdef Session *session = self._sessions.find(text, hash_of(text), &handle)
        if session != NULL:
            session.is_watched = True
        else:
            self._to_watch.add(session_id)

    def take_facts(self):
        taken, self._facts = self._facts, []
        return taken

    def take_named(self):
        taken, self._named = self._named, []
        return taken

    def take_folded(self):
        taken, self._folded = self._folded, []
        return taken

    def take_gone(self):
        taken, self._gone = self._gone, []
        return taken

    def take_observations(self):
        taken, self._observations = self._observations, []
        return taken

    # --- what is counted ------------------------------------------------------------------------

    cdef int _count(self, Touch *touch, Text where, uint64_t opened) except -1:
        cdef Place place = self._places.at(where)
        cdef int64_t bucket = self._places.count(place, touch.at_ms, opened)
        if _is_friction[touch.type] or (_is_step[touch.type] and touch.step.at != NULL):
            key = (place.dims, bucket, self._words.types[touch.type], str_of(touch.step))
            self._details[key] = self._details.get(key, 0) + 1
        return 0

    def settle_late(self):
        settled = []
        for handle, found in self._late.settle():
            self._schedule(self._sessions.at(handle), handle)
            self._sessions.at(handle).is_observed = False
            self._counts.pop(handle, None)  # it was packed anew
            settled.append(found)
        return settled

    def take_ended(self):
        return self._walks.take_ended()

    def take_counts(self):
        return self._places.take()

    def take_details(self):
        taken, self._details = self._details, {}
        return taken

    def take_long(self):
        taken, self._long = self._long, {}
        return taken

    # --- time -----------------------------------------------------------------------------------

    def time_out(self, int64_t watermark_ms):
        cdef int64_t reached = (watermark_ms - 1) - (watermark_ms - 1) % self._timers.slot_ms + self._timers.slot_ms
        cdef Handles due = self._timers.take(watermark_ms)
        cdef Session *session
        cdef Py_ssize_t at
        for at in range(due.count):
            session = self._sessions.at(due.of[at])
            if session == NULL:
                continue
            if session.timer_ms < watermark_ms:
                self._walks.time_out(session, watermark_ms)
                self._schedule(session, due.of[at])
            elif session.timer_ms < reached:
                self._timers.add(session.timer_ms, due.of[at])

    cdef int _schedule(self, Session *session, Handle handle) except -1:
        session.timer_ms = self._walks.deadline(session)
        if session.timer_ms < _never:
            self._timers.add(session.timer_ms, handle)
        return 0

    def forget(self):
        cdef int64_t passed_ms = self._cutoff_ms - self._cutoff_ms % self._retention.slot_ms, due_ms
        cdef Handles due
        cdef Session *session
        cdef Py_ssize_t at
        if self._counts:
            self._shorten()
        due = self._retention.take(passed_ms)
        for at in range(due.count):
            session = self._sessions.at(due.of[at])
            if session == NULL:
                continue
            due_ms = session.last_ms + self._walks.longest_ms
            if due_ms >= passed_ms:
                self._retention.add(due_ms, due.of[at])
                if session.size > WORTH_TRIMMING:
                    self._trim(session, due.of[at])
            else:
                self._counts.pop(due.of[at], None)
                self._observe_last(session, self._bases.start(session, due.of[at]), session.size)
                if session.is_watched:
                    self._gone.append(str_of(session_id(session)))
                self._bases.drop(session, due.of[at])
                self._sessions.remove(due.of[at])

    cdef int _trim(self, Session *session, Handle handle) except -1:
        """Fold away the events that nothing can be put before any more."""
        cdef Text none
        cdef uint32_t position
        none.at, none.size = b"", 0
        position = self._late.position_of(session, handle, self._cutoff_ms, none)
        if position > self._bases.start(session, handle):
            self._fold(session, handle, position)
            self._counts.pop(handle, None)
        self._late.moved(handle)
        return 0

    cdef int _shorten(self) except -1:
        """Fold away what no event is put before any more, once that is half as much again."""
        cdef Session *session
        cdef uint32_t position
        cdef Handle handle
        for handle, count in list(self._counts.items()):
            if count < self._most_later + self._most_later // 2:
                continue
            session = self._sessions.at(handle)
            position = self._bases.start(session, handle)
            for _ in range(count - self._most_later):
                position += event_at(session, position).size
            self._fold(session, handle, position)
            self._late.moved(handle)
            del self._counts[handle]
        return 0

    cdef int _fold(self, Session *session, Handle handle, uint32_t until) except -1:
        """Fold away the events before a position, and note whom they named."""
        cdef uint32_t position = self._bases.start(session, handle)
        self._observe_last(session, position, until)
        self._folded.append((str_of(session_id(session)), self._names_in(session, position, until)))
        fold(session, handle, until, self._bases, self._walks)
        session.is_observed = False
        return 0

    # --- checkpoints ----------------------------------------------------------------------------

    def take_changed(self):
        for number in self._sessions.take_changed():
            yield number, self._stored(number)

    def everything(self):
        for number in self._sessions.numbers():
            yield number, self._stored(number)

    cdef bytes _stored(self, uint64_t number):
        """The sessions of a shard (``codec``). Nothing follows from one that keeps no event and has no base."""
        cdef Handle handle
        cdef Session *session
        cdef Session *kept[PER_SHARD]
        cdef Base base
        cdef Py_ssize_t size = 0, count = 0, at
        cdef Sizes sizes
        cdef Folded folded
        cdef bytes stored
        cdef char *into
        found = []
        for handle in self._sessions.members(number):
            session = self._sessions.at(handle)
            base = self._bases.of(session, handle)
            if base is None and session.size == session.id_size:
                continue
            size += sizeof(Sizes) + session.size
            if base is not None:
                size += sizeof(Folded) + base.opens * sizeof(Open)
            kept[count] = session
            found.append(base)
            count += 1
        stored = PyBytes_FromStringAndSize(NULL, size)
        into = PyBytes_AS_STRING(stored)
        for at in range(count):
            session, base = kept[at], found[at]
            sizes.size, sizes.id_size, sizes.opens = session.size, session.id_size, 0 if base is None else base.opens
            memcpy(into, &sizes, sizeof(Sizes))
            into += sizeof(Sizes)
            if base is not None:
                folded.last_ms, folded.start = base.last_ms, base.start
                memcpy(into, &folded, sizeof(Folded))
                into += sizeof(Folded)
                memcpy(into, base.open, base.opens * sizeof(Open))
                into += base.opens * sizeof(Open)
            memcpy(into, session.block, session.size)
            into += session.size
        return stored

    def restore(self, shards, int64_t watermark_ms):
        if not shards:
            return
        self._sessions.begin_at(min(shards))
        self._sessions.is_restoring = self._walks.is_silent = True
        try:
            # The newest first: a session that was forgotten and came back is in an older one as well.
            for number in sorted(shards, reverse=True):
                self._sessions.fill(number)
                self._restore_shard(number, shards[number], watermark_ms)
        finally:
            self._sessions.is_restoring = self._walks.is_silent = False
        # All is as a cut wrote it; new sessions go into later shards.
        self._sessions.take_changed()
        self._sessions.fill(max(shards) + 1)

    cdef int _restore_shard(self, number, bytes stored, int64_t watermark_ms) except -1:
        cdef const char *at = stored
        cdef const char *end = at + len(stored)
        cdef Sizes sizes
        cdef Folded folded
        cdef Session one
        cdef Base base
        cdef Handle handle = 0
        cdef uint32_t open_one
        while at < end:
            if end - at < <Py_ssize_t>sizeof(Sizes):
                raise ValueError(f"shard {number} of sessions is cut short")
            memcpy(&sizes, at, sizeof(Sizes))
            at += sizeof(Sizes)
            base = None
            memset(&one, 0, sizeof(Session))
            if sizes.opens:
                if end - at < <Py_ssize_t>(sizeof(Folded) + sizes.opens * sizeof(Open)):
                    raise ValueError(f"shard {number} of sessions is cut short")
                memcpy(&folded, at, sizeof(Folded))
                at += sizeof(Folded)
                one.open, one.opens = <Open *>at, sizes.opens
                base = Base()
                base.take(&one)
                base.last_ms, base.start = folded.last_ms, folded.start
                for open_one in range(base.opens):
                    base.open[open_one].has_timed_out = False
                at += sizes.opens * sizeof(Open)
            one.block, one.size, one.id_size = <char *>at, sizes.size, sizes.id_size
            if end - at < one.size or not self._is_whole(&one, base):
                raise ValueError(f"shard {number} of sessions is broken")
            if self._sessions.find(session_id(&one), hash_of(session_id(&one)), &handle) == NULL:
                self._restore(&one, base, watermark_ms)
            at += one.size
        return 0

    cdef bint _is_whole(self, Session *stored, Base base):
        """Whether all that a stored session refers to lies in it."""
        cdef uint32_t position = stored.id_size, at
        cdef int types = len(self._words.types)
        if stored.id_size == 0 or stored.size < stored.id_size:
            return False
        if base is not None:
            if not stored.id_size <= base.start <= stored.size:
                return False
            for at in range(base.opens):
                if base.open[at].funnel >= self._walks.count or not is_event(stored, base.open[at].opened_by, &self._words.known, types):
                    return False
                if not is_text(stored, base.open[at].step) or not is_text(stored, base.open[at].customer):
                    return False
                if not is_text(stored, base.open[at].visitor) or not self._has_steps(stored, &base.open[at]):
                    return False
            position = base.start
        while position < stored.size:
            if not is_event(stored, position, &self._words.known, types):
                return False
            position += event_at(stored, position).size
        return True

    cdef bint _has_steps(self, Session *stored, Open *journey):
        """Whether the events of a stored journey's steps lie in its session."""
        cdef uint32_t at
        if journey.count > MOST_STEPS:
            return False
        for at in range(journey.count):
            if not is_event(stored, journey.steps[at], &self._words.known, len(self._words.types)):
                return False
            if event_at(stored, journey.steps[at]).step == NONE:
                return False
        return True

    cdef int _restore(self, Session *stored, Base base, int64_t watermark_ms) except -1:
        """Have a session with the events of a stored block."""
        cdef Handle handle = 0
        cdef Session *session = self._sessions.add(session_id(stored), hash_of(session_id(stored)), &handle)
        cdef uint32_t position
        cdef Event *event
        make_room(session, stored.size - stored.id_size)
        memcpy(session.block, stored.block, stored.size)
        session.size = stored.size
        session.timer_ms, session.is_misplaced = _never, self._is_misplaced(session_id(stored))
        if base is not None:
            self._bases.put(session, handle, base)
        position = self._bases.start(session, handle)
        while position < session.size:  # its last texts are written no second time
            event = event_at(session, position)
            session.where = event.where
            session.step = event.step if event.step != NONE else session.step
            session.customer = event.customer if event.customer != NONE else session.customer
            session.visitor = event.visitor if event.visitor != NONE else session.visitor
            position += event.size
        position = self._bases.start(session, handle)
        self._walks.begin(session, base)
        session.last_ms = self._walks.walk(session, &position, session.size, -1 if base is None else base.last_ms)
        self._walks.time_out(session, watermark_ms)
        self._schedule(session, handle)
        return self._retention.add(session.last_ms + self._walks.longest_ms, handle)


cdef object _named(Session *session, Event *first, Event *last):
    who = str_of(text_at(session, last.customer)), str_of(text_at(session, last.visitor))
    return _new(Named, (first.at_ms, last.at_ms, *who))


cdef bint _is_same(Session *session, uint32_t one, uint32_t other) noexcept nogil:
    """Whether two texts are the same. One that comes again after another is kept a second time."""
    cdef Text a = text_at(session, one), b = text_at(session, other)
    if one == other:
        return True
    return one != NONE and other != NONE and a.size == b.size and memcmp(a.at, b.at, a.size) == 0


cdef uint32_t _murmur2(Text key) noexcept nogil:
    """``schemas.partitions``, the sign's bit left out."""
    cdef uint32_t found = <uint32_t>0x9747B28C ^ <uint32_t>key.size, four = 0, factor = 0x5BD1E995
    cdef Py_ssize_t at = 0
    while key.size - at >= 4:
        memcpy(&four, key.at + at, 4)
        four *= factor
        four ^= four >> 24
        found = (found * factor) ^ (four * factor)
        at += 4
    if at < key.size:
        four = 0
        memcpy(&four, key.at + at, key.size - at)
        found = (found ^ four) * factor
    found = (found ^ found >> 13) * factor
    return (found ^ found >> 15) & 0x7FFFFFFF
