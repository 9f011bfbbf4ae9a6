# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Walks a session's events through the funnels, as ``pipeline.core.sessions.walk`` tells."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.sessions.native.bases cimport Base
from pipeline.core.sessions.native.block cimport MOST_STEPS, NONE, Event, Open, Session, append, event_at, id_of, session_id, text_at, type_in
from pipeline.core.sessions.native.places cimport Places
from pipeline.core.sessions.native.scan cimport NO_AMOUNT, Text, Touch, is_nobody
from pipeline.core.sessions.native.texts cimport str_of, text_of
from pipeline.core.sessions.native.words cimport Words

from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.walk import ABANDONED, ADDS, COMPLETED, EMPTIED, EXPLICIT, SETS, SUBTRACTS, TIMEOUT, Journey
from pipeline.model.event_time import NEVER_MS
from schemas.events import EVENT_TYPES

cdef enum:
    MOST_WHOLES = 0xFFFF

cdef int64_t WHOLE = 10**18  # of a value: the rest is counted (``block.Open``)
cdef int64_t _never = NEVER_MS
cdef object _new = tuple.__new__
cdef int _sets = EVENT_TYPES.index(SETS)
cdef int _adds = EVENT_TYPES.index(ADDS)
cdef int _subtracts = EVENT_TYPES.index(SUBTRACTS)


