"""One touchpoint event as it lies in its message: texts are places in the message, numbers are read."""

from libc.stdint cimport int64_t, uint64_t

from pipeline.core.sessions.native.words cimport DIMENSIONS, Known


cdef struct Text:
    const char *at   # NULL: absent
    Py_ssize_t size  # bytes of UTF-8


cdef enum:
    NO_AMOUNT = -1


cdef struct Touch:
    int64_t at_ms
    int64_t amount   # in 1/10,000; NO_AMOUNT: none
    int type         # by its place in the vocabulary's
    bint is_denied   # as it was read: there was no consent, and the visitor is ``NOBODY``
    uint64_t hashed  # session_id, for ``sessions``, which writes it
    Text channel
    Text event_id
    Text session_id
    Text customer
    Text visitor
    Text order
    Text currency
    Text step
    Text where[DIMENSIONS]  # store_id, region, device, campaign, and the shop's: what dims has besides the channel


cdef inline bint is_nobody(Text visitor) noexcept nogil:
    """Whether there was no consent (``schemas.touchpoint.NOBODY``)."""
    return visitor.at != NULL and visitor.size == 0


cdef bint scan(const char *message, Py_ssize_t size, bint is_ascii, Touch *touch, const Known *known) noexcept nogil
cdef bint are_ascii(const char *at, Py_ssize_t size) noexcept nogil
