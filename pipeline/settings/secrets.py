"""Secrets in files: read if nobody else may read or write them."""

import os
import stat
from typing import Final

_LARGEST: Final = 65_536
#: Others may do nothing with the file, its group may read it (as orchestrators mount secrets) and not write it.
_FORBIDDEN: Final = 0o027


def read_secret(path: str) -> str:
    """The file's text without blanks around it. Raises OSError, ValueError; the message says what to do."""
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path} is no file")
        if found.st_mode & _FORBIDDEN:
            mode = stat.S_IMODE(found.st_mode)
            raise ValueError(f"others may read or write {path} (mode {mode:04o}): chmod 600 {path}")
        return file.read(_LARGEST).decode().strip()