cdef class Walks:
    """The funnels, and the journeys that have ended."""

    def __init__(self, funnels, str channel, Words words, Places places):
        """``channel``: the partition's. Raises ValueError where there are more than fit."""
        cdef int number
        self._funnels, self.count = funnels.all, len(funnels.all)
        if self.count > FUNNELS:
            raise ValueError(f"{self.count} funnels, at most {FUNNELS} fit")
        self._places, self._words, self._ended, self._kept = places, words, [], []
        self.longest_ms = funnels.longest_timeout_ms
        for number, funnel in enumerate(self._funnels):
            self._timeout_ms[number] = funnel.timeout_ms
        self._take_occasions(channel)

    cdef int _take_occasions(self, str channel) except -1:
        cdef int code, kind, number
        cdef uint64_t bit
        cdef dict at_steps = {}
        cdef uint64_t *by_type[5]
        by_type[0], by_type[1], by_type[2] = self._opens, self._completes, self._abandons
        by_type[3], by_type[4] = self._fills, self._empties
        for number, funnel in enumerate(self._funnels):
            bit = <uint64_t>1 << number
            self._has_lines |= bit * funnel.has_lines
            all_of = (funnel.opens_on, funnel.completes_on, funnel.abandons_on, funnel.fills_on, funnel.empties_on)
            for kind, occasions in enumerate(all_of):
                for on in occasions.events:
                    if on.channel is not None and on.channel != channel:
                        continue
                    code = self._words.types.index(on.type)
                    if on.step is not None:
                        at_steps.setdefault((code, on.step), [0] * len(all_of))[kind] |= bit
                    else:
                        by_type[kind][code] |= bit
        if len(at_steps) > AT_STEPS:
            raise ValueError(f"{len(at_steps)} steps in the conditions of funnels, at most {AT_STEPS} fit")
        self._steps = len(at_steps)
        for number, ((code, step), masks) in enumerate(at_steps.items()):
            self._kept.append(step)
            self._has_steps[code] = True
            self._at_steps[number].type, self._at_steps[number].step = code, text_of(step)
            self._at_steps[number].opens, self._at_steps[number].completes = masks[0], masks[1]
            self._at_steps[number].abandons = masks[2]
            self._at_steps[number].fills, self._at_steps[number].empties = masks[3], masks[4]
        return 0

    cdef void _look_up(self, Session *session, Event *event) noexcept:
        """Have what the event opens, completes and abandons."""
        cdef int type_ = type_in(event), at
        cdef AtStep *one
        cdef Text step
        self._opening, self._completing, self._abandoning = self._opens[type_], self._completes[type_], self._abandons[type_]
        self._filling, self._emptying = self._fills[type_], self._empties[type_]
        if not self._has_steps[type_] or event.step == NONE:
            return
        step = text_at(session, event.step)
        for at in range(self._steps):
            one = &self._at_steps[at]
            if one.type == type_ and one.step.size == step.size and memcmp(one.step.at, step.at, step.size) == 0:
                self._opening |= one.opens
                self._completing |= one.completes
                self._abandoning |= one.abandons
                self._filling |= one.fills
                self._emptying |= one.empties

    def take_ended(self):
        """Session and journey of each that has ended since the last call."""
        taken, self._ended = self._ended, []
        return taken

    cdef int advance(self, Session *session, Touch *touch, Text where, uint64_t *opened) except -1:
        """Take the session's next event (``Walk.advance``); ``opened``: the funnels of which it opens a journey."""
        cdef int64_t before_ms = session.last_ms
        return self.step(session, <uint32_t>append(session, touch, where), before_ms, opened)

    cdef int begin(self, Session *session, Base base) except -1:
        """Have the walk stand where it stood before the first kept event. ``base``: None where it is the first of all."""
        cdef Open *opens
        session.opens = 0 if base is None else base.opens
        if session.opens:
            opens = <Open *>realloc(session.open, session.opens * sizeof(Open))
            if opens == NULL:
                raise MemoryError
            session.open = opens
            memcpy(opens, base.open, session.opens * sizeof(Open))
        return 0

    cdef int64_t walk(self, Session *session, uint32_t *position, uint32_t end, int64_t before_ms) except? -2:
        """Walk the events from a position on; gives the time of the last one before ``end``."""
        cdef uint64_t opened
        while position[0] < end:
            self.step(session, position[0], before_ms, &opened)
            before_ms = event_at(session, position[0]).at_ms
            position[0] += event_at(session, position[0]).size
        return before_ms

    cdef int step(self, Session *session, uint32_t position, int64_t before_ms, uint64_t *opened) except -1:
        """Let the walk go on to an event; ``before_ms``: the time of the one before it, -1 where there is none."""
        cdef Event *event = event_at(session, position)
        cdef uint64_t opening
        cdef uint32_t at
        cdef int funnel
        self._look_up(session, event)
        opening = self._opening
        if session.opens:
            for at in range(session.opens):
                funnel = session.open[at].funnel
                if event.at_ms - before_ms <= self._timeout_ms[funnel]:
                    opening &= ~(<uint64_t>1 << funnel)
            self._pass(session, position, before_ms)
        if opening:
            self._open(session, position, opening)
        opened[0] = opening
        return 0

    cdef int _pass(self, Session *session, uint32_t position, int64_t before_ms) except -1:
        """Let the open journeys see the event."""
        cdef Event *event = event_at(session, position)
        cdef uint32_t at, kept = 0
        cdef Open *journey
        cdef uint64_t bit
        for at in range(session.opens):
            journey = &session.open[at]
            bit = <uint64_t>1 << journey.funnel
            if event.at_ms - before_ms > self._timeout_ms[journey.funnel]:
                self._time_out(session, journey, before_ms)
                continue
            self._add_up(session, journey, position)
            if self._completing & bit:
                self._end(session, journey, event.at_ms, COMPLETED, None)
            elif self._abandoning & bit:
                self._end(session, journey, event.at_ms, ABANDONED, EXPLICIT)
            else:
                session.open[kept] = journey[0]
                kept += 1
        session.opens = kept
        return 0

    cdef int _open(self, Session *session, uint32_t position, uint64_t opening) except -1:
        cdef int funnel
        cdef Open *opens
        for funnel in range(self.count):
            if opening >> funnel & 1:
                opens = <Open *>realloc(session.open, (session.opens + 1) * sizeof(Open))
                if opens == NULL:
                    raise MemoryError
                session.open = opens
                memset(&opens[session.opens], 0, sizeof(Open))
                opens[session.opens].funnel, opens[session.opens].opened_by = funnel, position
                self._add_up(session, &opens[session.opens], position)
                session.opens += 1
        return 0

    cdef void _add_up(self, Session *session, Open *journey, uint32_t position) noexcept:
        """Let an event of the journey change its value, steps, customer and visitor. Amounts are at most 10**16."""
        cdef Event *event = event_at(session, position)
        cdef int type_ = type_in(event)
        if event.step != NONE:
            if event.step != journey.step and _is_new(session, journey, event.step):
                journey.steps[journey.count] = position
                journey.count += 1
            journey.step = event.step
        if is_nobody(text_at(session, event.visitor)):
            journey.customer = journey.visitor = NONE
        else:
            if event.customer != NONE:
                journey.customer = event.customer
            if event.visitor != NONE:
                journey.visitor = event.visitor
        if self._filling >> journey.funnel & 1:
            journey.lines += 1
        elif self._emptying >> journey.funnel & 1 and journey.lines:
            journey.lines -= 1
        if event.amount == NO_AMOUNT:
            return
        if type_ == _sets or self._completing >> journey.funnel & 1:
            journey.value, journey.wholes = event.amount, 0
        elif type_ == _adds:
            journey.value += event.amount
            if journey.value >= WHOLE and journey.wholes < MOST_WHOLES:
                journey.value -= WHOLE
                journey.wholes += 1
        elif type_ == _subtracts:
            journey.value -= event.amount
            if journey.value < 0 and journey.wholes:
                journey.value += WHOLE
                journey.wholes -= 1
            journey.value = max(0, journey.value)

    cdef object value_of(self, Open *journey):
        return journey.value if not journey.wholes else journey.value + journey.wholes * 10**18

    cdef int _end(self, Session *session, Open *journey, int64_t at_ms, str outcome, object reason) except -1:
        cdef object last_step, customer, visitor
        if self.is_silent:
            return 0
        last_step, customer = str_of(text_at(session, journey.step)), str_of(text_at(session, journey.customer))
        visitor = str_of(text_at(session, journey.visitor))
        # NamedTuple's own constructor is a Python function; this is C.
        ended = _new(
            Journey,
            (
                self.name_of(journey),
                self.entry(session, event_at(session, journey.opened_by)),
                at_ms,
                outcome,
                reason,
                self.value_of(journey),
                last_step,
                customer,
                visitor,
                self._steps_of(session, journey) if journey.count else (),
            ),
        )
        self._ended.append((str_of(session_id(session)), ended))
        return 0

    cdef tuple _steps_of(self, Session *session, Open *journey):
        """The steps that it came to first, and the ms from its opening to each."""
        cdef int64_t opened_ms = event_at(session, journey.opened_by).at_ms
        cdef uint32_t at
        cdef Event *event
        cdef list found = []
        for at in range(journey.count):
            event = event_at(session, journey.steps[at])
            found.append((str_of(text_at(session, event.step)), event.at_ms - opened_ms))
        return tuple(found)

    cdef object entry(self, Session *session, Event *event):
        return Entry(
            event.at_ms,
            str_of(id_of(event)),
            self._words.types[type_in(event)],
            None if event.amount == NO_AMOUNT else event.amount,
            str_of(text_at(session, event.step)),
            str_of(text_at(session, event.customer)),
            str_of(text_at(session, event.visitor)),
            str_of(text_at(session, event.order)),
            self._places.at(text_at(session, event.where)).dims,
        )

    cdef list begin_list(self):
        """Have the journeys that end listed apart; gives those that had ended so far, for ``end_list``."""
        others, self._ended = self._ended, []
        return others

    cdef list end_list(self, list others):
        """Session and journey of each that has ended since ``begin_list``."""
        listed, self._ended = self._ended, others
        return listed

    cdef int _time_out(self, Session *session, Open *journey, int64_t last_ms) except -1:
        """End a journey by its timeout after its session's event at ``last_ms``."""
        cdef int64_t ended_ms = last_ms + self._timeout_ms[journey.funnel]
        if journey.lines == 0 and self._has_lines >> journey.funnel & 1:
            return self._end(session, journey, ended_ms, EMPTIED, EMPTIED)
        return self._end(session, journey, ended_ms, ABANDONED, TIMEOUT)

    cdef int time_out(self, Session *session, int64_t watermark_ms) except -1:
        """End the open journeys whose timeout lies before the watermark."""
        cdef uint32_t at
        cdef Open *journey
        for at in range(session.opens):
            journey = &session.open[at]
            if not journey.has_timed_out and session.last_ms + self._timeout_ms[journey.funnel] < watermark_ms:
                journey.has_timed_out = True
                self._time_out(session, journey, session.last_ms)
        return 0

    cdef int have_timed_out(self, Session *session, list funnels) except -1:
        """End the open journeys of these funnels by their timeouts (``Session.have_timed_out``)."""
        cdef uint32_t at
        cdef Open *journey
        for at in range(session.opens):
            journey = &session.open[at]
            if self.name_of(journey) in funnels:
                journey.has_timed_out = True
                self._time_out(session, journey, session.last_ms)
        return 0

    cdef int64_t shortest(self, Session *session) noexcept:
        """The shortest timeout of the open journeys; NEVER_MS where none is open."""
        cdef int64_t shortest_ms = _never
        cdef uint32_t at
        for at in range(session.opens):
            shortest_ms = min(shortest_ms, self._timeout_ms[session.open[at].funnel])
        return shortest_ms

    cdef int64_t deadline(self, Session *session) noexcept:
        """When the next journey that has not been ended times out; NEVER_MS where there is none."""
        cdef int64_t deadline_ms = _never
        cdef uint32_t at
        for at in range(session.opens):
            if not session.open[at].has_timed_out:
                deadline_ms = min(deadline_ms, session.last_ms + self._timeout_ms[session.open[at].funnel])
        return deadline_ms

    cdef list timed_out(self, Session *session):
        """The funnels whose journeys have timed out, and are open to the walk."""
        cdef uint32_t at
        return [self.name_of(&session.open[at]) for at in range(session.opens) if session.open[at].has_timed_out]


cdef bint _is_new(Session *session, Open *journey, uint32_t step) noexcept:
    """Whether the journey has not come to the step before, and there is room for it."""
    cdef Text text = text_at(session, step), there
    cdef uint32_t at
    for at in range(journey.count):
        there = text_at(session, event_at(session, journey.steps[at]).step)
        if there.size == text.size and memcmp(there.at, text.at, text.size) == 0:
            return False
    return journey.count < MOST_STEPS
