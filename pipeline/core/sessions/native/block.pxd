"""The events of one session in one block of memory: its id, then one record after the other.

A record is an :c:struct:`Event`, the event's id, and the texts that no event before it had: each with its length in
two bytes before it. Records refer to texts by their distance from the block's beginning.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.words cimport Known


cdef enum:
    ABSENT = 0xFFFF  # instead of a length: a dimension that the event does not have
    NONE = 0  # no text: the session's id is there
    MOST_STEPS = 15  # of a journey, as ``walk.MOST_STEPS``
    WHERE_BYTES = 12 * (2 + 256)  # the longest that ``where_of`` writes


cdef packed struct Event:
    int64_t at_ms
    int64_t amount     # NO_AMOUNT: none
    uint32_t where     # what dims has besides the channel, as where_of writes it
    uint32_t step
    uint32_t customer
    uint32_t visitor
    uint32_t order
    uint16_t size      # of the record
    uint16_t id_type   # bytes of the id << 7 | type


cdef struct Open:      # a journey between its opening and its closing event
    int64_t value
    uint32_t opened_by # where the opening event is
    uint32_t step      # the last one, as the last customer and the last visitor
    uint32_t customer
    uint8_t funnel
    uint8_t has_timed_out
    uint16_t wholes    # how often WHOLE goes into the value besides
    uint32_t lines     # what was filled in and not taken out again, where the funnel counts it
    uint32_t visitor
    uint32_t count     # of the steps that it came to first,
    uint32_t steps[MOST_STEPS]  # and where the first event at each is


cdef struct Session:
    char *block        # NULL: there is no session here
    Open *open
    int64_t last_ms    # time of the latest event; -1 before the first
    int64_t timer_ms   # when timeouts are looked at next; NEVER_MS: they are not
    uint32_t size
    uint32_t room
    uint32_t where     # the texts that were seen last
    uint32_t step
    uint32_t customer
    uint32_t visitor
    uint32_t opens     # journeys that are open
    uint16_t id_size
    uint8_t has_base   # journeys were open when what came before was folded away (``folding``)
    uint8_t is_late    # its walk is stale until the batch ends
    uint8_t is_misplaced  # its id belongs in another partition
    uint8_t is_observed   # an event that named the last customer and the last visitor has been told of
    uint8_t is_watched    # it has facts, so that whom its events name matters


cdef inline Text session_id(Session *session) noexcept nogil:
    cdef Text found
    found.at, found.size = session.block, session.id_size
    return found


cdef inline Event *event_at(Session *session, uint32_t position) noexcept nogil:
    return <Event *>(session.block + position)


cdef inline Text id_of(Event *event) noexcept nogil:
    cdef Text found
    found.at, found.size = <char *>event + sizeof(Event), event.id_type >> 7
    return found


cdef inline int type_in(Event *event) noexcept nogil:
    return event.id_type & 127


cdef inline Text text_at(Session *session, uint32_t position) noexcept nogil:
    cdef Text found
    cdef uint16_t size = 0
    found.at = NULL
    if position != NONE:
        memcpy(&size, session.block + position, 2)
        found.at = session.block + position + 2
    found.size = size
    return found


cdef inline bint comes_before(int64_t at_ms, Text id_, int64_t other_ms, Text other_id) noexcept nogil:
    """Whether an event comes before another in (time, id) order."""
    cdef int order
    if at_ms != other_ms:
        return at_ms < other_ms
    order = memcmp(id_.at, other_id.at, min(id_.size, other_id.size))
    return order < 0 or (order == 0 and id_.size < other_id.size)


cdef Py_ssize_t where_of(Touch *touch, int dimensions, char *into) noexcept nogil
cdef int make_room(Session *session, Py_ssize_t more) except -1
cdef int begin(Session *session, Text session_id) except -1
cdef int64_t append(Session *session, Touch *touch, Text where) except -1
cdef void clear(Session *session) noexcept nogil
cdef uint32_t put_text(Session *session, Text text) except 0
cdef Text next_event(Session *session, uint32_t *position, Touch *touch) noexcept
cdef bint is_event(Session *stored, uint32_t position, const Known *known, int types) noexcept nogil
cdef bint is_text(Session *stored, uint32_t position) noexcept nogil
