# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Turns a session's block into what others keep of it, and reads that, one event after the other."""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from pipeline.core.sessions.native.block cimport NONE, Event, Session, event_at, id_of, text_at, type_in
from pipeline.core.sessions.native.places cimport Places
from pipeline.core.sessions.native.scan cimport Text, Touch
from pipeline.core.sessions.native.texts cimport str_of, text_of

from schemas.events import EVENT_TYPES


cdef tuple packed(Session *session, Places places):
    """Names and packed events, as ``event_log`` has them."""
    cdef uint32_t position = session.id_size
    cdef Event *event
    cdef Head head
    cdef Text event_id
    cdef bytearray events = bytearray()
    cdef list names = [None]
    cdef dict known = {}
    if session.size == session.id_size:
        return [None, None], events
    while position < session.size:
        event = event_at(session, position)
        head.dims = _name(session, event.where, names, known, places)
        head.step = _name(session, event.step, names, known, None)
        head.customer = _name(session, event.customer, names, known, None)
        head.at_ms, head.amount = event.at_ms, event.amount
        event_id = id_of(event)
        head.type_id = <uint32_t>(event_id.size << 8 | type_in(event))
        events += (<char *>&head)[:sizeof(Head)]
        events += event_id.at[:event_id.size]
        position += event.size
    if len(names) == 2:
        return places.at(text_at(session, event_at(session, session.id_size).where)).names, events
    return names, events


cdef uint32_t _name(Session *session, uint32_t position, list names, dict known, Places places) except? 0:
    """The place of a text among the names. ``places``: it tells where an event was."""
    if position == NONE:
        return 0
    found = known.get(position)
    if found is None:
        text = text_at(session, position)
        name = str_of(text) if places is None else places.at(text).dims
        try:
            found = names.index(name)
        except ValueError:
            found = len(names)
            names.append(name)
        known[position] = found
    return found


cdef const char *next_packed(const char *at, const char *end, object names, Touch *touch) except NULL:
    """Read an event as ``event_log`` packs it; gives where the next one begins. Its texts are those of ``names``.

    Raises ValueError where there is none.
    """
    cdef Head head
    if end - at < sizeof(Head):
        raise ValueError("packed events are cut short")
    memcpy(&head, at, sizeof(Head))
    if end - at - sizeof(Head) < head.type_id >> 8 or (head.type_id & 255) >= len(EVENT_TYPES):
        raise ValueError("packed events are broken")
    memset(touch, 0, sizeof(Touch))
    touch.at_ms, touch.amount, touch.type = head.at_ms, head.amount, head.type_id & 255
    touch.event_id.at, touch.event_id.size = at + sizeof(Head), head.type_id >> 8
    touch.step, touch.customer = text_of(names[head.step]), text_of(names[head.customer])
    _, store_id, region, device, campaign = names[head.dims]
    touch.where[0], touch.where[1] = text_of(store_id), text_of(region)
    touch.where[2], touch.where[3] = text_of(device), text_of(campaign)
    return at + sizeof(Head) + touch.event_id.size


cdef Text next_stored(Session *stored, uint32_t *position, Touch *touch) noexcept:
    """Read the event at a position of a stored block, and go on to the next; gives where it happened."""
    cdef Event *event = event_at(stored, position[0])
    memset(touch, 0, sizeof(Touch))
    touch.at_ms, touch.amount, touch.type = event.at_ms, event.amount, type_in(event)
    touch.event_id = id_of(event)
    touch.step, touch.customer = text_at(stored, event.step), text_at(stored, event.customer)
    position[0] += event.size
    return text_at(stored, event.where)
