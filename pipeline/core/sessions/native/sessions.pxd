"""All sessions of a partition, by id and by the shard of a checkpoint that they are in."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from pipeline.core.sessions.native.block cimport Session
from pipeline.core.sessions.native.scan cimport Text, Touch


cdef enum:
    PER_SHARD = 256
    LEAST_PER_SHARD = 16


cdef uint64_t hash_of(Text id_) noexcept nogil

ctypedef uint64_t Handle
"""A session's shard << 8 | its place there. Never used again: a handle of a session that is no more finds nothing."""


cdef struct Shard:
    Session sessions[PER_SHARD]
    uint16_t used       # places that have been given away
    uint16_t alive
    uint16_t members    # how many were alive at the last cut, and joined since
    uint8_t has_changed


cdef class Sessions:
    cdef Shard **_shards    # from number _first on; NULL: none of that shard is alive
    cdef uint64_t _first
    cdef uint64_t _count
    cdef uint64_t _room
    cdef uint64_t _filling
    cdef uint64_t *_index   # 24 bits of the id's hash, 40 bits of the handle + 1; 0: nothing
    cdef uint64_t _mask
    cdef readonly uint64_t alive
    cdef bint is_restoring  # shards are as they were stored, whatever their room would be now
    cdef readonly set changed  # numbers of the shards that a cut must write

    cdef inline Session *at(self, Handle handle) noexcept:
        cdef uint64_t place = (handle >> 8) - self._first
        cdef Shard *shard
        if place >= self._count:
            return NULL
        shard = self._shards[place]
        if shard == NULL or shard.sessions[handle & 255].block == NULL:
            return NULL
        return &shard.sessions[handle & 255]

    cdef void ask(self, Touch *touch) noexcept
    cdef void ask_more(self, Touch *touches, Py_ssize_t count) noexcept
    cdef Session *find(self, Text session_id, uint64_t hashed, Handle *handle) noexcept
    cdef Session *add(self, Text session_id, uint64_t hashed, Handle *handle) except NULL
    cdef inline Session *_place_of(self, Handle handle) noexcept:
        """Of a handle that is in the index."""
        return &self._shards[(handle >> 8) - self._first].sessions[handle & 255]

    cdef int touch(self, Handle handle) except -1
    cdef int remove(self, Handle handle) except -1
    cdef uint64_t _room_of_new(self) noexcept
    cdef void _free(self, uint64_t place) noexcept
    cdef int _place(self, uint64_t number) except -1
    cdef void _drop_first(self) noexcept
    cdef int _take_out(self, Text id_, Handle handle) except -1
    cdef int _put(self, uint64_t entry) except -1
    cdef int _grow(self) except -1


cdef class TimerWheel:
    """Sessions by when something is due for them, in slots of time."""

    cdef int64_t slot_ms
    cdef dict _slots
    cdef list _order
    cdef int64_t _last_slot    # what was added to last: most go to where the one before them went
    cdef Handles _last

    cdef int add(self, int64_t at_ms, Handle handle) except -1
    cdef Handles take(self, int64_t before_ms)


cdef class Handles:
    """Handles, one behind the other."""

    cdef Handle *of
    cdef Py_ssize_t count
    cdef Py_ssize_t _room

    cdef int append(self, Handle handle) except -1
    cdef int extend(self, Handles others) except -1
