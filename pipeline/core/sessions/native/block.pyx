# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Packs the events of a session into its block of memory, in order of time."""

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.words cimport Known

cdef Py_ssize_t where_of(Touch *touch, int dimensions, char *into) noexcept nogil:
    """Write store, region, device, campaign and the shop's dimensions, each behind its length; gives the bytes written."""
    cdef char *at = into
    cdef uint16_t size
    cdef int place
    for place in range(dimensions):
        size = <uint16_t>touch.where[place].size if touch.where[place].at != NULL else ABSENT
        memcpy(at, &size, 2)
        at += 2
        if size != ABSENT:
            memcpy(at, touch.where[place].at, size)
            at += size
    return at - into


cdef int make_room(Session *session, Py_ssize_t more) except -1:
    """Let the block take so many bytes more; grown by an eighth only, for most memory is in blocks."""
    cdef Py_ssize_t needed = session.size + more
    cdef char *block
    if needed > session.room:
        needed = (needed + needed // 8 + 15) & ~15
        block = <char *>realloc(session.block, needed)
        if block == NULL:
            raise MemoryError
        session.block, session.room = block, <uint32_t>needed
    return 0


cdef int begin(Session *session, Text session_id) except -1:
    """Make an empty session. Its id must not lie in its own block."""
    memset(session, 0, sizeof(Session))
    make_room(session, session_id.size + sizeof(Event) + 64)
    memcpy(session.block, session_id.at, session_id.size)
    session.size = session.id_size = <uint16_t>session_id.size
    session.last_ms = -1
    return 0


cdef void clear(Session *session) noexcept nogil:
    free(session.block)
    free(session.open)
    session.block, session.open, session.opens = NULL, NULL, 0


cdef inline bint _is_at(Session *session, uint32_t position, Text text) noexcept nogil:
    cdef Text there = text_at(session, position)
    return position != NONE and there.size == text.size and memcmp(there.at, text.at, text.size) == 0


cdef inline uint32_t _put_text(Session *session, uint32_t *at, Text text) noexcept nogil:
    """Write a text behind what is there; there must be room."""
    cdef uint32_t position = at[0]
    cdef uint16_t size = <uint16_t>text.size
    memcpy(session.block + position, &size, 2)
    memcpy(session.block + position + 2, text.at, text.size)
    at[0] = position + 2 + size
    return position


cdef int64_t append(Session *session, Touch *touch, Text where) except -1:
    """Take an event that comes after all others; gives its position. Its texts must not lie in the block.

    A text that the event before it had is kept once.
    """
    cdef uint32_t position = session.size, at = position + sizeof(Event), order
    cdef Event *event
    cdef Py_ssize_t texts = touch.step.size + touch.customer.size + touch.visitor.size + touch.order.size + where.size
    make_room(session, sizeof(Event) + touch.event_id.size + texts + 5 * 2)
    memcpy(session.block + at, touch.event_id.at, touch.event_id.size)
    at += <uint32_t>touch.event_id.size
    if not _is_at(session, session.where, where):
        session.where = _put_text(session, &at, where)
    if touch.step.at != NULL and not _is_at(session, session.step, touch.step):
        session.step = _put_text(session, &at, touch.step)
    if touch.customer.at != NULL and not _is_at(session, session.customer, touch.customer):
        session.customer = _put_text(session, &at, touch.customer)
    if touch.visitor.at != NULL and not _is_at(session, session.visitor, touch.visitor):
        session.visitor = _put_text(session, &at, touch.visitor)
    order = NONE if touch.order.at == NULL else _put_text(session, &at, touch.order)
    event = event_at(session, position)
    event.at_ms, event.amount, event.where = touch.at_ms, touch.amount, session.where
    event.step = session.step if touch.step.at != NULL else NONE
    event.customer = session.customer if touch.customer.at != NULL else NONE
    event.visitor = session.visitor if touch.visitor.at != NULL else NONE
    event.order = order
    event.size, event.id_type = <uint16_t>(at - position), <uint16_t>(touch.event_id.size << 7 | touch.type)
    session.size, session.last_ms = at, touch.at_ms
    return position


cdef uint32_t put_text(Session *session, Text text) except 0:
    """Write a text that belongs to no event; gives where. It must not lie in the block."""
    cdef uint32_t at = session.size
    make_room(session, text.size + 2)
    _put_text(session, &at, text)
    session.size, at = at, session.size
    return at


cdef Text next_event(Session *session, uint32_t *position, Touch *touch) noexcept:
    """Read the event at a position, and go on to the next; gives where it happened."""
    cdef Event *event = event_at(session, position[0])
    memset(touch, 0, sizeof(Touch))
    touch.at_ms, touch.amount, touch.type = event.at_ms, event.amount, type_in(event)
    touch.event_id = id_of(event)
    touch.step, touch.customer = text_at(session, event.step), text_at(session, event.customer)
    touch.visitor, touch.order = text_at(session, event.visitor), text_at(session, event.order)
    position[0] += event.size
    return text_at(session, event.where)


cdef bint is_event(Session *stored, uint32_t position, const Known *known, int types) noexcept nogil:
    """Whether an event lies there, whole, and all that it refers to. ``types``: how many types there are."""
    cdef Event *event
    if position < stored.id_size or position > stored.size or stored.size - position < sizeof(Event):
        return False
    event = event_at(stored, position)
    if event.size > stored.size - position or event.size < sizeof(Event) + (event.id_type >> 7):
        return False
    if type_in(event) >= types or not _is_where(stored, event.where, known.dimensions):
        return False
    return is_text(stored, event.step) and is_text(stored, event.customer) and is_text(stored, event.visitor) and (
        is_text(stored, event.order)
    )


cdef bint is_text(Session *stored, uint32_t position) noexcept nogil:
    """Whether a text, or none, lies there."""
    if position == NONE:
        return True
    return stored.id_size <= position and stored.size >= 2 and position <= stored.size - 2 and (
        text_at(stored, position).size <= stored.size - position - 2
    )


cdef bint _is_where(Session *stored, uint32_t position, int dimensions) noexcept nogil:
    """Whether so many dimensions lie there, as ``where_of`` writes them."""
    cdef Text text
    cdef Py_ssize_t at = 0
    cdef uint16_t size
    if position == NONE or not is_text(stored, position):
        return False
    text = text_at(stored, position)
    for _ in range(dimensions):
        if text.size - at < 2:
            return False
        memcpy(&size, text.at + at, 2)
        at += 2
        if size != ABSENT:
            if size > text.size - at:
                return False
            at += size
    return at == text.size
