# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Puts late events in their places, and has their sessions walked anew once the batch ends.

As ``pipeline.core.sessions.session`` does it: what has changed is told against what the walk had come to before the first of
the batch's late events.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp

from pipeline.core.sessions.native.block cimport Event, Session, append, begin, event_at, id_of, make_room, session_id
from pipeline.core.sessions.native.packing cimport next_stored
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.sessions cimport Handle, Sessions
from pipeline.core.sessions.native.texts cimport str_of, text_of
from pipeline.core.sessions.native.walks cimport Walks

from pipeline.core.sessions.walk import journey_key
from pipeline.core.sessions.session import changes


cdef class LateSession:
    """A session before it is walked anew."""


cdef class LateSessions:
    def __init__(self, Sessions sessions, Walks walks):
        self._sessions, self._walks, self._late = sessions, walks, {}

    cdef int take(self, Session *session, Handle handle, Touch *touch, Text where) except -1:
        """Put an event in its place. It must not be there yet."""
        cdef LateSession late
        cdef tuple key = (touch.at_ms, str_of(touch.event_id))
        if session.is_late:
            late = self._late[handle]
            late.first = min(late.first, key)
        else:
            late = self._as_it_was(session)
            late.handle, late.first, late.keys = handle, key, set()
            self._late[handle], session.is_late = late, True
        late.keys.add(key)
        return _insert(session, touch, where)

    cdef int append(self, Session *session, Handle handle, Touch *touch, Text where) except -1:
        """Take an event in order that comes after late ones of the same batch (``Session.append``)."""
        (<LateSession>self._late[handle]).keys.add((touch.at_ms, str_of(touch.event_id)))
        append(session, touch, where)
        return 0

    def take_out(self, Handle handle):
        """Leave a session to the objects: what ``Session.late`` has to know of it."""
        cdef LateSession late = self._late.pop(handle)
        self._sessions.at(handle).is_late = False
        return late.ended, late.opened, late.first, late.keys

    def settle(self):
        """Walk all anew: of each the handle and the id, what has changed, and by key the journeys that have ended."""
        taken, self._late = self._late, {}
        return [self._settled(late) for late in taken.values()]

    cdef tuple _settled(self, LateSession late):
        cdef Session *session = self._sessions.at(late.handle)
        session.is_late = False
        return late.handle, (str_of(session_id(session)), *self._walked(session, late))

    cdef LateSession _as_it_was(self, Session *session):
        """What a session's walk has come to. It is made again: its journeys that have ended are not kept."""
        cdef LateSession late = LateSession()
        cdef uint32_t position = session.id_size
        cdef list funnels = self._walks.timed_out(session), others = self._walks.begin_list()
        session.opens = 0
        self._walk(session, &position, session.size, -1)
        self._walks.have_timed_out(session, funnels)
        late.ended = {journey.key: journey for _, journey in self._walks.end_list(others)}
        late.opened = self._openings(session, late.ended)
        return late

    cdef tuple _walked(self, Session *session, LateSession late):
        cdef uint32_t position = session.id_size, start = _position_of(session, late.first)
        cdef list others = self._walks.begin_list()
        cdef int64_t before_ms
        session.opens = 0
        before_ms = self._walk(session, &position, start, -1)
        under_way = self._under_way(session)
        self._walk(session, &position, session.size, before_ms)
        ended = {journey.key: journey for _, journey in self._walks.end_list(others)}
        opened = self._openings(session, ended)
        rest = []
        while start < session.size:
            rest.append(self._walks.entry(session, event_at(session, start)))
            start += event_at(session, start).size
        return changes(late.ended, late.opened, ended, opened, under_way, before_ms, rest, late.keys), ended

    cdef int64_t _walk(self, Session *session, uint32_t *position, uint32_t end, int64_t before_ms) except? -2:
        """Walk the events from a position on; gives the time of the last one before ``end``."""
        cdef uint64_t opened
        while position[0] < end:
            self._walks.step(session, position[0], before_ms, &opened)
            before_ms = event_at(session, position[0]).at_ms
            position[0] += event_at(session, position[0]).size
        return before_ms

    cdef dict _under_way(self, Session *session):
        """By funnel the events that have opened the journeys that are open."""
        cdef uint32_t at
        return {
            self._walks.name_of(&session.open[at]): self._walks.entry(session, event_at(session, session.open[at].opened_by))
            for at in range(session.opens)
        }

    cdef dict _openings(self, Session *session, dict ended):
        found = {key: journey.opened_by for key, journey in ended.items()}
        for funnel, opened_by in self._under_way(session).items():
            found[journey_key(funnel, opened_by)] = opened_by
        return found


cdef bint _comes_before(int64_t at_ms, Text id_, int64_t other_ms, Text other_id) noexcept nogil:
    """Whether an event comes before another in (time, id) order."""
    cdef int order
    if at_ms != other_ms:
        return at_ms < other_ms
    order = memcmp(id_.at, other_id.at, min(id_.size, other_id.size))
    return order < 0 or (order == 0 and id_.size < other_id.size)


cdef uint32_t _position_of(Session *session, tuple key) except 0:
    """Of the first event that does not come before (time, id)."""
    cdef int64_t at_ms = key[0]
    cdef Text id_ = text_of(key[1])
    cdef uint32_t position = session.id_size
    cdef Event *event
    while position < session.size:
        event = event_at(session, position)
        if not _comes_before(event.at_ms, id_of(event), at_ms, id_):
            break
        position += event.size
    return position


cdef int _insert(Session *session, Touch *touch, Text where) except -1:
    """Pack a session's events anew, with another one among them. Its walk is stale then."""
    cdef Session fresh
    cdef Touch one
    cdef Text place
    cdef uint32_t position = session.id_size
    cdef bint is_there = False
    begin(&fresh, session_id(session))
    make_room(&fresh, session.size + touch.event_id.size + touch.step.size + touch.customer.size + where.size + 64)
    while position < session.size:
        place = next_stored(session, &position, &one)
        if not is_there and _comes_before(touch.at_ms, touch.event_id, one.at_ms, one.event_id):
            append(&fresh, touch, where)
            is_there = True
        append(&fresh, &one, place)
    if not is_there:
        append(&fresh, touch, where)
    free(session.block)
    session.block, session.size, session.room, session.last_ms = fresh.block, fresh.size, fresh.room, fresh.last_ms
    session.where, session.step, session.customer = fresh.where, fresh.step, fresh.customer
    return 0
