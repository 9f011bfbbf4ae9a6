"""Memory that the C library holds free: kept for the next use, and returned to the system now and then."""

import ctypes
from functools import lru_cache
from typing import Any, Final

#: Numbers of glibc's ``malloc.h``.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_KEPT: Final = 32 << 20  # glibc takes no more
_MOST_KEPT: Final = 256 << 20


@lru_cache(maxsize=8)
def _of_glibc(name: str) -> Any:
    # musl and macOS do not have these, and need them less.
    return getattr(ctypes.CDLL(None), name, None)


def keep_for_reuse() -> None:
    """Have large pieces come from memory that was used before, until :func:`give_back` returns it.

    By itself glibc returns the megabytes of a checkpoint's shard at once, and the next one gets pages that the
    system has to clear first (decisions/0006).
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def give_back() -> None:
    """Return free pages to the system; may take some milliseconds, without the interpreter's lock.

    Batches, their rows and messages are large and short-lived, among small things that live long: of a
    worker's 630 MiB after 14 minutes at 1,000 events/s, glibc held 250 free (mallinfo2).
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)
