# cython: language_level=3, boundscheck=False, wraparound=False
"""Records of a partition, by column: no object is made and destroyed for each (decisions/0006)."""

from collections.abc import Sequence

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from pipeline.model.records import Record

cdef enum:
    FIRST_ROOM = 1_024


cdef class RecordColumns:
    """A sequence of :class:`pipeline.model.records.Record`, which makes those that are asked for."""

    def __cinit__(self):
        self.values, self.ticks, self._room = [], {}, 0
        self.offsets = self.stamps = NULL

    def __init__(self, records=()):
        for record in records:
            self.append(record)

    def __dealloc__(self):
        free(self.offsets)
        free(self.stamps)

    def append(self, record):
        """Raises ValueError for a tick with a value."""
        offset, stamp_ms, value, tick_ms = record
        if tick_ms is not None:
            if value is not None:
                raise ValueError(f"record {offset} has a value and is said to be a tick")
            self.ticks[len(self.values)] = tick_ms
        self.add(offset, stamp_ms, value)

    cdef int add(self, int64_t offset, int64_t stamp_ms, object value) except -1:
        """Append a record that is no tick."""
        cdef Py_ssize_t at = len(self.values)
        if at == self._room:
            self._have_room(max(FIRST_ROOM, 2 * self._room))
        self.offsets[at], self.stamps[at] = offset, stamp_ms
        self.values.append(value)
        return 0

    cdef int _have_room(self, Py_ssize_t room) except -1:
        cdef void *offsets = realloc(self.offsets, room * sizeof(int64_t))
        if offsets == NULL and room:
            raise MemoryError
        self.offsets = <int64_t *>offsets
        cdef void *stamps = realloc(self.stamps, room * sizeof(int64_t))
        if stamps == NULL and room:
            raise MemoryError
        self.stamps, self._room = <int64_t *>stamps, room
        return 0

    cdef int64_t earliest_ms(self) noexcept:
        """The earliest time of a record with a value; negative where there is none with a time."""
        cdef int64_t earliest = -1, stamp_ms
        cdef Py_ssize_t at
        for at in range(len(self.values)):
            stamp_ms = self.stamps[at]
            if stamp_ms >= 0 and (earliest < 0 or stamp_ms < earliest) and self.values[at] is not None:
                earliest = stamp_ms
        return earliest

    def __len__(self):
        return len(self.values)

    def __getitem__(self, at):
        """A record, or, of a slice, records by column; of all of them the same object."""
        cdef Py_ssize_t place, count = len(self.values)
        if isinstance(at, slice):
            start, stop, step = at.indices(count)
            if step != 1:
                raise ValueError("consecutive records only")
            return self._some(start, max(start, stop))
        place = at + count if at < 0 else at
        if not 0 <= place < count:
            raise IndexError(f"no record {at} of {count}")
        return Record(self.offsets[place], self.stamps[place], self.values[place], self.ticks.get(place))

    cdef RecordColumns _some(self, Py_ssize_t start, Py_ssize_t stop):
        cdef RecordColumns some
        if start == 0 and stop == len(self.values):
            return self
        some = RecordColumns()
        some._have_room(stop - start)
        some.values = self.values[start:stop]
        if stop > start:
            memcpy(some.offsets, self.offsets + start, (stop - start) * sizeof(int64_t))
            memcpy(some.stamps, self.stamps + start, (stop - start) * sizeof(int64_t))
        some.ticks = {place - start: tick_ms for place, tick_ms in self.ticks.items() if start <= place < stop}
        return some

    def __iter__(self):
        cdef Py_ssize_t place
        for place in range(len(self.values)):
            yield self[place]


Sequence.register(RecordColumns)
