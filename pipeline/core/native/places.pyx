# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Counts of a batch, by place and bucket."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from pipeline.core.event_log import names_of
from pipeline.core.tiles import BUCKET_MS

cdef int64_t _bucket_ms = BUCKET_MS


cdef class Place:
    """One combination of dimensions."""

    def __cinit__(self, tuple dims, Py_ssize_t funnels):
        self.dims = dims
        self.names = names_of(dims)
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
