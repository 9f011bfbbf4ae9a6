"""Sessions that a late event has come to, until the batch ends."""

from libc.stdint cimport int64_t, uint32_t

from pipeline.core.sessions.native.bases cimport Bases
from pipeline.core.sessions.native.block cimport Session
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.sessions cimport Handle, Handles, Sessions
from pipeline.core.sessions.native.walks cimport Walks


cdef enum Outcome:
    TAKEN, DUPLICATE, TOO_FAR_BACK


cdef class LateSession:
    cdef Handle handle
    cdef dict ended      # by key, the journeys that had ended before the first late event came
    cdef dict opened     # by key, the events that had opened journeys
    cdef tuple first     # time and id of the earliest late event
    cdef set keys        # of that one and of all that have come since
    cdef Session waiting # the events that are to be put in their places, in a block of their own
    cdef list order      # of each time, id and position there, in order


cdef class LateSessions:
    cdef Sessions _sessions
    cdef Walks _walks
    cdef Bases _bases
    cdef Py_ssize_t _most_later
    cdef dict _late      # by handle
    cdef dict _marks     # by handle of a long session, positions in its block,
    cdef dict _ordinals  # how many events come before each, and the last: how many there are

    cdef int append(self, Session *session, Handle handle, Touch *touch, Text where) except -1
    cdef Outcome take(self, Session *session, Handle handle, Touch *touch, Text where) except *
    cdef uint32_t position_of(self, Session *session, Handle handle, int64_t at_ms, Text event_id) except 0
    cdef Py_ssize_t _count_from(self, Session *session, Handle handle, uint32_t position) except -1
    cdef int moved(self, Handle handle) except -1
    cdef Py_ssize_t waiting(self, Handle handle) except -1
    cdef inline uint32_t bytes_waiting(self, Session *session, Handle handle) except? 0xFFFFFFFF:
        """Of the late events of a session that wait."""
        return (<LateSession>self._late[handle]).waiting.size if session.is_late else 0

    cdef Handles _marks_of(self, Session *session, Handle handle)
    cdef LateSession _as_it_was(self, Session *session, Handle handle)
    cdef tuple _settled(self, LateSession late)
    cdef tuple _walked(self, Session *session, LateSession late)
    cdef dict _under_way(self, Session *session)
    cdef dict _openings(self, Session *session, dict ended)
