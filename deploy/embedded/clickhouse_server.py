"""ClickHouse's engine (chdb) behind ClickHouse's native TCP protocol, for one machine.

It binds to loopback only, and asks for the user and password of its environment (CX_CLICKHOUSE__USER,
CX_CLICKHOUSE__PASSWORD); ``access`` says what clients may do then. ``clickhouse_protocol`` speaks with a client.

Run as ``python -m deploy.embedded.clickhouse_server PORT DATA_DIR``.
"""

import atexit
import contextlib
import itertools
import os
import re
import shutil
import signal
import socketserver
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from deploy.embedded.access import configure
from deploy.embedded.clickhouse_protocol import Handler
from deploy.embedded.confine import confine
from deploy.embedded.watch import Watch

_PLAIN: Final = re.compile(r"[\w./-]+", re.ASCII)
_SYSTEM_FILES: Final = (
    *("/usr", "/lib", "/lib64", "/bin", "/sys", "/dev", "/etc/localtime", "/etc/ld.so.cache"),
    *("/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/self"),
)


class Server(socketserver.ThreadingTCPServer):
    """Listens on the loopback interface; a thread for each client."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, name: str, config: Path, incoming: Path, user: str, password: str) -> None:
        """``name``: of the data folder in the working directory; ``incoming``: a folder for inserts on their
        way.
        """
        import chdb  # it starts threads: only those begun after ``confine`` are confined

        self._open, self._where = chdb.connect, f"{name}?config-file={config}"
        self.incoming, self.user, self.password = incoming, user, password
        self.numbers = itertools.count(1)
        self._keeper = self.connect()
        self.watch = Watch(self._end)
        self.version = str(self._keeper.query("SELECT version()", "TSVRaw")).strip()
        super().__init__(("127.0.0.1", port), Handler)

    def connect(self) -> Any:
        """A connection to the engine."""
        return self._open(self._where)

    def _end(self, tag: str) -> None:
        with contextlib.suppress(Exception):  # it has ended by itself
            self._keeper.query(f"KILL QUERY WHERE Settings['log_comment'] = '{tag}' ASYNC")


def _name_of(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "clickhouse"


def _prepared(data_dir: Path) -> tuple[str, Path, Path]:
    """Name of the data folder, its configuration, a folder for what is on its way; nobody else can read any.

    The working directory becomes the one that it is in, and the names are ours: that of a folder above may hold
    anything, and the engine would take a question mark in it for options.
    """
    os.umask(0o077)
    os.chdir(data_dir.parent)
    data_dir.chmod(0o700)
    name = data_dir.name
    # The engine takes a question mark in the path of a file for a pattern, finds nothing, and does not say so.
    is_plain = _PLAIN.fullmatch(str(data_dir))
    beside = data_dir.parent if is_plain else Path(tempfile.mkdtemp(prefix="cx-signals-"))
    if not is_plain:
        atexit.register(shutil.rmtree, beside, ignore_errors=True)
    incoming, temporary = beside / f"{_name_of(name)}.incoming", beside / f"{_name_of(name)}.tmp"
    for folder in (incoming, temporary):  # what a kill has left there was never answered
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    os.environ["TMPDIR"] = str(temporary.absolute())
    config = configure(beside / f"{_name_of(name)}.config")
    ours: list[str | Path] = [Path(__file__).parents[2], sys.prefix, sys.base_prefix, *filter(None, sys.path)]
    if not confine([*_SYSTEM_FILES, *ours, config.parent], [name, incoming, temporary]):
        print("this kernel has no Landlock: the engine is confined by its grants alone", flush=True)  # noqa: T201 (a command)
    return name, config, incoming


def main() -> None:
    port, data_dir = int(sys.argv[1]), Path(sys.argv[2])
    user = os.environ.pop("CX_CLICKHOUSE__USER", "default")
    password = os.environ.pop("CX_CLICKHOUSE__PASSWORD", "")
    server = Server(port, *_prepared(data_dir), user, password)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server.serve_forever(poll_interval=0.1)
    # What is stored is on disk. With queries under way the engine's own threads end badly with the interpreter.
    atexit._run_exitfuncs()
    os._exit(0)


if __name__ == "__main__":
    main()
