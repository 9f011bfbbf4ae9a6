"""Records of a partition, by column."""

from libc.stdint cimport int64_t


cdef class RecordColumns:
    cdef list values
    cdef dict ticks
    cdef int64_t *offsets
    cdef int64_t *stamps
    cdef Py_ssize_t _room

    cdef int add(self, int64_t offset, int64_t stamp_ms, object value) except -1
    cdef int64_t earliest_ms(self) noexcept
    cdef int _have_room(self, Py_ssize_t room) except -1
    cdef RecordColumns _some(self, Py_ssize_t start, Py_ssize_t stop)
