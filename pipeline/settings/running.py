"""Where the stack of this machine is: a file that each ``up`` keeps while it runs, for commands in other
terminals.

It holds addresses and a password, so it is for its owner alone, in the directory that the system has for such
things.
"""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_NAME: Final = "cx-signals"


def _folder() -> Path:
    """The user's runtime directory (XDG Base Directory Specification), or one of ours for this user."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    for path in (given, f"/run/user/{os.getuid()}"):
        if path and Path(path).is_dir() and os.access(path, os.W_OK):
            return Path(path)
    return Path(tempfile.gettempdir()) / f"cx-signals-{os.getuid()}"


def _is_ours(path: Path) -> bool:
    """Whether nobody else has made it, or can read or change it."""
    try:
        found = path.lstat()
    except OSError:
        return False  # gone meanwhile
    return found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode) and not found.st_mode & 0o077


def remember(environ: Mapping[str, str]) -> None:
    """Write the settings that point at the stack of this process. Raises OSError."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    for path, content in _all():
        if not _runs(content):
            path.unlink(missing_ok=True)
    fresh = folder / f"{_NAME}.{os.getpid()}.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"pid": os.getpid(), "environ": dict(environ)}, file)
    fresh.replace(_own())


def forget() -> None:
    """Remove what this process wrote."""
    with contextlib.suppress(OSError):
        _own().unlink()


def found() -> dict[str, str]:
    """Settings that point at the stack that runs on this machine, of several the one started last; or none."""
    for _, content in _all():
        if _runs(content) and isinstance(content["environ"], dict):
            return {str(name): str(value) for name, value in content["environ"].items()}
    return {}


def _own() -> Path:
    return _folder() / f"{_NAME}.{os.getpid()}.json"


def _all() -> Iterator[tuple[Path, Any]]:
    """The files that are ours, the newest first, and what is in them."""
    paths = [path for path in _folder().glob(f"{_NAME}.*.json") if _is_ours(path)]
    for path in sorted(paths, key=lambda path: path.lstat().st_mtime_ns, reverse=True):
        try:
            yield path, json.loads(path.read_text())
        except (OSError, ValueError):
            yield path, None


def _runs(content: Any) -> bool:
    try:
        os.kill(int(content["pid"]), 0)
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return "environ" in content
