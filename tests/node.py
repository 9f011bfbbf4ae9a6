"""Node, and the packages of others that are tested with, as their lock files have them."""

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.needs import need

SDKS: Final = Path(__file__).parent / "collector/sdks"
LIGHTHOUSE: Final = Path(__file__).parent / "console/lighthouse"


def node_modules(folder: Path = SDKS) -> Path:
    """The folder that holds them, filled once; tests of several processes may ask at a time."""
    npm = shutil.which("npm")
    need(npm, "npm is not installed (Debian's package has the same name)")
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_as_locked(folder):
            done = subprocess.run(
                [str(npm), "ci"], cwd=folder, capture_output=True, text=True, timeout=280, check=False
            )
            assert done.returncode == 0, done.stderr
    return folder


def script(name: str, *arguments: str) -> list[str]:
    """The command that runs one of ours."""
    node = shutil.which("node")
    need(node, "node is not installed (Debian's package nodejs)")
    return [str(node), str(node_modules() / "node" / name), *arguments]


def _is_as_locked(folder: Path) -> bool:
    """Whether it was filled after the lock file was changed last."""
    filled = folder / "node_modules" / ".package-lock.json"
    return filled.exists() and filled.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime
