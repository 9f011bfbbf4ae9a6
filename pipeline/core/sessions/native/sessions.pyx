# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Keeps sessions by shard, finds them by id, and knows when to look at them."""

import heapq

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memset

from pipeline.core.sessions.native.block cimport Session, begin, clear, session_id
from pipeline.core.sessions.native.scan cimport Text, Touch

cdef extern from "Python.h":
    ctypedef struct PyHash_FuncDef:
        Py_hash_t (*hash)(const void *at, Py_ssize_t size) noexcept nogil

    PyHash_FuncDef *PyHash_GetFuncDef()

# SipHash with the process's secret, so that nobody can choose ids that collide.
cdef PyHash_FuncDef *_siphash = PyHash_GetFuncDef()

cdef enum:
    HANDLE_BITS = 40
    HASH_BITS = 24
    LEAST_ROOM = 64
    FEW_SHARDS = 64  # that are no more: their places may stay
    AT_ONCE = 16  # sessions asked for

cdef uint64_t _HANDLE_MASK = (<uint64_t>1 << HANDLE_BITS) - 1


cdef extern from *:
    void __builtin_prefetch(const void *) noexcept nogil


cdef uint64_t hash_of(Text id_) noexcept nogil:
    """What ``Sessions`` finds an id by."""
    return <uint64_t>_siphash.hash(id_.at, id_.size) >> (64 - HASH_BITS)


cdef class Sessions:
    """A session's place in memory does not change as long as it is there; its block may move."""

    def __cinit__(self):
        self._mask = LEAST_ROOM - 1
        self._index = <uint64_t *>calloc(LEAST_ROOM, sizeof(uint64_t))
        if self._index == NULL:
            raise MemoryError
        self.changed = set()

    def __dealloc__(self):
        cdef uint64_t place
        cdef int at
        for place in range(self._count):
            if self._shards[place] != NULL:
                for at in range(self._shards[place].used):
                    clear(&self._shards[place].sessions[at])
                free(self._shards[place])
        free(self._shards)
        free(self._index)

    cdef void ask(self, Touch *touch) noexcept:
        """Say that the event's session will be looked for."""
        touch.hashed = hash_of(touch.session_id)
        __builtin_prefetch(&self._index[touch.hashed & self._mask])

    cdef void ask_more(self, Touch *touches, Py_ssize_t count) noexcept:
        """Have the sessions of some events on their way from memory, which have been asked for."""
        cdef Session *asked[AT_ONCE]
        cdef Py_ssize_t one, found = 0
        cdef uint64_t entry
        for one in range(min(count, <Py_ssize_t>AT_ONCE)):
            entry = self._index[touches[one].hashed & self._mask]
            # One that is not in its first place is not asked for. A hash may be 0, as where nothing is.
            if entry != 0 and entry >> HANDLE_BITS == touches[one].hashed:
                asked[found] = self._place_of((entry & _HANDLE_MASK) - 1)
                __builtin_prefetch(asked[found])
                found += 1
        for one in range(found):
            __builtin_prefetch(asked[one].block)
            __builtin_prefetch(asked[one].block + asked[one].size)
            __builtin_prefetch(asked[one].block + asked[one].size + 64)
            __builtin_prefetch(asked[one].open)

    cdef Session *find(self, Text id_, uint64_t hashed, Handle *handle) noexcept:
        """The session of this id, whose hash it is; NULL: there is none."""
        cdef uint64_t at = hashed & self._mask, entry
        cdef Session *found
        while True:
            entry = self._index[at]
            if entry == 0:
                return NULL
            if entry >> HANDLE_BITS == hashed:
                handle[0] = (entry & _HANDLE_MASK) - 1
                found = self._place_of(handle[0])
                if found.id_size == id_.size and memcmp(found.block, id_.at, id_.size) == 0:
                    return found
            at = (at + 1) & self._mask

    cdef Session *add(self, Text id_, uint64_t hashed, Handle *handle) except NULL:
        """A new session, in the shard that is filling up. Its id must not be there yet."""
        cdef Shard *shard
        cdef Session *session
        cdef uint64_t room = PER_SHARD if self.is_restoring else self._room_of_new()
        self._place(self._filling)
        while self._shards[self._filling - self._first].used >= room:
            if self._shards[self._filling - self._first].alive == 0:
                self._free(self._filling - self._first)
            self._filling += 1
            self._place(self._filling)
        shard = self._shards[self._filling - self._first]
        session = &shard.sessions[shard.used]
        begin(session, id_)
        handle[0] = self._filling << 8 | shard.used
        shard.used += 1
        shard.alive += 1
        shard.members += 1
        self.alive += 1
        self.touch(handle[0])
        if self.alive * 3 > self._mask * 2:
            self._grow()
        self._put(hashed << HANDLE_BITS | (handle[0] + 1))
        return session

    cdef int touch(self, Handle handle) except -1:
        """The session's shard must be written at the next cut."""
        cdef Shard *shard = self._shards[(handle >> 8) - self._first]
        if not shard.has_changed:
            shard.has_changed = True
            self.changed.add(handle >> 8)
        return 0

    cdef int remove(self, Handle handle) except -1:
        """Forget a session. Its shard is written again only when half of it is gone (``shards.SessionShards``)."""
        cdef uint64_t place = (handle >> 8) - self._first
        cdef Shard *shard = self._shards[place]
        cdef Session *session = &shard.sessions[handle & 255]
        self._take_out(session_id(session), handle)
        clear(session)
        self.alive -= 1
        shard.alive -= 1
        if shard.alive * 2 <= shard.members:
            self.touch(handle)
        if shard.alive == 0 and (shard.used == PER_SHARD or handle >> 8 < self._filling):
            if handle >> 8 == self._filling:
                self._filling += 1  # its number must not come again
            self._free(place)
        return 0

    cdef void _free(self, uint64_t place) noexcept:
        free(self._shards[place])
        self._shards[place] = NULL

    cdef uint64_t _room_of_new(self) noexcept:
        """How many sessions a new shard takes (``shards.shard_room``)."""
        cdef uint64_t room = LEAST_PER_SHARD
        while room < PER_SHARD and self.alive >= room * 64:
            room *= 2
        return room

    cdef int _take_out(self, Text id_, Handle handle) except -1:
        """Out of the index; what follows moves up, so that it is found without a gap."""
        cdef uint64_t at = hash_of(id_) & self._mask, ahead, home
        while self._index[at] & _HANDLE_MASK != handle + 1:
            at = (at + 1) & self._mask
        ahead = at
        while True:
            ahead = (ahead + 1) & self._mask
            if self._index[ahead] == 0:
                break
            home = (self._index[ahead] >> HANDLE_BITS) & self._mask
            if (ahead - home) & self._mask >= (ahead - at) & self._mask:
                self._index[at] = self._index[ahead]
                at = ahead
        self._index[at] = 0
        return 0

    cdef int _put(self, uint64_t entry) except -1:
        cdef uint64_t at = (entry >> HANDLE_BITS) & self._mask
        while self._index[at] != 0:
            at = (at + 1) & self._mask
        self._index[at] = entry
        return 0

    cdef int _grow(self) except -1:
        cdef uint64_t *before = self._index
        cdef uint64_t room = self._mask + 1, at
        cdef uint64_t *index = <uint64_t *>calloc(room * 2, sizeof(uint64_t))
        if index == NULL:
            raise MemoryError
        self._index, self._mask = index, room * 2 - 1
        for at in range(room):
            if before[at] != 0:
                self._put(before[at])
        free(before)
        return 0

    cdef int _place(self, uint64_t number) except -1:
        """Have the shard of this number in memory. Numbers below the first one have their shards no more."""
        cdef uint64_t place
        cdef Shard **shards
        place = number - self._first
        if place >= self._room:
            shards = <Shard **>realloc(self._shards, (place + 1) * 2 * sizeof(Shard *))
            if shards == NULL:
                raise MemoryError
            self._shards, self._room = shards, (place + 1) * 2
        if place >= self._count:
            memset(&self._shards[self._count], 0, (place + 1 - self._count) * sizeof(Shard *))
            self._count = place + 1
        if self._shards[place] == NULL:
            self._shards[place] = <Shard *>calloc(1, sizeof(Shard))
            if self._shards[place] == NULL:
                raise MemoryError
        return 0

    cdef void _drop_first(self) noexcept:
        """Forget where the oldest shards were, once half of the places are of shards that are no more."""
        cdef uint64_t gone = 0, place
        while gone < self._count and self._shards[gone] == NULL:
            gone += 1
        if gone > FEW_SHARDS and gone * 2 > self._count:
            for place in range(gone, self._count):
                self._shards[place - gone] = self._shards[place]
            self._first += gone
            self._count -= gone

    def begin_at(self, uint64_t number):
        """Let no shard have a lower number. Only while there is none."""
        self._first = self._filling = number

    def fill(self, uint64_t number):
        """Let the sessions to come be in this shard, as far as there is room, and in later ones."""
        self._filling = number

    def numbers(self):
        """Of the shards that have anyone alive."""
        return [self._first + place for place in range(self._count) if self._shards[place] != NULL]

    def members(self, uint64_t number):
        """Handles of those in a shard that are alive."""
        cdef uint64_t place = number - self._first
        if place >= self._count or self._shards[place] == NULL:
            return []
        return [number << 8 | at for at in range(self._shards[place].used) if self._shards[place].sessions[at].block]

    def take_changed(self):
        """What a cut must write. Numbers of the shards that have changed, ascending; forgets that they did."""
        cdef uint64_t place
        numbers = sorted(self.changed)
        self.changed = set()
        for number in numbers:
            place = number - self._first
            if place < self._count and self._shards[place] != NULL:
                self._shards[place].has_changed = False
                self._shards[place].members = self._shards[place].alive
        self._drop_first()
        return numbers


