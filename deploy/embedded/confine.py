"""Landlock: this process sees no files but those it is given, and connects to nothing (Linux 5.13 and later).

What the engine can be talked into by a query then ends at the kernel. Landlock binds the thread that asks for it
and those that it starts: it is to be called before the engine is loaded. See ``man 7 landlock``.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: The numbers of the calls are the same on all architectures.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NO_NEW_PRIVILEGES: Final = 38

_EXECUTE: Final = 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
#: What can be asked of a file; the rest is of directories.
_OF_FILES: Final = _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15
#: How many kinds of access to files each version knows.
_KINDS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_CONNECT_TCP: Final = 1 << 1
_WITH_NETWORK: Final = 4


def confine(readable: Iterable[str | Path], writable: Iterable[str | Path]) -> bool:
    """Let this process read only below the first and change only below the second; False where the kernel
    cannot.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < 1:
        return False
    handled = (1 << _KINDS[min(version, max(_KINDS))]) - 1
    attributes = struct.pack("Q", handled)
    if version >= _WITH_NETWORK:
        attributes += struct.pack("Q", _CONNECT_TCP)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for paths, access in ((readable, _EXECUTE | _READ_FILE | _READ_DIR), (writable, handled)):
            for path in paths:
                _allow(libc, ruleset, Path(path), access & handled)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    """Raises OSError; what is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", access if path.is_dir() else access & _OF_FILES, place)
        if libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0)):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(place)
