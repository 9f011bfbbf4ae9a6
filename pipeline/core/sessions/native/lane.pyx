# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Takes most events; for all others ``pipeline.core.sessions.partition`` has the word.

What is done here is what ``Partition``, ``Session`` and ``Walk`` do for such an event, and is held to them by a
property test over whole streams. A record that is refused and a message that is rare are left to them. A session
that has become long is taken out into objects (``take_out``), and put back when it can be (``put_back``).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.sessions.native.ahead cimport Ahead
from pipeline.core.sessions.native.block cimport LARGEST_BLOCK, NONE, WHERE_BYTES, Event, Session, append, event_at, has, is_whole, session_id, where_of
from pipeline.core.sessions.native.columns cimport RecordColumns
from pipeline.core.sessions.native.late cimport LateSessions
from pipeline.core.sessions.native.packing cimport next_packed, next_stored, packed
from pipeline.core.sessions.native.places cimport Place, Places
from pipeline.core.sessions.native.scan cimport NO_AMOUNT, Text, Touch, type_of
from pipeline.core.sessions.native.sessions cimport PER_SHARD, Agenda, Handle, Handles, Sessions, hash_of
from pipeline.core.sessions.native.texts cimport str_of, text_of
from pipeline.core.sessions.native.walks cimport FUNNELS, TYPES, Walks

from pipeline.core.sessions.walk import NEVER_MS
from pipeline.core.sessions.refusals import FUTURE_MS
from pipeline.model.tiles import EVENTS, FRICTION_TYPES, STEP_COUNTERS
from schemas.events import EVENT_TYPES

cdef enum:
    WORTH_TRIMMING = 512  # bytes of a session's block
    MOST_WHILE_LATE = 3 * LARGEST_BLOCK  # until the batch ends; no sum of its amounts can grow too large

MOST_FUNNELS = FUNNELS

cdef int64_t _never = NEVER_MS
cdef int64_t _future = FUTURE_MS
cdef bint _is_friction[TYPES]
cdef bint _is_step[TYPES]
_is_friction[:] = [kind in FRICTION_TYPES for kind in EVENT_TYPES]
_is_step[:] = [kind in STEP_COUNTERS for kind in EVENT_TYPES]

# All amounts of a session together fit: an event takes more than sizeof(Event), and an amount is at most 10**16.
_most_amounts = MOST_WHILE_LATE // (sizeof(Event) + 1) + 2
assert _most_amounts * 10**16 < 2**63

cdef enum Outcome:
    TAKEN, DUPLICATE, NOT_HERE


