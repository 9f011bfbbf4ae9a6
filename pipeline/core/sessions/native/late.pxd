"""Sessions that a late event has come to, until the batch ends."""

from libc.stdint cimport int64_t, uint32_t

from pipeline.core.sessions.native.block cimport Session
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.sessions cimport Handle, Sessions
from pipeline.core.sessions.native.walks cimport Walks


cdef class LateSession:
    cdef Handle handle
    cdef dict ended    # by key, the journeys that had ended before the first late event came
    cdef dict opened   # by key, the events that had opened journeys
    cdef tuple first   # time and id of the earliest late event
    cdef set keys      # of that one and of all that have come since


cdef class LateSessions:
    cdef Sessions _sessions
    cdef Walks _walks
    cdef dict _late    # by handle

    cdef int append(self, Session *session, Handle handle, Touch *touch, Text where) except -1
    cdef int take(self, Session *session, Handle handle, Touch *touch, Text where) except -1
    cdef LateSession _as_it_was(self, Session *session)
    cdef tuple _settled(self, LateSession late)
    cdef tuple _walked(self, Session *session, LateSession late)
    cdef int64_t _walk(self, Session *session, uint32_t *position, uint32_t end, int64_t before_ms) except? -2
    cdef dict _under_way(self, Session *session)
    cdef dict _openings(self, Session *session, dict ended)
