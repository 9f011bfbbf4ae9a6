"""Messages read some events before these are taken."""

from libc.stdint cimport int64_t

from pipeline.core.sessions.native.columns cimport RecordColumns
from pipeline.core.sessions.native.scan cimport Touch
from pipeline.core.sessions.native.sessions cimport Sessions
from pipeline.core.sessions.native.words cimport Words


cdef enum:
    AHEAD = 8  # events: enough for memory to arrive, and few to read anew behind one that is left


cdef class Ahead:
    cdef Sessions _sessions
    cdef Words _words
    cdef RecordColumns _records
    cdef Py_ssize_t _first
    cdef Py_ssize_t _behind
    cdef Touch _touches[AHEAD]

    cdef int forget(self) except -1
    cdef Touch *event(self, RecordColumns records, Py_ssize_t at) except? NULL
    cdef int _read(self, RecordColumns records, Py_ssize_t at) except -1
