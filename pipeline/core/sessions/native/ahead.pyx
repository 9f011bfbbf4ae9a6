# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Messages read some events before these are taken.

A session drawn from a million is in no cache of the processor. Several of them asked for at once arrive in the time
of one; asked for one after the other, an event waits longer for memory than it takes to be counted.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from pipeline.core.sessions.native.columns cimport RecordColumns
from pipeline.core.sessions.native.scan cimport Touch, are_ascii, scan
from pipeline.core.sessions.native.sessions cimport Sessions
from pipeline.core.sessions.native.words cimport Known, Words

from schemas.events import MAX_MESSAGE_BYTES

cdef Py_ssize_t _largest_message = MAX_MESSAGE_BYTES


cdef class Ahead:
    def __init__(self, Sessions sessions, Words words):
        self._sessions, self._words = sessions, words
        self._records, self._first, self._behind = None, 0, 0

    cdef int forget(self) except -1:
        """Let the records go: they are done with."""
        self._records, self._behind = None, 0
        return 0

    cdef Touch *event(self, RecordColumns records, Py_ssize_t at) except? NULL:
        """The event that a record has; NULL where there is none that can be read here."""
        if records is not self._records or not self._first <= at < self._behind:
            self._read(records, at)
        return &self._touches[at - self._first] if at < self._behind else NULL

    cdef int _read(self, RecordColumns records, Py_ssize_t at) except -1:
        """Read records from this one on, up to the first that is left to the other decoder."""
        cdef Py_ssize_t behind = min(at + AHEAD, len(records.values))
        cdef Touch *touch = self._touches
        self._records, self._first, self._behind = records, at, at
        while self._behind < behind:
            if not _scanned(records.values[self._behind], touch, &self._words.known):
                break
            self._sessions.ask(touch)
            touch += 1
            self._behind += 1
        self._sessions.ask_more(self._touches, self._behind - at)
        return 0


cdef bint _scanned(object value, Touch *touch, const Known *known) except -1:
    cdef bint is_ascii
    if type(value) is not bytes or PyBytes_GET_SIZE(value) > _largest_message:
        return False
    is_ascii = are_ascii(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if not is_ascii:
        try:
            PyUnicode_DecodeUTF8(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), NULL)
        except UnicodeDecodeError:
            return False
    return scan(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), is_ascii, touch, known)
