# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Folds away the first events of a session, of which nothing but the walk after them is kept."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from pipeline.core.sessions.native.bases cimport Base, Bases
from pipeline.core.sessions.native.block cimport NONE, Session, append, begin, make_room, next_event, put_text, session_id, text_at
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.walks cimport Walks


cdef int fold(Session *session, uint64_t handle, uint32_t until, Bases bases, Walks walks) except -1:
    """Fold the events before a position into the session's base, and pack it anew. No late event may wait."""
    cdef Base before = bases.of(session, handle), base = Base()
    cdef uint32_t position = bases.start(session, handle)
    cdef Session fresh
    cdef Touch one
    cdef Text place
    cdef list timed_out
    if until == position:
        return 0
    timed_out, walks.is_silent = walks.timed_out(session), True
    try:
        walks.begin(session, before)
        base.last_ms = walks.walk(session, &position, until, -1 if before is None else before.last_ms)
        base.take(session)
        begin(&fresh, session_id(session))
        make_room(&fresh, session.size - until)
        _move(session, &fresh, base)
        while position < session.size:
            place = next_event(session, &position, &one)
            append(&fresh, &one, place)
        free(session.block)
        session.block, session.size, session.room = fresh.block, fresh.size, fresh.room
        session.where, session.step = fresh.where, fresh.step
        session.customer, session.visitor = fresh.customer, fresh.visitor
        bases.drop(session, handle)
        if base.opens:
            bases.put(session, handle, base)
        position = bases.start(session, handle)
        walks.begin(session, base)
        walks.walk(session, &position, session.size, base.last_ms)
        walks.have_timed_out(session, timed_out)
    finally:
        walks.is_silent = False
    return 0


cdef int _move(Session *session, Session *fresh, Base base) except -1:
    """Copy what a base refers to: opening events and those of its steps, last steps, customers and visitors."""
    cdef dict moved = {}
    cdef uint32_t at, step
    for at in range(base.opens):
        base.open[at].opened_by = _moved(session, fresh, base.open[at].opened_by, moved)
        for step in range(base.open[at].count):
            base.open[at].steps[step] = _moved(session, fresh, base.open[at].steps[step], moved)
    for at in range(base.opens):
        if base.open[at].step != NONE:
            base.open[at].step = put_text(fresh, text_at(session, base.open[at].step))
        if base.open[at].customer != NONE:
            base.open[at].customer = put_text(fresh, text_at(session, base.open[at].customer))
        if base.open[at].visitor != NONE:
            base.open[at].visitor = put_text(fresh, text_at(session, base.open[at].visitor))
    base.start = fresh.size
    return 0


cdef uint32_t _moved(Session *session, Session *fresh, uint32_t position, dict moved) except 0:
    """Copy an event once; gives where it is now. ``moved``: the same of those that have been."""
    cdef uint32_t before = position
    cdef Touch one
    cdef Text place
    if before not in moved:
        place = next_event(session, &position, &one)
        moved[before] = append(fresh, &one, place)
    return moved[before]