cdef class TimerWheel:
    """A session may be in it several times, and is not taken out of it."""

    def __cinit__(self, int64_t slot_ms):
        self.slot_ms = slot_ms
        self._slots = {}
        self._order = []
        self._last_slot = -1

    cdef int add(self, int64_t at_ms, Handle handle) except -1:
        cdef int64_t slot = at_ms - at_ms % self.slot_ms
        cdef Handles there
        if slot == self._last_slot:
            return self._last.append(handle)
        there = self._slots.get(slot)
        if there is None:
            there = self._slots[slot] = Handles()
            heapq.heappush(self._order, slot)
        self._last_slot, self._last = slot, there
        return there.append(handle)

    cdef Handles take(self, int64_t before_ms):
        """Take out the slots that begin before the time: some of the last one may be due only after it."""
        cdef Handles taken = Handles()
        self._last_slot = -1
        while self._order and self._order[0] < before_ms:
            taken.extend(self._slots.pop(heapq.heappop(self._order)))
        return taken


cdef class Handles:
    def __dealloc__(self):
        free(self.of)

    cdef int append(self, Handle handle) except -1:
        cdef Handle *of
        if self.count == self._room:
            of = <Handle *>realloc(self.of, (self._room + self._room // 2 + 4) * sizeof(Handle))
            if of == NULL:
                raise MemoryError
            self.of, self._room = of, self._room + self._room // 2 + 4
        self.of[self.count] = handle
        self.count += 1
        return 0

    cdef int extend(self, Handles others) except -1:
        cdef Py_ssize_t at
        for at in range(others.count):
            self.append(others.of[at])
        return 0
