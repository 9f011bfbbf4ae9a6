"""Texts of Python and texts in memory."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8

from pipeline.core.sessions.native.scan cimport Text


cdef inline object str_of(Text text):
    """None where there is none."""
    return None if text.at == NULL else PyUnicode_DecodeUTF8(text.at, text.size, NULL)


cdef inline Text text_of(object text) except *:
    """Of a str or None, as long as that is there."""
    cdef Text found
    found.at, found.size = NULL, 0
    if text is not None:
        found.at = PyUnicode_AsUTF8AndSize(text, &found.size)
    return found
