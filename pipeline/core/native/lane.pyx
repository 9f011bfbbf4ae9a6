# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Takes events that come in order; for all others ``pipeline.core.partition`` has the word.

What is done here is what ``Partition``, ``Session`` and ``Walk`` do for such an event, and is held to them by a
property test over whole streams. An event that comes late, a record that is refused and a message that is rare are
left to them: the session concerned is then taken out into objects (``take_out``), and put back at the end of the
batch (``put_back``).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.native.block cimport (
    LARGEST_BLOCK, NONE, WHERE_BYTES, Event, Open, append, begin, event_at, has, id_of, session_id, text_at, type_in,
    where_of,
)
from pipeline.core.native.block cimport Session as Packed
from pipeline.core.native.places cimport Place
from pipeline.core.native.scan cimport NO_AMOUNT, Text, Touch, scan, type_of
from pipeline.core.native.sessions cimport PER_SHARD, Agenda, Handle, Handles, Sessions

from pipeline.core.event_log import Entry
from pipeline.core.funnels import ABANDONED, ADDS, COMPLETED, EXPLICIT, NEVER_MS, SETS, SUBTRACTS, TIMEOUT, Journey
from pipeline.core.refusals import FUTURE_MS
from pipeline.core.tiles import EVENTS, FRICTION_TYPES, STEP_COUNTERS
from schemas.events import EVENT_TYPES, MAX_MESSAGE_BYTES

cdef enum:
    TYPES = 29
    FUNNELS = 64
    MOST_PLACES = 100_000
    WORTH_TRIMMING = 512  # bytes of a session's block

MOST_FUNNELS = FUNNELS

cdef int64_t _never = NEVER_MS
cdef int64_t _future = FUTURE_MS
cdef Py_ssize_t _largest_message = MAX_MESSAGE_BYTES
cdef int _sets = EVENT_TYPES.index(SETS)
cdef int _adds = EVENT_TYPES.index(ADDS)
cdef int _subtracts = EVENT_TYPES.index(SUBTRACTS)
cdef bint _is_friction[TYPES]
cdef bint _is_step[TYPES]
_is_friction[:] = [kind in FRICTION_TYPES for kind in EVENT_TYPES]
_is_step[:] = [kind in STEP_COUNTERS for kind in EVENT_TYPES]

cdef enum Outcome:
    TAKEN, DUPLICATE, NOT_HERE


cdef packed struct Head:  # of an event as pipeline/core/event_log.py packs it
    int64_t at_ms
    int64_t amount
    uint32_t step
    uint32_t customer
    uint32_t dims
    uint32_t type_id


cdef inline object _str(Text text):
    return None if text.at == NULL else PyUnicode_DecodeUTF8(text.at, text.size, NULL)


cdef inline Text _text(object text) except *:
    """Of a str or None, as long as that is there."""
    cdef Text found
    found.at, found.size = NULL, 0
    if text is not None:
        found.at = PyUnicode_AsUTF8AndSize(text, &found.size)
    return found


