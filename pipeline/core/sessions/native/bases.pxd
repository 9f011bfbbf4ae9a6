"""What is kept of the events of a session that were folded away."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from pipeline.core.sessions.native.block cimport Open, Session


cdef class Base:
    """The walk up to the first kept event. There is one only where a journey was open then."""

    cdef Open *open       # their opening events, last steps, customers and visitors come first in the block
    cdef uint32_t opens
    cdef uint32_t start   # where the kept events begin
    cdef int64_t last_ms  # time of the last event that was folded away

    cdef int take(self, Session *session) except -1


cdef class Bases:
    """By session the base that it has."""

    cdef dict _bases

    cdef int put(self, Session *session, uint64_t handle, Base base) except -1
    cdef int drop(self, Session *session, uint64_t handle) except -1

    cdef inline Base of(self, Session *session, uint64_t handle):
        """None where there is none."""
        return <Base>self._bases[handle] if session.has_base else None

    cdef inline uint32_t start(self, Session *session, uint64_t handle) except 0:
        """Where the kept events begin."""
        return (<Base>self._bases[handle]).start if session.has_base else session.id_size
