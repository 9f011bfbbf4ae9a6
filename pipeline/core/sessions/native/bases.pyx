# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Keeps what there is to know of events that were folded away: few sessions have any."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from pipeline.core.sessions.native.block cimport Open, Session


cdef class Base:
    def __dealloc__(self):
        free(self.open)

    cdef int take(self, Session *session) except -1:
        """Have the journeys that are open to the session's walk."""
        self.opens = session.opens
        self.open = <Open *>malloc(max(self.opens, 1) * sizeof(Open))
        if self.open == NULL:
            raise MemoryError
        memcpy(self.open, session.open, self.opens * sizeof(Open))
        return 0


cdef class Bases:
    def __cinit__(self):
        self._bases = {}

    cdef int put(self, Session *session, uint64_t handle, Base base) except -1:
        self._bases[handle] = base
        session.has_base = True
        return 0

    cdef int drop(self, Session *session, uint64_t handle) except -1:
        if session.has_base:
            del self._bases[handle]
            session.has_base = False
        return 0
