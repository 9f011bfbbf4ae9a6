# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Puts late events in their places, and has their sessions walked anew once the batch ends.

As ``pipeline.core.sessions.reference`` does it: what has changed is told against what the walk had come to before the
first of the batch's late events. Until the batch ends they wait beside the session, which is packed anew once.
"""

from bisect import bisect_left

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from pipeline.core.sessions.native.bases cimport Base, Bases
from pipeline.core.sessions.native.block cimport Event, Session, append, begin, clear, comes_before, event_at, id_of, make_room, next_event, session_id
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.sessions cimport Handle, Handles, Sessions
from pipeline.core.sessions.native.texts cimport str_of, text_of
from pipeline.core.sessions.native.walks cimport Walks

from pipeline.core.sessions.late import changes
from pipeline.core.sessions.walk import journey_key

cdef enum:
    LONG = 8192          # bytes of a block: in a longer one events are looked up by marks
    BYTES_PER_MARK = 4096


cdef class LateSession:
    """A session before it is walked anew."""

    def __dealloc__(self):
        clear(&self.waiting)


cdef class LateSessions:
    def __init__(self, Sessions sessions, Walks walks, Bases bases, Py_ssize_t most_later):
        self._sessions, self._walks, self._bases, self._most_later = sessions, walks, bases, most_later
        self._late, self._marks, self._ordinals = {}, {}, {}

    cdef Outcome take(self, Session *session, Handle handle, Touch *touch, Text where) except *:
        """Have an event wait for its place, unless it is there already or too far back."""
        cdef uint32_t position = self.position_of(session, handle, touch.at_ms, touch.event_id)
        cdef Event *there = event_at(session, position)
        cdef LateSession late = self._late.get(handle) if session.is_late else None
        cdef tuple key = (touch.at_ms, str_of(touch.event_id))
        cdef Py_ssize_t place = 0 if late is None else bisect_left(late.order, key)
        cdef Py_ssize_t later = 0 if late is None else len(late.order) - place
        cdef Text id_
        if later + self._count_from(session, handle, position) >= self._most_later:
            return TOO_FAR_BACK
        if position < session.size and there.at_ms == touch.at_ms:
            id_ = id_of(there)
            if id_.size == touch.event_id.size and memcmp(id_.at, touch.event_id.at, id_.size) == 0:
                return DUPLICATE
        if later and late.order[place][:2] == key:
            return DUPLICATE
        if late is None:
            late = self._as_it_was(session, handle)
            late.handle, late.first, late.keys, late.order = handle, key, set(), []
            begin(&late.waiting, session_id(session))
            self._late[handle], session.is_late = late, True
        late.first = min(late.first, key)
        late.keys.add(key)
        late.order.insert(place, (*key, append(&late.waiting, touch, where)))
        session.last_ms = max(session.last_ms, touch.at_ms)
        return TAKEN

    cdef int append(self, Session *session, Handle handle, Touch *touch, Text where) except -1:
        """Take an event in order that comes after late ones of the same batch."""
        (<LateSession>self._late[handle]).keys.add((touch.at_ms, str_of(touch.event_id)))
        append(session, touch, where)
        return 0

    cdef int moved(self, Handle handle) except -1:
        """A session was packed anew: what was noted of places in it is no more so."""
        self._marks.pop(handle, None)
        self._ordinals.pop(handle, None)
        return 0

    cdef Py_ssize_t waiting(self, Handle handle) except -1:
        """How many late events of a session wait."""
        return len((<LateSession>self._late[handle]).order)

    # --- where events are -----------------------------------------------------------------------

    cdef uint32_t position_of(self, Session *session, Handle handle, int64_t at_ms, Text event_id) except 0:
        """Of the first event that does not come before (time, id); the block's size where there is none."""
        cdef uint32_t position = self._bases.start(session, handle)
        cdef Event *event
        cdef Handles marks
        cdef Py_ssize_t low = 0, high, middle
        if session.size > LONG:
            marks = self._marks_of(session, handle)
            high = marks.count
            while low < high:
                middle = (low + high) // 2
                event = event_at(session, <uint32_t>marks.of[middle])
                if comes_before(event.at_ms, id_of(event), at_ms, event_id):
                    low = middle + 1
                else:
                    high = middle
            position = <uint32_t>marks.of[low - 1] if low else position
        while position < session.size:
            event = event_at(session, position)
            if not comes_before(event.at_ms, id_of(event), at_ms, event_id):
                break
            position += event.size
        return position

    cdef Handles _marks_of(self, Session *session, Handle handle):
        """Positions of some events of a long session; within a batch events are only added at its end."""
        cdef Handles marks = self._marks.get(handle), ordinals = self._ordinals.get(handle)
        cdef uint32_t position = self._bases.start(session, handle), last = 0
        cdef uint64_t count = 0
        if marks is None:
            marks, ordinals = self._marks[handle], self._ordinals[handle] = Handles(), Handles()
        elif marks.count:
            ordinals.count -= 1  # how many there were
            position = last = <uint32_t>marks.of[marks.count - 1]
            count = ordinals.of[marks.count - 1]
        else:
            ordinals.count = 0
        while position < session.size:
            if position - last >= BYTES_PER_MARK:
                marks.append(position)
                ordinals.append(count)
                last = position
            position += event_at(session, position).size
            count += 1
        ordinals.append(count)
        return marks

    cdef Py_ssize_t _count_from(self, Session *session, Handle handle, uint32_t position) except -1:
        """How many events begin there or later, if they can be as many as none is put before any more; else 0."""
        cdef Handles marks, ordinals
        cdef Py_ssize_t low = 0, high, middle, count = 0
        cdef uint32_t at = position
        if (session.size + self.bytes_waiting(session, handle)) // sizeof(Event) < <size_t>self._most_later:
            return 0
        if session.size <= LONG:
            while at < session.size:
                at += event_at(session, at).size
                count += 1
            return count
        marks = self._marks_of(session, handle)
        ordinals = self._ordinals[handle]
        high = marks.count
        while low < high:
            middle = (low + high) // 2
            if marks.of[middle] <= position:
                low = middle + 1
            else:
                high = middle
        at = <uint32_t>marks.of[low - 1] if low else self._bases.start(session, handle)
        count = ordinals.of[low - 1] if low else 0
        while at < position:
            at += event_at(session, at).size
            count += 1
        return <Py_ssize_t>ordinals.of[ordinals.count - 1] - count

    # --- the end of a batch ---------------------------------------------------------------------

    def settle(self):
        """Walk all anew: of each the handle and the id, what has changed, and by key the journeys that have ended."""
        taken, self._late, self._marks, self._ordinals = self._late, {}, {}, {}
        return [self._settled(late) for late in taken.values()]

    cdef tuple _settled(self, LateSession late):
        cdef Session *session = self._sessions.at(late.handle)
        session.is_late = False
        _merge(session, late, self._bases.start(session, late.handle))
        return late.handle, (str_of(session_id(session)), *self._walked(session, late))

    cdef LateSession _as_it_was(self, Session *session, Handle handle):
        """What a session's walk has come to. It is made again: its journeys that have ended are not kept."""
        cdef LateSession late = LateSession()
        cdef Base base = self._bases.of(session, handle)
        cdef uint32_t position = self._bases.start(session, handle)
        cdef list funnels = self._walks.timed_out(session), others = self._walks.begin_list()
        self._walks.begin(session, base)
        self._walks.walk(session, &position, session.size, -1 if base is None else base.last_ms)
        self._walks.have_timed_out(session, funnels)
        late.ended = {journey.key: journey for _, journey in self._walks.end_list(others)}
        late.opened = self._openings(session, late.ended)
        return late

    cdef tuple _walked(self, Session *session, LateSession late):
        cdef Base base = self._bases.of(session, late.handle)
        cdef uint32_t position = self._bases.start(session, late.handle)
        cdef uint32_t start = self.position_of(session, late.handle, late.first[0], text_of(late.first[1]))
        cdef list others = self._walks.begin_list()
        cdef int64_t before_ms
        self._walks.begin(session, base)
        before_ms = self._walks.walk(session, &position, start, -1 if base is None else base.last_ms)
        under_way = self._under_way(session)
        self._walks.walk(session, &position, session.size, before_ms)
        ended = {journey.key: journey for _, journey in self._walks.end_list(others)}
        opened = self._openings(session, ended)
        rest = []
        while start < session.size:
            rest.append(self._walks.entry(session, event_at(session, start)))
            start += event_at(session, start).size
        self.moved(late.handle)
        return changes(late.ended, late.opened, ended, opened, under_way, before_ms, rest, late.keys), ended

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


cdef int _merge(Session *session, LateSession late, uint32_t start) except -1:
    """Pack a session's events anew, with those among them that have waited. Its walk is stale then."""
    cdef Session fresh
    cdef Touch one
    cdef Text place
    cdef uint32_t position = start, waiting
    cdef Event *next_one
    begin(&fresh, session_id(session))
    make_room(&fresh, session.size + late.waiting.size)
    memcpy(fresh.block, session.block, start)
    fresh.size = start
    for _, _, where in late.order:
        waiting = where
        next_one = event_at(&late.waiting, waiting)
        while position < session.size and comes_before(
            event_at(session, position).at_ms, id_of(event_at(session, position)), next_one.at_ms, id_of(next_one)
        ):
            place = next_event(session, &position, &one)
            append(&fresh, &one, place)
        place = next_event(&late.waiting, &waiting, &one)
        append(&fresh, &one, place)
    while position < session.size:
        place = next_event(session, &position, &one)
        append(&fresh, &one, place)
    free(session.block)
    session.block, session.size, session.room, session.last_ms = fresh.block, fresh.size, fresh.room, fresh.last_ms
    session.where, session.step, session.customer, session.visitor = fresh.where, fresh.step, fresh.customer, fresh.visitor
    return 0
