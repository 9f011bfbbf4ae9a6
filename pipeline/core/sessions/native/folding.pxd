"""Folds away what can no longer change."""

from libc.stdint cimport uint32_t, uint64_t

from pipeline.core.sessions.native.bases cimport Bases
from pipeline.core.sessions.native.block cimport Session
from pipeline.core.sessions.native.walks cimport Walks


cdef int fold(Session *session, uint64_t handle, uint32_t until, Bases bases, Walks walks) except -1
