# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Reads one event from JSON text (RFC 8259), in one pass and without an object.

It may only accept, as msgspec before pydantic (schemas/decoding.py): what it gives is what the Python decoder
gives for the same bytes, and whatever is rare (escapes, exponents, surveys, a field twice, other ways to write a
time) or broken it leaves to that one. A property test holds the two together.
"""

import sys

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pipeline.core.sessions.native.words cimport OWN_DIMENSIONS, Known, attribute_of, type_of

from schemas.events import EVENT_TYPES

cdef extern from *:
    int __builtin_ctzll(unsigned long long) noexcept nogil

cdef enum:
    DEEPEST = 32             # of unknown fields and attributes; deeper ones are left to the other decoder
    ATTRIBUTES_BYTES = 4096
    SHORT = 64               # code points of most texts
    LONG = 128               # of the ids of sessions, customers, visitors and orders
    EXACT_DIGITS = 15        # a double holds each number of so many decimal digits
    DECIMALS = 4             # of the unit of 1/10,000
    GUESSED = 24             # bytes of a name with quotes, colon and a blank or two
    TO_SECONDS = 19          # of a time's text

#: So that the two roundings err by less than half a unit. The largest amount, 1e12, is more.
cdef int64_t _most_units = <int64_t>1 << 50
cdef uint8_t _ends_text[256]  # quote, backslash and control characters
_ends_text[:] = [byte < 0x20 or byte in b'"\\' for byte in range(256)]
cdef int64_t _powers[5]
_powers[:] = [10_000, 1_000, 100, 10, 1]
cdef bint _is_little_endian = sys.byteorder == "little"
cdef int _survey = EVENT_TYPES.index("survey_answered")  # the contract's types come first in any vocabulary


cdef inline bint _is(Text text, const char *word, Py_ssize_t size) noexcept nogil:
    return text.size == size and memcmp(text.at, word, size) == 0


cdef inline const char *_past_blanks(const char *at, const char *end) noexcept nogil:
    while at < end and (at[0] == c' ' or at[0] == c'\n' or at[0] == c'\r' or at[0] == c'\t'):
        at += 1
    return at


cdef inline uint64_t _ends_in(uint64_t eight) noexcept nogil:
    """Of eight bytes, the highest bit of the first that ends a text, and of some behind it; 0: none does.

    A byte less than n is one from which n cannot be taken without a borrow (Mycroft's test of zero bytes).
    """
    cdef uint64_t quote = eight ^ _eight(c'"'), backslash = eight ^ _eight(c'\\')
    return (
        (quote - _eight(1)) & ~quote | (backslash - _eight(1)) & ~backslash | (eight - _eight(0x20)) & ~eight
    ) & _eight(0x80)


cdef inline uint64_t _eight(uint64_t byte) noexcept nogil:
    return byte * <uint64_t>0x0101010101010101


cdef bint are_ascii(const char *at, Py_ssize_t size) noexcept nogil:
    """Whether all bytes are below 0x80."""
    cdef uint64_t eight, seen = 0
    cdef const char *end = at + size
    while end - at >= 8:
        memcpy(&eight, at, 8)
        seen |= eight
        at += 8
    while at < end:
        seen |= <uint8_t>at[0]
        at += 1
    return not seen & _eight(0x80)


cdef inline const char *_text(const char *at, const char *end, Text *found) noexcept nogil:
    """Read a string without escapes, ``at`` behind its opening quote; NULL: not such a one."""
    cdef uint64_t eight, ends
    found.at = at
    while _is_little_endian and end - at >= 8:
        memcpy(&eight, at, 8)
        ends = _ends_in(eight)
        if ends:
            at += __builtin_ctzll(ends) >> 3
            break
        at += 8
    while at < end and not _ends_text[<uint8_t>at[0]]:
        at += 1
    found.size = at - found.at
    return at + 1 if at < end and at[0] == c'"' else NULL


cdef inline bint _is_digit(char one) noexcept nogil:
    return c'0' <= one <= c'9'


cdef const char *_past_number(const char *at, const char *end) noexcept nogil:
    """A JSON number without an exponent."""
    if at < end and at[0] == c'-':
        at += 1
    if at >= end or not _is_digit(at[0]):
        return NULL
    if at[0] == c'0':
        at += 1
        if at < end and _is_digit(at[0]):
            return NULL
    while at < end and _is_digit(at[0]):
        at += 1
    if at < end and at[0] == c'.':
        at += 1
        if at >= end or not _is_digit(at[0]):
            return NULL
        while at < end and _is_digit(at[0]):
            at += 1
    if at < end and (at[0] == c'e' or at[0] == c'E'):
        return NULL
    return at


cdef inline const char *_past_word(const char *at, const char *end, const char *word, Py_ssize_t size) noexcept nogil:
    if end - at < size or memcmp(at, word, size) != 0:
        return NULL
    return at + size


cdef const char *_past_value(const char *at, const char *end, int depth) noexcept nogil:
    """Behind any JSON value; NULL: not JSON, or nothing that is read here."""
    cdef Text ignored
    if at >= end or depth > DEEPEST:
        return NULL
    if at[0] == c'"':
        return _text(at + 1, end, &ignored)
    if at[0] == c'{' or at[0] == c'[':
        return _past_members(at, end, depth)
    if at[0] == c't':
        return _past_word(at, end, b"true", 4)
    if at[0] == c'f':
        return _past_word(at, end, b"false", 5)
    if at[0] == c'n':
        return _past_word(at, end, b"null", 4)
    return _past_number(at, end)


cdef const char *_past_members(const char *at, const char *end, int depth) noexcept nogil:
    cdef bint named = at[0] == c'{'
    cdef char closing = c'}' if named else c']'
    cdef Text ignored
    at = _past_blanks(at + 1, end)
    if at < end and at[0] == closing:
        return at + 1
    while at < end:
        if named:
            at = _past_name(at, end, &ignored)
            if at == NULL:
                return NULL
        at = _past_value(at, end, depth + 1)
        if at == NULL:
            return NULL
        at = _past_blanks(at, end)
        if at < end and at[0] == closing:
            return at + 1
        if at >= end or at[0] != c',':
            return NULL
        at = _past_blanks(at + 1, end)
    return NULL


cdef inline const char *_past_name(const char *at, const char *end, Text *name) noexcept nogil:
    """Behind a member's name and its colon."""
    if at >= end or at[0] != c'"':
        return NULL
    at = _text(at + 1, end, name)
    if at == NULL:
        return NULL
    at = _past_blanks(at, end)
    if at >= end or at[0] != c':':
        return NULL
    return _past_blanks(at + 1, end)


cdef const char *_amount(const char *at, const char *end, int64_t *units) noexcept nogil:
    """A number of at most EXACT_DIGITS digits and four decimals, from 0 on, in units of 1/10,000.

    Of such a one ``round(float(text) * 10_000)`` is the exact value: the two roundings err by less than half a unit.
    """
    cdef int64_t found = 0
    cdef int digits = 0, decimals = 0
    cdef const char *behind = _past_number(at, end)
    cdef bint is_fraction = False
    if behind == NULL or at[0] == c'-':
        return NULL
    while at < behind:
        if at[0] == c'.':
            is_fraction = True
        else:
            found = found * 10 + (at[0] - c'0')
            digits += 1
            decimals += is_fraction
            if digits > EXACT_DIGITS or decimals > DECIMALS:
                return NULL
        at += 1
    if found > _most_units // _powers[decimals]:
        return NULL
    units[0] = found * _powers[decimals]
    return behind


cdef inline int _number(const char *at, int digits) noexcept nogil:
    """Of so many decimal digits; -1: there are others."""
    cdef int found = 0, place
    for place in range(digits):
        if not _is_digit(at[place]):
            return -1
        found = found * 10 + (at[place] - c'0')
    return found


cdef inline int64_t _days(int year, int month, int day) noexcept nogil:
    """Days since 1970-01-01 in the Gregorian calendar, years counted from March."""
    cdef int64_t years = year - (month <= 2)
    cdef int64_t in_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return years * 365 + years // 4 - years // 100 + years // 400 + in_year - 719468


cdef inline int _days_in(int year, int month) noexcept nogil:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef char _last_second[TO_SECONDS]
cdef int64_t _last_second_ms
memset(_last_second, 0, TO_SECONDS)


cdef bint _time(Text text, int64_t *at_ms) noexcept nogil:
    """``2026-01-31T09:30:00.250Z``, with up to nine decimals or none; digits past the third are cut off."""
    global _last_second_ms
    cdef const char *at = text.at
    cdef int place, millis = 0
    cdef int decimals = <int>text.size - 21
    if text.size < 20 or text.size > 30 or text.size == 21 or at[text.size - 1] != c'Z':
        return False
    # Many events share a second with the one before.
    if memcmp(at, _last_second, TO_SECONDS) != 0:
        if not _second(at, &_last_second_ms):
            return False
        memcpy(_last_second, at, TO_SECONDS)
    if decimals > 0:
        if at[19] != c'.' or _number(at + 20, decimals) < 0:
            return False
        for place in range(3):
            millis = millis * 10 + (at[20 + place] - c'0' if place < decimals else 0)
    at_ms[0] = _last_second_ms + millis
    return True


cdef bint _second(const char *at, int64_t *at_ms) noexcept nogil:
    """``2026-01-31T09:30:00``."""
    cdef int year, month, day, hour, minute, second
    if at[4] != c'-' or at[7] != c'-' or at[10] != c'T' or at[13] != c':' or at[16] != c':':
        return False
    year, month, day = _number(at, 4), _number(at + 5, 2), _number(at + 8, 2)
    hour, minute, second = _number(at + 11, 2), _number(at + 14, 2), _number(at + 17, 2)
    if not (1970 <= year < 2200 and 1 <= month <= 12 and 1 <= day <= _days_in(year, month)):
        return False
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return False
    at_ms[0] = (((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000
    return True


cdef inline bint _fits(Text text, Py_ssize_t most, bint is_ascii) noexcept nogil:
    """Whether the text has from one to ``most`` code points."""
    cdef Py_ssize_t points = text.size, at
    if not is_ascii:
        points = 0
        for at in range(text.size):
            points += (<uint8_t>text.at[at] & 0xC0) != 0x80
    return 0 < points <= most


cdef enum Field:
    UNKNOWN, EVENT_ID, TYPE, OCCURRED_AT, CHANNEL, SESSION_ID, CUSTOMER_ID, VISITOR_ID, ORDER_ID, STORE_ID, REGION, DEVICE, CAMPAIGN
    VALUE, CURRENCY, STEP, ATTRIBUTES, CONSENT, OF_SURVEYS, NO_FIELD


cdef struct Guess:
    # What came next after a field, the last time that something else did than was guessed: a name of ours with its
    # quotes and its colon, as it was written.
    char text[GUESSED]
    Py_ssize_t size
    Field field


cdef Guess _guesses[NO_FIELD + 1]
memset(_guesses, 0, sizeof(_guesses))


cdef inline const char *_past_field(const char *at, const char *end, Guess *guess, Field *field) noexcept nogil:
    """Behind a member's name and its colon; nearly all messages of a shop have their fields in one order."""
    cdef const char *begin = at
    cdef Text name
    if 0 < guess.size <= end - at and memcmp(at, guess.text, guess.size) == 0:
        field[0] = guess.field
        return _past_blanks(at + guess.size, end)
    at = _past_name(at, end, &name)
    if at == NULL:
        return NULL
    field[0] = _field(name)
    if field[0] != UNKNOWN and at - begin <= GUESSED:
        memcpy(guess.text, begin, at - begin)
        guess.size, guess.field = at - begin, field[0]
    return at


cdef Field _field(Text name) noexcept nogil:
    cdef char first = name.at[0] if name.size else 0
    if first == c's':
        if _is(name, b"session_id", 10):
            return SESSION_ID
        if _is(name, b"store_id", 8):
            return STORE_ID
        if _is(name, b"step", 4):
            return STEP
        if _is(name, b"survey", 6) or _is(name, b"score", 5) or _is(name, b"scale", 5):
            return OF_SURVEYS
    elif first == c'c':
        if _is(name, b"channel", 7):
            return CHANNEL
        if _is(name, b"customer_id", 11):
            return CUSTOMER_ID
        if _is(name, b"currency", 8):
            return CURRENCY
        if _is(name, b"campaign", 8):
            return CAMPAIGN
        if _is(name, b"consent", 7):
            return CONSENT
    elif _is(name, b"event_id", 8):
        return EVENT_ID
    elif _is(name, b"type", 4):
        return TYPE
    elif _is(name, b"occurred_at", 11):
        return OCCURRED_AT
    elif _is(name, b"region", 6):
        return REGION
    elif _is(name, b"device", 6):
        return DEVICE
    elif first == c'v':
        if _is(name, b"value", 5):
            return VALUE
        if _is(name, b"visitor_id", 10):
            return VISITOR_ID
    elif _is(name, b"order_id", 8):
        return ORDER_ID
    elif _is(name, b"attributes", 10):
        return ATTRIBUTES
    return UNKNOWN


cdef inline bint _is_currency(Text text) noexcept nogil:
    return (
        text.size == 3
        and c'A' <= text.at[0] <= c'Z'
        and c'A' <= text.at[1] <= c'Z'
        and c'A' <= text.at[2] <= c'Z'
    )


cdef bint _take_text(Field field, Text text, bint is_ascii, Touch *touch, const Known *known) noexcept nogil:
    """Take a field that is a text; False where it is not as it should be."""
    if field == TYPE:
        touch.type = type_of(known, text.at, text.size)
        return touch.type >= 0
    if field == OCCURRED_AT:
        return _time(text, &touch.at_ms)
    if field == CHANNEL:
        touch.channel = text
        return _is(text, b"web", 3) or _is(text, b"app", 3) or _is(text, b"pos", 3)
    if field == CURRENCY:
        touch.currency = text
        return _is_currency(text)
    if field == SESSION_ID:
        touch.session_id = text
        return _fits(text, LONG, is_ascii)
    if field == CUSTOMER_ID:
        touch.customer = text
        return _fits(text, LONG, is_ascii)
    if field == VISITOR_ID:
        touch.visitor = text
        return _fits(text, LONG, is_ascii)
    if field == ORDER_ID:
        touch.order = text
        return _fits(text, LONG, is_ascii)
    if field == EVENT_ID:
        touch.event_id = text
    elif field == STEP:
        touch.step = text
    else:
        touch.where[<int>field - <int>STORE_ID] = text
    return _fits(text, SHORT, is_ascii)


cdef const char *_take_attributes(
    const char *at, const char *end, bint is_ascii, Touch *touch, const Known *known
) noexcept nogil:
    """Behind an object, with those of its texts that are dimensions in ``touch``."""
    cdef const char *behind
    cdef Text name, text
    cdef int place
    if known.attribute_count == 0:
        return _past_value(at, end, 0)
    at = _past_blanks(at + 1, end)
    if at < end and at[0] == c'}':
        return at + 1
    while at < end:
        at = _past_name(at, end, &name)
        if at == NULL:
            return NULL
        behind = _past_value(at, end, 1)
        if behind == NULL:
            return NULL
        place = attribute_of(known, name.at, name.size)
        if place >= 0:
            text.at, text.size = at + 1, behind - at - 2
            if at[0] != c'"' or not _fits(text, SHORT, is_ascii):
                text.at, text.size = NULL, 0
            touch.where[<int>OWN_DIMENSIONS + place] = text
        at = _past_blanks(behind, end)
        if at < end and at[0] == c'}':
            return at + 1
        if at >= end or at[0] != c',':
            return NULL
        at = _past_blanks(at + 1, end)
    return NULL


cdef const char *_take_value(
    const char *at, const char *end, Field field, bint is_ascii, Touch *touch, const Known *known
) noexcept nogil:
    """Behind the field's value, which is in ``touch`` then; NULL: left to the other decoder."""
    cdef Text text
    cdef const char *behind
    if field == UNKNOWN:
        return _past_value(at, end, 0)
    if field == OF_SURVEYS or at >= end:
        return NULL
    if at[0] == c'n':
        # What is required stays absent, which is seen at the end.
        return _past_word(at, end, b"null", 4)
    if field == VALUE:
        return _amount(at, end, &touch.amount)
    if field == CONSENT:
        touch.is_denied = at[0] == c'f'
        return _past_word(at, end, b"false", 5) if touch.is_denied else _past_word(at, end, b"true", 4)
    if field == ATTRIBUTES:
        behind = _take_attributes(at, end, is_ascii, touch, known) if at[0] == c'{' else NULL
        return behind if behind != NULL and behind - at <= ATTRIBUTES_BYTES else NULL
    if at[0] != c'"':
        return NULL
    behind = _text(at + 1, end, &text)
    return behind if behind != NULL and _take_text(field, text, is_ascii, touch, known) else NULL


cdef bint scan(const char *message, Py_ssize_t size, bint is_ascii, Touch *touch, const Known *known) noexcept nogil:
    """Read an event; False: left to the other decoder. ``message`` must be valid UTF-8."""
    cdef const char *at = message
    cdef const char *end = message + size
    cdef uint32_t seen = 0
    cdef Field field = NO_FIELD
    memset(touch, 0, sizeof(Touch))
    touch.at_ms, touch.amount, touch.type = -1, NO_AMOUNT, -1
    at = _past_blanks(at, end)
    if at >= end or at[0] != c'{':
        return False
    at = _past_blanks(at + 1, end)
    while True:
        at = _past_field(at, end, &_guesses[<int>field], &field)
        if at == NULL:
            return False
        if field != UNKNOWN and seen >> <int>field & 1:
            return False
        seen |= <uint32_t>1 << <int>field
        at = _take_value(at, end, field, is_ascii, touch, known)
        if at == NULL:
            return False
        at = _past_blanks(at, end)
        if at < end and at[0] == c'}':
            break
        if at >= end or at[0] != c',':
            return False
        at = _past_blanks(at + 1, end)
    if touch.is_denied:
        touch.customer.at, touch.customer.size, touch.order.at, touch.order.size = NULL, 0, NULL, 0
        touch.visitor.at, touch.visitor.size = b"", 0
    return _past_blanks(at + 1, end) == end and _is_whole(touch)


cdef inline bint _is_whole(Touch *touch) noexcept nogil:
    """Whether all is there that must be, and nothing that the other decoder has to look at."""
    if touch.at_ms < 0 or touch.type < 0 or touch.channel.at == NULL:
        return False
    if touch.event_id.at == NULL or touch.session_id.at == NULL:
        return False
    if touch.channel.at[0] == c'p' and touch.where[0].at == NULL:
        return False
    return touch.type != _survey
