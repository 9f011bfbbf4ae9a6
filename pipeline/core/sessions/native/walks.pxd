"""The walk of a session's events through the funnels."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from pipeline.core.sessions.native.bases cimport Base
from pipeline.core.sessions.native.block cimport Event, Open, Session
from pipeline.core.sessions.native.places cimport Places
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.words cimport TYPES, Words


cdef enum:
    FUNNELS = 64  # at most: each is one bit
    AT_STEPS = 256


cdef struct AtStep:    # events of a type at one step, and the funnels whose journeys they open, complete, abandon
    int type
    Text step
    uint64_t opens
    uint64_t completes
    uint64_t abandons
    uint64_t fills
    uint64_t empties


cdef class Walks:
    cdef tuple _funnels
    cdef int count
    cdef int64_t _timeout_ms[FUNNELS]
    cdef uint64_t _opens[TYPES]      # by type of event, the funnels whose journeys it opens, completes, abandons
    cdef uint64_t _completes[TYPES]
    cdef uint64_t _abandons[TYPES]
    cdef uint64_t _fills[TYPES]      # the same, of which a line is added, taken away
    cdef uint64_t _empties[TYPES]
    cdef uint64_t _has_lines         # the funnels that count them
    cdef AtStep _at_steps[AT_STEPS]  # what is asked of a step besides
    cdef int _steps
    cdef bint _has_steps[TYPES]
    cdef uint64_t _opening           # the same of the event that is passed
    cdef uint64_t _completing
    cdef uint64_t _abandoning
    cdef uint64_t _filling
    cdef uint64_t _emptying
    cdef Words _words
    cdef list _kept                  # what ``_at_steps`` points into
    cdef Places _places
    cdef list _ended
    cdef bint is_silent              # journeys that end are known already
    cdef readonly int64_t longest_ms

    cdef int begin(self, Session *session, Base base) except -1
    cdef int64_t walk(self, Session *session, uint32_t *position, uint32_t end, int64_t before_ms) except? -2
    cdef object value_of(self, Open *journey)
    cdef int advance(self, Session *session, Touch *touch, Text where, uint64_t *opened) except -1
    cdef int step(self, Session *session, uint32_t position, int64_t before_ms, uint64_t *opened) except -1
    cdef int have_timed_out(self, Session *session, list funnels) except -1
    cdef list begin_list(self)
    cdef list end_list(self, list others)
    cdef inline str name_of(self, Open *journey):
        return self._funnels[journey.funnel].name

    cdef int time_out(self, Session *session, int64_t watermark_ms) except -1
    cdef int64_t shortest(self, Session *session) noexcept
    cdef int64_t deadline(self, Session *session) noexcept
    cdef list timed_out(self, Session *session)
    cdef int _pass(self, Session *session, uint32_t position, int64_t before_ms) except -1
    cdef int _open(self, Session *session, uint32_t position, uint64_t opening) except -1
    cdef void _add_up(self, Session *session, Open *journey, uint32_t position) noexcept
    cdef tuple _steps_of(self, Session *session, Open *journey)
    cdef int _end(self, Session *session, Open *journey, int64_t at_ms, str outcome, object reason) except -1
    cdef int _time_out(self, Session *session, Open *journey, int64_t last_ms) except -1
    cdef void _look_up(self, Session *session, Event *event) noexcept
    cdef int _take_occasions(self, str channel) except -1
    cdef object entry(self, Session *session, Event *event)