cdef class Lane:
    """The sessions of one partition, and what a batch adds to their tiles and journeys."""

    cdef Sessions _sessions
    cdef Ahead _ahead
    cdef Agenda _timers
    cdef Agenda _retention
    cdef Places _places
    cdef Walks _walks
    cdef LateSessions _late
    cdef bytes _channel
    cdef bytes _currency
    cdef object _pseudonym
    cdef dict _details
    cdef int64_t _delay_ms
    cdef int64_t _lateness_ms
    cdef readonly int64_t latest_ms
    cdef readonly int64_t reached_ms
    cdef int64_t _watermark_ms
    cdef int64_t _cutoff_ms
    cdef readonly int64_t newest_ms
    cdef readonly Py_ssize_t accepted
    cdef readonly Py_ssize_t duplicates
    cdef readonly Py_ssize_t misplaced
    cdef public uint32_t partition
    cdef public uint32_t partitions

    def __init__(self, str channel, funnels, tuple opened, str currency, pseudonym, int64_t delay_ms, int64_t lateness_ms):
        self._channel, self._currency = channel.encode(), currency.encode()
        self._pseudonym = pseudonym
        self._delay_ms, self._lateness_ms = delay_ms, lateness_ms
        self._places = Places(channel, (EVENTS, *opened))
        self._walks = Walks(funnels, self._places)
        self._sessions, self._timers, self._retention = Sessions(), Agenda(1_000), Agenda(60_000)
        self._ahead, self._late = Ahead(self._sessions), LateSessions(self._sessions, self._walks)
        self.latest_ms = self.reached_ms = self._watermark_ms = self._cutoff_ms = -_never
        self._details = {}
        self.partition = self.partitions = 0
        self.begin()

    def __len__(self):
        return self._sessions.alive

    # --- a batch --------------------------------------------------------------------------------

    def begin(self):
        """A new batch: nothing has been taken of it."""
        self.accepted = self.duplicates = self.misplaced = 0
        self._ahead.forget()
        self.newest_ms = -_never

    cpdef see(self, int64_t at_ms, int64_t reached_ms):
        """Let time go on to the latest one seen, and to how far it has certainly come."""
        if at_ms > self.latest_ms:
            self.latest_ms = at_ms
            self._cutoff_ms = at_ms - self._delay_ms - self._lateness_ms
        if reached_ms > self.reached_ms:
            self.reached_ms = reached_ms
            self._watermark_ms = reached_ms - self._delay_ms

    def take(self, RecordColumns records not None, Py_ssize_t at, int64_t latest_stamp_ms):
        """Take records from this one on, as far as they are events in order; gives the first that is none."""
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
            if outcome == NOT_HERE:
                break
            if outcome == TAKEN:
                self.see(touch.at_ms, touch.at_ms if stamp_ms < 0 else min(touch.at_ms, stamp_ms))
            at += 1
        return at

    def offer(self, event):
        """The same for an event that has been decoded, and that belongs here: whether it is new; None: not taken."""
        cdef Touch touch
        cdef Outcome outcome
        memset(&touch, 0, sizeof(Touch))
        touch.at_ms, touch.amount = event.at_ms, NO_AMOUNT
        touch.event_id, touch.session_id = text_of(event.event_id), text_of(event.session_id)
        touch.channel, touch.hashed = text_of(event.channel), hash_of(touch.session_id)
        touch.type = type_of(text_of(event.type).at, text_of(event.type).size)
        touch.customer, touch.currency, touch.step = text_of(event.customer_id), text_of(event.currency), text_of(event.step)
        touch.where[0], touch.where[1] = text_of(event.store_id), text_of(event.region)
        touch.where[2], touch.where[3] = text_of(event.device), text_of(event.campaign)
        if event.amount is not None:
            touch.amount = event.amount
        outcome = self._take(&touch)
        return None if outcome == NOT_HERE else outcome == TAKEN

    cdef bint _is_here(self, Text channel) noexcept:
        return channel.at[0] == PyBytes_AS_STRING(self._channel)[0]  # web, app, pos

    cdef Outcome _take(self, Touch *touch) except *:
        cdef Handle handle = 0
        cdef Session *session
        cdef char where_bytes[WHERE_BYTES]
        cdef Text where
        cdef uint64_t opened = 0
        cdef object customer
        if touch.currency.at != NULL and not self._is_ours(touch.currency):
            touch.amount = NO_AMOUNT
        if self._pseudonym is not None and touch.customer.at != NULL:
            customer = self._pseudonym(str_of(touch.customer))
            touch.customer = text_of(customer)
        where.at, where.size = where_bytes, where_of(touch, where_bytes)
        session = self._sessions.find(touch.session_id, touch.hashed, &handle)
        if session == NULL:
            session = self._sessions.add(touch.session_id, touch.hashed, &handle)
            session.timer_ms, session.is_misplaced = _never, self._is_misplaced(touch.session_id)
            self._keep(session, handle, touch.at_ms)
        elif session.is_away or session.size > (MOST_WHILE_LATE if session.is_late else LARGEST_BLOCK):
            return NOT_HERE
        self.misplaced += session.is_misplaced
        if touch.at_ms <= session.last_ms or session.last_ms + self._walks.shortest(session) < self._watermark_ms:
            if has(session, touch.at_ms, touch.event_id):
                self.duplicates += 1
                return DUPLICATE
            self._late.take(session, handle, touch, where)
        elif session.is_late:
            self._late.append(session, handle, touch, where)
        else:
            self._append(session, handle, touch, where, &opened)
        self._sessions.touch(handle)
        self._count(touch, where, opened)
        self.accepted += 1
        self.newest_ms = max(self.newest_ms, touch.at_ms)
        return TAKEN

    cdef bint _is_misplaced(self, Text session_id) noexcept:
        return self.partitions > 0 and _murmur2(session_id) % self.partitions != self.partition

    cdef bint _is_ours(self, Text currency) noexcept:
        return currency.size == PyBytes_GET_SIZE(self._currency) and (
            memcmp(currency.at, PyBytes_AS_STRING(self._currency), currency.size) == 0
        )

    cdef int _keep(self, Session *session, Handle handle, int64_t at_ms) except -1:
        session.has_retention = True
        return self._retention.add(at_ms + self._walks.longest_ms, handle)

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

    # --- what is counted ------------------------------------------------------------------------

    cdef int _count(self, Touch *touch, Text where, uint64_t opened) except -1:
        cdef Place place = self._places.at(where)
        cdef int64_t bucket = self._places.count(place, touch.at_ms, opened)
        if _is_friction[touch.type] or (_is_step[touch.type] and touch.step.at != NULL):
            key = (place.dims, bucket, EVENT_TYPES[touch.type], str_of(touch.step))
            self._details[key] = self._details.get(key, 0) + 1
        return 0

    def settle_late(self):
        """Walk anew the sessions that a late event has come to.

        Gives of each the id, what has changed, and by key the journeys that have ended now.
        """
        settled = []
        for handle, found in self._late.settle():
            self._schedule(self._sessions.at(handle), handle)
            settled.append(found)
        return settled

    def take_ended(self):
        """Session and journey of each that has ended since the last call."""
        return self._walks.take_ended()

    def take_counts(self):
        """Dimensions, bucket and counters of what was taken since the last call."""
        return self._places.take()

    def take_details(self):
        """How often it came since the last call: dimensions, bucket, type and step of what tiles count by these."""
        taken, self._details = self._details, {}
        return taken

    # --- time -----------------------------------------------------------------------------------

    def time_out(self, int64_t watermark_ms):
        """End the open journeys whose timeout lies before the watermark (``Partition._time_out``)."""
        cdef int64_t reached = (watermark_ms - 1) - (watermark_ms - 1) % self._timers.slot_ms + self._timers.slot_ms
        cdef Handles due = self._timers.take(watermark_ms)
        cdef Session *session
        cdef Py_ssize_t at
        for at in range(due.count):
            session = self._sessions.at(due.of[at])
            if session == NULL or session.is_away:
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
        """Drop sessions that no event within the allowed lateness can change.

        Gives the ids of those that keep enough from before it to be taken out and trimmed.
        """
        cdef int64_t passed_ms = self._cutoff_ms - self._cutoff_ms % self._retention.slot_ms, due_ms
        cdef Handles due = self._retention.take(passed_ms)
        cdef Session *session
        cdef Py_ssize_t at
        long_ones = []
        for at in range(due.count):
            session = self._sessions.at(due.of[at])
            if session == NULL:
                continue
            due_ms = session.last_ms + self._walks.longest_ms
            if session.is_away:
                session.has_retention = False
            elif due_ms >= passed_ms:
                self._retention.add(due_ms, due.of[at])
                if session.size > WORTH_TRIMMING and event_at(session, session.id_size).at_ms < self._cutoff_ms:
                    long_ones.append(str_of(session_id(session)))
            else:
                self._sessions.remove(due.of[at])
        return long_ones

    # --- to and from objects --------------------------------------------------------------------

    def holds(self, str session_id):
        """Whether the session is there, or away."""
        cdef Handle handle = 0
        return self._find(text_of(session_id), &handle) != NULL

    cdef inline Session *_find(self, Text session_id, Handle *handle) noexcept:
        return self._sessions.find(session_id, hash_of(session_id), handle)

    def take_out(self, str session_id):
        """A session, which is away from here then; None: there is none.

        Its handle, time of the latest event, names and packed events, the funnels whose journeys have timed out, and
        of one that a late event has come to in this batch what ``Session.late`` has to know, else None.
        """
        cdef Handle handle = 0
        cdef Session *session = self._find(text_of(session_id), &handle)
        if session == NULL:
            return None
        late = self._late.take_out(handle) if session.is_late else None
        found = handle, session.last_ms, packed(session, self._places), self._walks.timed_out(session), late
        self._send_away(session)
        return found

    cdef int _send_away(self, Session *session) except -1:
        session.size, session.is_away, session.opens, session.timer_ms = session.id_size, True, 0, _never
        free(session.open)
        session.open = NULL
        return 0

    def put_back(self, Handle handle, int64_t last_ms, names, events, object watermark_ms):
        """Have a session here again: the time of its latest event, its names and packed events (``event_log``).

        False where it is over half as large as one may become: it would soon be taken out again.
        """
        cdef Session *session = self._sessions.at(handle)
        if len(events) > LARGEST_BLOCK // 2:
            return False
        session.is_away, session.size, session.last_ms = False, session.id_size, -1
        session.where = session.step = session.customer = NONE
        self._walks.is_silent = True
        try:
            self._replay(session, handle, names, bytes(events))
            session.last_ms = max(session.last_ms, last_ms)
            if watermark_ms is not None:
                self._walks.time_out(session, watermark_ms)
        finally:
            self._walks.is_silent = False
        if session.size > LARGEST_BLOCK:  # texts that take turns are kept each time
            self._send_away(session)
            return False
        self._schedule(session, handle)
        if not session.has_retention:
            self._keep(session, handle, session.last_ms)
        return True

    cdef int _replay(self, Session *session, Handle handle, names, bytes events) except -1:
        """Have a session's walk made of packed events."""
        cdef const char *at = events
        cdef const char *end = at + len(events)
        cdef Touch touch
        cdef char where_bytes[WHERE_BYTES]
        cdef Text where
        cdef uint64_t opened
        while at < end:
            at = next_packed(at, end, names, &touch)
            where.at, where.size = where_bytes, where_of(&touch, where_bytes)
            self._append(session, handle, &touch, where, &opened)
        return 0

    # --- checkpoints ----------------------------------------------------------------------------

    def touch(self, Handle handle):
        """A session that is away has changed."""
        self._sessions.touch(handle)

    def remove(self, Handle handle):
        """Forget a session that is away."""
        self._sessions.remove(handle)

    def take_changed(self):
        """The shards that have changed, ascending: number, packed sessions, ids of those that are away.

        Forgets that they changed.
        """
        for number in self._sessions.take_changed():
            away = []
            yield number, self._stored(number, away), away

    cdef bytes _stored(self, uint64_t number, list away):
        """Of each session the bytes of its block, those of its id, and the block, as ``packed_sessions`` tells.

        Nothing follows from a session that has kept no event, so it is left out.
        """
        cdef Handle handle
        cdef Session *session
        cdef Session *kept[PER_SHARD]
        cdef Py_ssize_t size = 0, count = 0, number_kept
        cdef bytes stored
        cdef char *at
        for handle in self._sessions.members(number):
            session = self._sessions.at(handle)
            if session.is_away:
                away.append(str_of(session_id(session)))
            elif session.size > session.id_size:
                size += 6 + session.size
                kept[count] = session
                count += 1
        stored = PyBytes_FromStringAndSize(NULL, size)
        at = PyBytes_AS_STRING(stored)
        for number_kept in range(count):
            session = kept[number_kept]
            memcpy(at, &session.size, 4)
            memcpy(at + 4, &session.id_size, 2)
            memcpy(at + 6, session.block, session.size)
            at += 6 + session.size
        return stored

    def rows(self, uint64_t number):
        """Of a shard's sessions the id, and names and packed events; None of one that is away."""
        cdef Handle handle
        cdef Session *session
        for handle in self._sessions.members(number):
            session = self._sessions.at(handle)
            if session.is_away:
                yield str_of(session_id(session)), None
            elif session.size > session.id_size:
                yield str_of(session_id(session)), packed(session, self._places)

    def everything(self):
        """Rows of all sessions."""
        for number in self._sessions.numbers():
            yield from self.rows(number)

    def begin_at(self, number):
        """Sessions that are restored are in shards from this number on."""
        self._sessions.begin_at(number)
        self._sessions.is_restoring = True

    def restore(self, number, str session_id):
        """The handle of a session to be put back into this shard."""
        cdef Handle handle = 0
        self._sessions.fill(number)
        self._send_away(self._sessions.add(text_of(session_id), hash_of(text_of(session_id)), &handle))
        return handle

    def restore_stored(self, number, bytes stored, int64_t watermark_ms):
        """Take the sessions of a shard that are not there yet, as ``take_changed`` gave them.

        Raises ValueError where they are not as these.
        """
        cdef const char *at = stored
        cdef const char *end = at + len(stored)
        cdef Session one
        cdef Handle handle = 0
        self._sessions.fill(number)
        self._walks.is_silent = True
        try:
            while at < end:
                if end - at < 6:
                    raise ValueError(f"shard {number} of sessions is cut short")
                memcpy(&one.size, at, 4)
                memcpy(&one.id_size, at + 4, 2)
                one.block = <char *>at + 6
                if end - one.block < one.size or not is_whole(&one, len(EVENT_TYPES)):
                    raise ValueError(f"shard {number} of sessions is broken")
                if self._find(session_id(&one), &handle) == NULL:
                    self._restore(&one, watermark_ms)
                at += 6 + one.size
        finally:
            self._walks.is_silent = False

    cdef int _restore(self, Session *stored, int64_t watermark_ms) except -1:
        """Have a session with the events of a stored block."""
        cdef Handle handle = 0
        cdef Session *session = self._sessions.add(session_id(stored), hash_of(session_id(stored)), &handle)
        cdef uint32_t position = stored.id_size
        cdef Touch touch
        cdef Text where
        cdef uint64_t opened
        session.timer_ms, session.is_misplaced = _never, self._is_misplaced(session_id(stored))
        while position < stored.size:
            where = next_stored(stored, &position, &touch)
            self._append(session, handle, &touch, where, &opened)
        self._walks.time_out(session, watermark_ms)
        self._schedule(session, handle)
        return self._keep(session, handle, session.last_ms)

    def end_restoring(self, number):
        """All is as a cut wrote it, so far as nothing had to move; new sessions go into this shard and later ones."""
        self._sessions.take_changed()
        self._sessions.fill(number)
        self._sessions.is_restoring = False


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