cdef class Lane:
    """The sessions of one partition, and what a batch adds to their tiles and journeys."""

    cdef Sessions _sessions
    cdef Agenda _timers
    cdef Agenda _retention
    cdef tuple _funnels
    cdef int _funnel_count
    cdef int64_t _timeout_ms[FUNNELS]
    cdef uint64_t _opens[TYPES]      # by type: funnels, one bit each
    cdef uint64_t _completes[TYPES]
    cdef uint64_t _abandons[TYPES]
    cdef int64_t _longest_ms
    cdef str _channel
    cdef bytes _channel_text
    cdef bytes _currency
    cdef object _pseudonym
    cdef dict _places
    cdef list _touched
    cdef tuple _counters
    cdef int64_t _delay_ms
    cdef int64_t _lateness_ms
    cdef readonly int64_t latest_ms
    cdef int64_t _watermark_ms
    cdef int64_t _cutoff_ms
    cdef readonly int64_t newest_ms
    cdef readonly Py_ssize_t accepted
    cdef readonly Py_ssize_t duplicates
    cdef list _ended
    cdef dict _details
    cdef bint _is_silent

    def __init__(self, str channel, funnels, tuple opened, str currency, pseudonym, int64_t delay_ms, int64_t lateness_ms):
        cdef int number, code
        self._channel, self._channel_text, self._currency = channel, channel.encode(), currency.encode()
        self._pseudonym = pseudonym
        self._delay_ms, self._lateness_ms = delay_ms, lateness_ms
        self._funnels = funnels.all
        if len(self._funnels) > FUNNELS:
            raise ValueError(f"{len(self._funnels)} funnels, at most {FUNNELS} fit")
        self._funnel_count = len(self._funnels)
        self._longest_ms = funnels.longest_timeout_ms
        for number, funnel in enumerate(self._funnels):
            self._timeout_ms[number] = funnel.timeout_ms
            for code, kind in enumerate(EVENT_TYPES):
                self._opens[code] |= <uint64_t>(kind in funnel.opens_on) << number
                self._completes[code] |= <uint64_t>(kind in funnel.completes_on) << number
                self._abandons[code] |= <uint64_t>(kind in funnel.abandons_on) << number
        self._sessions, self._timers, self._retention = Sessions(), Agenda(1_000), Agenda(60_000)
        self._places, self._touched, self._counters = {}, [], (EVENTS, *opened)
        self.latest_ms = self._watermark_ms = self._cutoff_ms = -_never
        self._ended, self._details = [], {}
        self.begin()

    def __len__(self):
        return self._sessions.alive

    # --- a batch --------------------------------------------------------------------------------

    def begin(self):
        """A new batch: nothing has been taken of it."""
        self.accepted = self.duplicates = 0
        self.newest_ms = -_never

    def see(self, int64_t at_ms):
        """Let time go on to the latest one seen."""
        if at_ms > self.latest_ms:
            self.latest_ms = at_ms
            self._watermark_ms = at_ms - self._delay_ms
            self._cutoff_ms = self._watermark_ms - self._lateness_ms

    def take(self, list records, Py_ssize_t at, int64_t latest_stamp_ms):
        """Take records from this one on, as far as they are events in order; gives the first that is none."""
        cdef Touch touch
        cdef object record, value
        cdef int64_t stamp_ms
        cdef Outcome outcome
        while at < len(records):
            record = records[at]
            value = <object>PyTuple_GET_ITEM(record, 2)
            if <object>PyTuple_GET_ITEM(record, 3) is not None or not self._read(value, &touch):
                break
            stamp_ms = <object>PyTuple_GET_ITEM(record, 1)
            if touch.at_ms < self._cutoff_ms:
                break
            if stamp_ms >= 0 and not touch.at_ms - _future <= stamp_ms <= latest_stamp_ms:
                break
            if not self._is_here(touch.channel):
                break
            outcome = self._take(&touch)
            if outcome == NOT_HERE:
                break
            at += 1
        return at

    def offer(self, event):
        """The same for an event that has been decoded, and that belongs here: whether it is new; None: not taken."""
        cdef Touch touch
        cdef Outcome outcome
        memset(&touch, 0, sizeof(Touch))
        touch.at_ms, touch.amount = event.at_ms, NO_AMOUNT
        touch.event_id, touch.session_id = _text(event.event_id), _text(event.session_id)
        touch.channel = _text(event.channel)
        touch.type = type_of(_text(event.type).at, _text(event.type).size)
        touch.customer, touch.currency, touch.step = _text(event.customer_id), _text(event.currency), _text(event.step)
        touch.where[0], touch.where[1] = _text(event.store_id), _text(event.region)
        touch.where[2], touch.where[3] = _text(event.device), _text(event.campaign)
        if event.amount is not None:
            touch.amount = event.amount
        outcome = self._take(&touch)
        return None if outcome == NOT_HERE else outcome == TAKEN

    cdef bint _read(self, object value, Touch *touch) except -1:
        cdef bint is_ascii
        if type(value) is not bytes or PyBytes_GET_SIZE(value) > _largest_message:
            return False
        is_ascii = value.isascii()
        if not is_ascii:
            try:
                PyUnicode_DecodeUTF8(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), NULL)
            except UnicodeDecodeError:
                return False
        return scan(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), is_ascii, touch)

    cdef bint _is_here(self, Text channel) noexcept:
        return channel.at[0] == PyBytes_AS_STRING(self._channel_text)[0]  # web, app, pos

    cdef Outcome _take(self, Touch *touch) except *:
        cdef Handle handle = 0
        cdef Packed *session
        cdef char where_bytes[WHERE_BYTES]
        cdef Text where
        cdef Place place
        cdef object customer
        if touch.currency.at != NULL and not self._is_ours(touch.currency):
            touch.amount = NO_AMOUNT
        if self._pseudonym is not None and touch.customer.at != NULL:
            customer = self._pseudonym(_str(touch.customer))
            touch.customer = _text(customer)
        where.at, where.size = where_bytes, where_of(touch, where_bytes)
        session = self._sessions.find(touch.session_id, &handle)
        if session == NULL:
            session = self._sessions.add(touch.session_id, &handle)
            session.timer_ms = _never
            self._keep(session, handle, touch.at_ms)
        elif session.is_away or session.size > LARGEST_BLOCK:
            return NOT_HERE
        elif touch.at_ms <= session.last_ms or session.last_ms + self._shortest(session) < self._watermark_ms:
            if not has(session, touch.at_ms, touch.event_id):
                return NOT_HERE
            self.duplicates += 1
            return DUPLICATE
        place = self._place_of(where)
        self._append(session, handle, touch, where, place)
        self._sessions.touch(handle)
        self._count(touch, place)
        self.accepted += 1
        self.newest_ms = max(self.newest_ms, touch.at_ms)
        self.see(touch.at_ms)
        return TAKEN

    cdef bint _is_ours(self, Text currency) noexcept:
        return currency.size == PyBytes_GET_SIZE(self._currency) and (
            memcmp(currency.at, PyBytes_AS_STRING(self._currency), currency.size) == 0
        )

    cdef int _keep(self, Packed *session, Handle handle, int64_t at_ms) except -1:
        session.has_retention = True
        return self._retention.add(at_ms + self._longest_ms, handle)

    cdef int64_t _shortest(self, Packed *session) noexcept:
        """The shortest timeout of the open journeys; NEVER_MS where none is open."""
        cdef int64_t shortest_ms = _never
        cdef uint32_t at
        for at in range(session.opens):
            shortest_ms = min(shortest_ms, self._timeout_ms[session.open[at].funnel])
        return shortest_ms

    cdef Place _place_of(self, Text where):
        cdef bytes key = PyBytes_FromStringAndSize(where.at, where.size)
        cdef Place found = self._places.get(key)
        if found is None:
            found = self._places[key] = Place((self._channel, *_values_of(where)), self._funnel_count)
        return found

    # --- the walk -------------------------------------------------------------------------------

    cdef int _append(self, Packed *session, Handle handle, Touch *touch, Text where, Place place) except -1:
        """Let the session's next event advance its walk (``Walk.advance``)."""
        cdef int64_t before_ms = session.last_ms, deadline_ms
        cdef uint32_t position = <uint32_t>append(session, touch, where)
        cdef uint64_t opening = self._opens[touch.type]
        cdef uint32_t at
        cdef int funnel
        cdef int64_t *row
        if session.opens:
            for at in range(session.opens):
                funnel = session.open[at].funnel
                if touch.at_ms - before_ms <= self._timeout_ms[funnel]:
                    opening &= ~(<uint64_t>1 << funnel)
            self._pass(session, event_at(session, position), before_ms)
        if opening:
            self._open(session, position, opening)
            if not self._is_silent:
                row = self._row(place, touch.at_ms)
                for funnel in range(self._funnel_count):
                    row[2 + funnel] += opening >> funnel & 1
        if session.opens:
            deadline_ms = session.last_ms + self._shortest(session)
            if deadline_ms < session.timer_ms:
                session.timer_ms = deadline_ms
                self._timers.add(deadline_ms, handle)
        return 0

    cdef int _pass(self, Packed *session, Event *event, int64_t before_ms) except -1:
        """Let the open journeys see the event."""
        cdef uint32_t at, kept = 0
        cdef Open *journey
        cdef uint64_t bit
        cdef int type_ = type_in(event)
        for at in range(session.opens):
            journey = &session.open[at]
            bit = <uint64_t>1 << journey.funnel
            if event.at_ms - before_ms > self._timeout_ms[journey.funnel]:
                self._end(session, journey, before_ms + self._timeout_ms[journey.funnel], ABANDONED, TIMEOUT)
                continue
            self._add_up(journey, event)
            if self._completes[type_] & bit:
                self._end(session, journey, event.at_ms, COMPLETED, None)
            elif self._abandons[type_] & bit:
                self._end(session, journey, event.at_ms, ABANDONED, EXPLICIT)
            else:
                session.open[kept] = journey[0]
                kept += 1
        session.opens = kept
        return 0

    cdef int _open(self, Packed *session, uint32_t position, uint64_t opening) except -1:
        cdef int funnel
        cdef Open *opens
        for funnel in range(self._funnel_count):
            if opening >> funnel & 1:
                opens = <Open *>realloc(session.open, (session.opens + 1) * sizeof(Open))
                if opens == NULL:
                    raise MemoryError
                session.open = opens
                memset(&opens[session.opens], 0, sizeof(Open))
                opens[session.opens].funnel, opens[session.opens].opened_by = funnel, position
                self._add_up(&opens[session.opens], event_at(session, position))
                session.opens += 1
        return 0

    cdef void _add_up(self, Open *journey, Event *event) noexcept:
        """Let an event of the journey change its value, step and customer.

        A value cannot grow too large: amounts are at most 10**16, and LARGEST_BLOCK has less than 300 of them.
        """
        cdef int type_ = type_in(event)
        if event.step != NONE:
            journey.step = event.step
        if event.customer != NONE:
            journey.customer = event.customer
        if event.amount == NO_AMOUNT:
            return
        if type_ == _sets or self._completes[type_] >> journey.funnel & 1:
            journey.value = event.amount
        elif type_ == _adds:
            journey.value += event.amount
        elif type_ == _subtracts:
            journey.value = max(0, journey.value - event.amount)

    cdef int _end(self, Packed *session, Open *journey, int64_t at_ms, str outcome, object reason) except -1:
        cdef object last_step, customer
        if self._is_silent:
            return 0
        last_step, customer = _str(text_at(session, journey.step)), _str(text_at(session, journey.customer))
        ended = Journey(
            self._funnels[journey.funnel].name,
            self._entry(session, event_at(session, journey.opened_by)),
            at_ms,
            outcome,
            reason,
            journey.value,
            last_step,
            customer,
        )
        self._ended.append((_str(session_id(session)), ended))
        return 0

    cdef object _entry(self, Packed *session, Event *event):
        return Entry(
            event.at_ms,
            _str(id_of(event)),
            EVENT_TYPES[type_in(event)],
            None if event.amount == NO_AMOUNT else event.amount,
            _str(text_at(session, event.step)),
            _str(text_at(session, event.customer)),
            self._place_of(text_at(session, event.where)).dims,
        )

    # --- what is counted ------------------------------------------------------------------------

    cdef int64_t *_row(self, Place place, int64_t at_ms) except NULL:
        if place._count == 0:
            self._touched.append(place)
        return place.row(at_ms)

    cdef int _count(self, Touch *touch, Place place) except -1:
        cdef int64_t *row = self._row(place, touch.at_ms)
        row[1] += 1
        if _is_friction[touch.type] or (_is_step[touch.type] and touch.step.at != NULL):
            key = (place.dims, row[0], EVENT_TYPES[touch.type], _str(touch.step))
            self._details[key] = self._details.get(key, 0) + 1
        return 0

    def take_ended(self):
        """Session and journey of each that has ended since the last call."""
        taken, self._ended = self._ended, []
        return taken

    def take_details(self):
        """How often it came since the last call: dimensions, bucket, type and step of what tiles count by these."""
        taken, self._details = self._details, {}
        return taken

    def take_counts(self):
        """Dimensions, bucket and counters of what was taken since the last call."""
        cdef Place place
        taken = [(place.dims, bucket, counters) for place in self._touched for bucket, counters in place.take(self._counters)]
        self._touched = []
        if len(self._places) > MOST_PLACES:
            self._places = {}
        return taken

    # --- time -----------------------------------------------------------------------------------

    def time_out(self, int64_t watermark_ms):
        """End the open journeys whose timeout lies before the watermark (``Partition._time_out``)."""
        cdef int64_t reached = (watermark_ms - 1) - (watermark_ms - 1) % self._timers.slot_ms + self._timers.slot_ms
        cdef Handles due = self._timers.take(watermark_ms)
        cdef Packed *session
        cdef Py_ssize_t at
        for at in range(due.count):
            session = self._sessions.at(due.of[at])
            if session == NULL or session.is_away:
                continue
            if session.timer_ms < watermark_ms:
                self._time_out(session, watermark_ms)
                self._schedule(session, due.of[at])
            elif session.timer_ms < reached:
                self._timers.add(session.timer_ms, due.of[at])

    cdef int _time_out(self, Packed *session, int64_t watermark_ms) except -1:
        cdef uint32_t at
        cdef Open *journey
        cdef int64_t ended_ms
        for at in range(session.opens):
            journey = &session.open[at]
            ended_ms = session.last_ms + self._timeout_ms[journey.funnel]
            if not journey.has_timed_out and ended_ms < watermark_ms:
                journey.has_timed_out = True
                self._end(session, journey, ended_ms, ABANDONED, TIMEOUT)
        return 0

    cdef int _schedule(self, Packed *session, Handle handle) except -1:
        cdef int64_t deadline_ms = _never
        cdef uint32_t at
        for at in range(session.opens):
            if not session.open[at].has_timed_out:
                deadline_ms = min(deadline_ms, session.last_ms + self._timeout_ms[session.open[at].funnel])
        session.timer_ms = deadline_ms
        if deadline_ms < _never:
            self._timers.add(deadline_ms, handle)
        return 0

    def forget(self):
        """Drop sessions that no event within the allowed lateness can change.

        Gives the ids of those that keep enough from before it to be taken out and trimmed.
        """
        cdef int64_t passed_ms = self._cutoff_ms - self._cutoff_ms % self._retention.slot_ms, due_ms
        cdef Handles due = self._retention.take(passed_ms)
        cdef Packed *session
        cdef Py_ssize_t at
        long_ones = []
        for at in range(due.count):
            session = self._sessions.at(due.of[at])
            if session == NULL:
                continue
            due_ms = session.last_ms + self._longest_ms
            if session.is_away:
                session.has_retention = False
            elif due_ms >= passed_ms:
                self._retention.add(due_ms, due.of[at])
                if session.size > WORTH_TRIMMING and event_at(session, session.id_size).at_ms < self._cutoff_ms:
                    long_ones.append(_str(session_id(session)))
            else:
                self._sessions.remove(due.of[at])
        return long_ones

    # --- to and from objects --------------------------------------------------------------------

    def holds(self, str session_id):
        """Whether the session is there, or away."""
        cdef Handle handle = 0
        return self._sessions.find(_text(session_id), &handle) != NULL

    def take_out(self, str session_id):
        """A session, which is away from here then; None: there is none.

        Its handle, time of the latest event, names and packed events, and the funnels whose journeys have timed out.
        """
        cdef Handle handle = 0
        cdef Packed *session = self._sessions.find(_text(session_id), &handle)
        cdef uint32_t at
        if session == NULL:
            return None
        packed = self._packed(session)
        timed_out = [
            self._funnels[session.open[at].funnel].name for at in range(session.opens) if session.open[at].has_timed_out
        ]
        self._send_away(session)
        return handle, session.last_ms, packed, timed_out

    cdef int _send_away(self, Packed *session) except -1:
        session.size, session.is_away, session.opens, session.timer_ms = session.id_size, True, 0, _never
        free(session.open)
        session.open = NULL
        return 0

    def put_back(self, Handle handle, int64_t last_ms, names, packed, object watermark_ms):
        """Have a session here again: the time of its latest event, its names and packed events (``event_log``).

        False where it is over half as large as one may become: it would soon be taken out again.
        """
        cdef Packed *session = self._sessions.at(handle)
        cdef Place place
        if len(packed) > LARGEST_BLOCK // 2:
            return False
        session.is_away, session.size, session.last_ms = False, session.id_size, -1
        session.where = session.step = session.customer = NONE
        self._is_silent = True
        try:
            self._replay(session, handle, names, bytes(packed))
            session.last_ms = max(session.last_ms, last_ms)
            if watermark_ms is not None:
                self._time_out(session, watermark_ms)
        finally:
            self._is_silent = False
        if session.size > LARGEST_BLOCK:  # texts that take turns are kept each time
            self._send_away(session)
            return False
        session.timer_ms = _never
        self._schedule(session, handle)
        if not session.has_retention:
            self._keep(session, handle, session.last_ms)
        return True

    cdef int _replay(self, Packed *session, Handle handle, names, bytes packed) except -1:
        cdef const char *at = packed
        cdef const char *end = at + len(packed)
        cdef Head head
        cdef Touch touch
        cdef char where_bytes[WHERE_BYTES]
        cdef Text where
        while at < end:
            memcpy(&head, at, sizeof(Head))
            memset(&touch, 0, sizeof(Touch))
            touch.at_ms, touch.amount, touch.type = head.at_ms, head.amount, head.type_id & 255
            touch.event_id.at, touch.event_id.size = at + sizeof(Head), head.type_id >> 8
            touch.step, touch.customer = _text(names[head.step]), _text(names[head.customer])
            _, *values = names[head.dims]
            touch.where[0], touch.where[1] = _text(values[0]), _text(values[1])
            touch.where[2], touch.where[3] = _text(values[2]), _text(values[3])
            where.at, where.size = where_bytes, where_of(&touch, where_bytes)
            self._append(session, handle, &touch, where, None)
            at += sizeof(Head) + touch.event_id.size
        return 0

    cdef tuple _packed(self, Packed *session):
        """Names and packed events, as ``event_log`` has them."""
        cdef uint32_t position = session.id_size
        cdef Event *event
        cdef Head head
        cdef Text event_id
        cdef bytearray packed = bytearray()
        cdef list names = [None]
        cdef dict places = {}
        if session.size == session.id_size:
            return [None, None], packed
        while position < session.size:
            event = event_at(session, position)
            head.dims = self._name(session, event.where, names, places, True)
            head.step = self._name(session, event.step, names, places, False)
            head.customer = self._name(session, event.customer, names, places, False)
            head.at_ms, head.amount = event.at_ms, event.amount
            event_id = id_of(event)
            head.type_id = <uint32_t>(event_id.size << 8 | type_in(event))
            packed += (<char *>&head)[:sizeof(Head)]
            packed += event_id.at[:event_id.size]
            position += event.size
        if len(names) == 2:
            return self._place_of(text_at(session, event_at(session, session.id_size).where)).names, packed
        return names, packed

    cdef uint32_t _name(self, Packed *session, uint32_t position, list names, dict places, bint is_where) except? 0:
        """The place of a text among the names."""
        if position == NONE:
            return 0
        found = places.get(position)
        if found is None:
            text = text_at(session, position)
            name = self._place_of(text).dims if is_where else _str(text)
            try:
                found = names.index(name)
            except ValueError:
                found = len(names)
                names.append(name)
            places[position] = found
        return found

    # --- checkpoints ----------------------------------------------------------------------------

    @property
    def has_changed(self):
        """Whether a cut would write any shard."""
        return bool(self._sessions.changed)

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
            yield number, self._stored(number), [id_ for id_, packed in self.rows(number, False) if packed is None]

    cdef bytes _stored(self, uint64_t number):
        """Of each session the bytes of its block, those of its id, and the block, as ``packed_sessions`` tells.

        Nothing follows from a session that has kept no event, so it is left out.
        """
        cdef Handle handle
        cdef Packed *session
        cdef Py_ssize_t size = 0
        cdef bytes stored
        cdef char *at
        cdef list kept = []
        for handle in self._sessions.members(number):
            session = self._sessions.at(handle)
            if session.size > session.id_size:
                size += 6 + session.size
                kept.append(handle)
        stored = PyBytes_FromStringAndSize(NULL, size)
        at = PyBytes_AS_STRING(stored)
        for handle in kept:
            session = self._sessions.at(handle)
            memcpy(at, &session.size, 4)
            memcpy(at + 4, &session.id_size, 2)
            memcpy(at + 6, session.block, session.size)
            at += 6 + session.size
        return stored

    def rows(self, uint64_t number, bint is_whole=True):
        """Of a shard's sessions the id, and names and packed events; None of one that is away."""
        cdef Handle handle
        cdef Packed *session
        for handle in self._sessions.members(number):
            session = self._sessions.at(handle)
            if session.is_away:
                yield _str(session_id(session)), None
            elif is_whole and session.size > session.id_size:
                yield _str(session_id(session)), self._packed(session)

    def everything(self):
        """Rows of all sessions."""
        for number in self._sessions.numbers():
            yield from self.rows(number)

    def begin_at(self, number):
        """Sessions that are restored are in shards from this number on."""
        self._sessions.begin_at(number)

    def restore(self, number, str session_id):
        """The handle of a session to be put back into this shard."""
        cdef Handle handle = 0
        self._sessions.fill(number)
        self._send_away(self._sessions.add(_text(session_id), &handle))
        return handle

    def restore_stored(self, number, bytes stored, int64_t watermark_ms):
        """Take the sessions of a shard that are not there yet, as ``take_changed`` gave them."""
        cdef const char *at = stored
        cdef const char *end = at + len(stored)
        cdef Packed from_
        cdef Packed *session
        cdef Handle handle = 0
        self._sessions.fill(number)
        self._is_silent = True
        try:
            while at < end:
                memcpy(&from_.size, at, 4)
                memcpy(&from_.id_size, at + 4, 2)
                from_.block = <char *>at + 6
                if self._sessions.find(session_id(&from_), &handle) == NULL:
                    session = self._sessions.add(session_id(&from_), &handle)
                    session.timer_ms = _never
                    self._copy(session, handle, &from_)
                    self._time_out(session, watermark_ms)
                    self._schedule(session, handle)
                    self._keep(session, handle, session.last_ms)
                at += 6 + from_.size
        finally:
            self._is_silent = False

    cdef int _copy(self, Packed *session, Handle handle, Packed *from_) except -1:
        """Have a session's walk made of the events of another's block."""
        cdef uint32_t position = from_.id_size
        cdef Event *event
        cdef Touch touch
        while position < from_.size:
            event = event_at(from_, position)
            memset(&touch, 0, sizeof(Touch))
            touch.at_ms, touch.amount, touch.type = event.at_ms, event.amount, type_in(event)
            touch.event_id = id_of(event)
            touch.step, touch.customer = text_at(from_, event.step), text_at(from_, event.customer)
            self._append(session, handle, &touch, text_at(from_, event.where), None)
            position += event.size
        return 0

    def end_restoring(self, number):
        """All is as a cut wrote it, so far as nothing had to move; new sessions go into this shard and later ones."""
        self._sessions.take_changed()
        self._sessions.fill(number)


cdef list _values_of(Text where):
    cdef const char *at = where.at
    cdef uint16_t size
    values = []
    for _ in range(4):
        memcpy(&size, at, 2)
        at += 2
        if size == 0xFFFF:
            values.append(None)
        else:
            values.append(PyUnicode_DecodeUTF8(at, size, NULL))
            at += size
    return values
