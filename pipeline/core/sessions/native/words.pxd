"""The event types and further dimensions of a shop, as they are looked up in a message."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp


cdef enum:
    TYPES = 128             # at most (``schemas.vocabulary``): seven bits
    TYPE_SLOTS = 256
    ATTRIBUTES = 8          # at most
    OWN_DIMENSIONS = 4      # store, region, device, campaign: those of the contract besides the channel
    DIMENSIONS = 12         # with the shop's
    NO_TYPE = 255


cdef struct Word:
    const char *at
    Py_ssize_t size


cdef struct Known:
    Word types[TYPES]
    uint8_t slots[TYPE_SLOTS]    # a table of open addressing; NO_TYPE: nothing there
    Word attributes[ATTRIBUTES]
    int attribute_count
    int dimensions               # besides the channel


cdef class Words:
    cdef Known known
    cdef readonly tuple types
    cdef list _kept              # what ``known`` points into


cdef inline uint32_t type_hash(const char *text, Py_ssize_t size) noexcept nogil:
    cdef uint32_t found = <uint32_t>size
    if size:
        found = (found * 31 + <uint8_t>text[0]) * 31 + <uint8_t>text[size >> 1]
        found = found * 31 + <uint8_t>text[size - 1]
    return (found ^ found >> 7) & (TYPE_SLOTS - 1)


cdef inline int type_of(const Known *known, const char *text, Py_ssize_t size) noexcept nogil:
    """The place in the vocabulary's types; -1: no type of the shop's."""
    cdef uint32_t slot = type_hash(text, size)
    cdef int code
    while known.slots[slot] != NO_TYPE:
        code = known.slots[slot]
        if known.types[code].size == size and memcmp(known.types[code].at, text, size) == 0:
            return code
        slot = (slot + 1) & (TYPE_SLOTS - 1)
    return -1


cdef inline int attribute_of(const Known *known, const char *text, Py_ssize_t size) noexcept nogil:
    """The place among the attributes that are dimensions; -1: it is none."""
    cdef int at
    for at in range(known.attribute_count):
        if known.attributes[at].size == size and memcmp(known.attributes[at].at, text, size) == 0:
            return at
    return -1
