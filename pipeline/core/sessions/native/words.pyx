# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Puts a shop's words where the scanner finds them."""

from libc.stdint cimport uint32_t
from libc.string cimport memset


cdef class Words:
    def __init__(self, vocabulary):
        """Raises ValueError where there are more than fit."""
        cdef int code
        cdef uint32_t slot
        cdef bytes word
        self.types = vocabulary.event_types
        if len(self.types) > TYPES or len(vocabulary.attributes) > ATTRIBUTES:
            raise ValueError(f"{len(self.types)} event types, {len(vocabulary.attributes)} dimensions: too many")
        self._kept = [name.encode() for name in (*self.types, *vocabulary.attributes)]
        memset(&self.known, 0, sizeof(Known))
        memset(self.known.slots, NO_TYPE, sizeof(self.known.slots))
        for code in range(len(self.types)):
            word = self._kept[code]
            self.known.types[code].at, self.known.types[code].size = word, len(word)
            slot = type_hash(word, len(word))
            while self.known.slots[slot] != NO_TYPE:
                slot = (slot + 1) & (TYPE_SLOTS - 1)
            self.known.slots[slot] = code
        self.known.attribute_count = len(vocabulary.attributes)
        self.known.dimensions = OWN_DIMENSIONS + self.known.attribute_count
        for code in range(self.known.attribute_count):
            word = self._kept[len(self.types) + code]
            self.known.attributes[code].at, self.known.attributes[code].size = word, len(word)
