"""Where events happen: combinations of dimensions, and what a batch counts there by bucket."""

from libc.stdint cimport int64_t, uint64_t

from pipeline.core.sessions.native.scan cimport Text


cdef class Place:
    cdef readonly tuple dims
    cdef bytes _key
    cdef int64_t *_rows            # bucket, events, and for each funnel the journeys opened
    cdef Py_ssize_t _count
    cdef Py_ssize_t _room
    cdef Py_ssize_t _width

    cdef int64_t *row(self, int64_t at_ms) except NULL


cdef class Places:
    cdef str _channel
    cdef tuple _counters
    cdef dict _places    # by store, region, device and campaign as block.where_of writes them
    cdef list _recent    # of these one for each hash, the one that was found last
    cdef list _touched

    cdef Place at(self, Text where)
    cdef Place _find(self, bytes key, Text where)
    cdef int64_t count(self, Place place, int64_t at_ms, uint64_t opened) except -1
