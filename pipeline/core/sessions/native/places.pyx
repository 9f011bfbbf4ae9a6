# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Counts of a batch, by place and bucket."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.sessions.native.block cimport ABSENT
from pipeline.core.sessions.native.scan cimport Text

from pipeline.model.tiles import BUCKET_MS

cdef enum:
    MOST_PLACES = 100_000
    RECENT = 1024  # a power of two

cdef int64_t _bucket_ms = BUCKET_MS


cdef class Place:
    """One combination of dimensions."""

    def __cinit__(self, bytes key, tuple dims, Py_ssize_t funnels):
        self._key, self.dims = key, dims
        self._width = 2 + funnels

    def __dealloc__(self):
        free(self._rows)

    cdef int64_t *row(self, int64_t at_ms) except NULL:
        """The counts of the bucket that the instant is in: its start, the events, the journeys opened."""
        cdef int64_t bucket = at_ms - at_ms % _bucket_ms
        cdef Py_ssize_t at = self._count * self._width
        cdef int64_t *rows
        # Backwards: time mostly goes on, and what it comes back to is not long ago.
        while at > 0:
            at -= self._width
            if self._rows[at] == bucket:
                return &self._rows[at]
        if self._count == self._room:
            rows = <int64_t *>realloc(self._rows, (self._room * 2 + 1) * self._width * sizeof(int64_t))
            if rows == NULL:
                raise MemoryError
            self._rows, self._room = rows, self._room * 2 + 1
        rows = &self._rows[self._count * self._width]
        memset(rows, 0, self._width * sizeof(int64_t))
        rows[0] = bucket
        self._count += 1
        return rows

    def take(self, tuple names):
        """Bucket and counters of each row; none is left. ``names``: of the counters, in the order of a row."""
        cdef Py_ssize_t row, at
        cdef int64_t *of
        taken = []
        for row in range(self._count):
            of = &self._rows[row * self._width]
            taken.append((of[0], {names[at]: of[at + 1] for at in range(self._width - 1) if of[at + 1]}))
        self._count = 0
        return taken


cdef class Places:
    """Finds a place, and remembers those at which a batch has counted something."""

    def __init__(self, str channel, tuple counters):
        self._channel, self._counters = channel, counters
        self._places, self._touched, self._recent = {}, [], [None] * RECENT

    cdef Place at(self, Text where):
        cdef Py_ssize_t slot = _slot_of(where)
        cdef object recent = self._recent[slot]
        cdef bytes key
        if recent is not None:
            key = (<Place>recent)._key
            if PyBytes_GET_SIZE(key) == where.size and memcmp(PyBytes_AS_STRING(key), where.at, where.size) == 0:
                return <Place>recent
        recent = self._recent[slot] = self._find(PyBytes_FromStringAndSize(where.at, where.size), where)
        return <Place>recent

    cdef Place _find(self, bytes key, Text where):
        cdef Place found = self._places.get(key)
        if found is None:
            found = self._places[key] = Place(key, (self._channel, *_values_of(where)), len(self._counters) - 1)
        return found

    cdef int64_t count(self, Place place, int64_t at_ms, uint64_t opened) except -1:
        """Count an event that opened journeys of these funnels; gives its bucket."""
        cdef int64_t *row
        cdef Py_ssize_t funnel
        if place._count == 0:
            self._touched.append(place)
        row = place.row(at_ms)
        row[1] += 1
        for funnel in range(place._width - 2 if opened else 0):
            row[2 + funnel] += opened >> funnel & 1
        return row[0]

    def take(self):
        """Dimensions, bucket and counters of what was counted since the last call."""
        cdef Place place
        taken = [(place.dims, *row) for place in self._touched for row in place.take(self._counters)]
        self._touched = []
        if len(self._places) > MOST_PLACES:
            self._places, self._recent = {}, [None] * RECENT
        return taken


cdef inline Py_ssize_t _slot_of(Text where) noexcept nogil:
    """Where collisions only take time, so a simple hash will do: multiplied and shifted, eight bytes after the other."""
    cdef uint64_t found = <uint64_t>where.size, eight
    cdef Py_ssize_t at = 0
    while where.size - at >= 8:
        memcpy(&eight, where.at + at, 8)
        found = _mixed(found ^ eight)
        at += 8
    eight = 0
    memcpy(&eight, where.at + at, where.size - at)
    return <Py_ssize_t>(_mixed(found ^ eight) & (RECENT - 1))


cdef inline uint64_t _mixed(uint64_t found) noexcept nogil:
    """A product's lower bits depend on nothing above them, so the upper ones are brought down."""
    found *= <uint64_t>0x9E3779B97F4A7C15
    return found ^ found >> 32


cdef list _values_of(Text where):
    cdef const char *at = where.at
    cdef uint16_t size
    values = []
    while at < where.at + where.size:
        memcpy(&size, at, 2)
        at += 2
        if size == ABSENT:
            values.append(None)
        else:
            values.append(PyUnicode_DecodeUTF8(at, size, NULL))
            at += size
    return values
