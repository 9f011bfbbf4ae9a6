"""Where the stack of this machine is: a file that ``up`` keeps while it runs, for commands in other terminals.

It holds addresses and a password, so it is for its owner alone, in the directory that the system has for such
things.
"""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_NAME: Final = "cx-signals.json"


def _folder() -> Path:
    """The user's runtime directory (XDG Base Directory Specification), or one of ours for this user."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    for path in (given, f"/run/user/{os.getuid()}"):
        if path and Path(path).is_dir() and os.access(path, os.W_OK):
            return Path(path)
    return Path(tempfile.gettempdir()) / f"cx-signals-{os.getuid()}"


def _is_ours(path: Path) -> bool:
    """Whether nobody else has made it, or can read or change it."""
    found = path.lstat()
    return found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode) and not found.st_mode & 0o077


def remember(environ: Mapping[str, str]) -> None:
    """Write the settings that point at the stack of this process. Raises OSError."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / _NAME
    fresh = folder / f"{_NAME}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"pid": os.getpid(), "environ": dict(environ)}, file)
    fresh.replace(path)


def forget() -> None:
    """Remove what this process wrote; that of a stack started later stays."""
    path = _folder() / _NAME
    try:
        if json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()
    except (OSError, ValueError, LookupError, TypeError):
        return


def found() -> dict[str, str]:
    """Settings that point at the stack that runs on this machine; none where there is none."""
    path = _folder() / _NAME
    try:
        if not _is_ours(path):
            return {}
        content = json.loads(path.read_text())
        os.kill(int(content["pid"]), 0)
        return {str(name): str(value) for name, value in content["environ"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
