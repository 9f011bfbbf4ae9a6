"""Sessions as others keep them: as ``event_log`` packs events, and as a checkpoint stores the blocks."""

from libc.stdint cimport int64_t, uint32_t

from pipeline.core.sessions.native.block cimport Session
from pipeline.core.sessions.native.places cimport Places
from pipeline.core.sessions.native.scan cimport Text, Touch


cdef packed struct Head:  # of an event as pipeline/core/sessions/event_log.py packs it
    int64_t at_ms
    int64_t amount
    uint32_t step
    uint32_t customer
    uint32_t dims
    uint32_t type_id


cdef tuple packed(Session *session, Places places)
cdef const char *next_packed(const char *at, const char *end, object names, Touch *touch) except NULL
cdef Text next_stored(Session *stored, uint32_t *position, Touch *touch) noexcept
