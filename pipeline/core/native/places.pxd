"""Where events happen: combinations of dimensions, and what a batch counts there by bucket."""

from libc.stdint cimport int64_t


cdef class Place:
    cdef readonly tuple dims
    cdef readonly tuple names      # what the log of a session begins with whose first event is here
    cdef int64_t *_rows            # bucket, events, and for each funnel the journeys opened
    cdef Py_ssize_t _count
    cdef Py_ssize_t _room
    cdef Py_ssize_t _width

    cdef int64_t *row(self, int64_t at_ms) except NULL
