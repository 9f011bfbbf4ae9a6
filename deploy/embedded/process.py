"""Child processes that never outlive us, and free ports."""

import contextlib
import ctypes
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1
_HELD: Final[list[socket.socket]] = []


class StartError(RuntimeError):
    """A part of the embedded stack did not start; the message says which and why."""


def free_port() -> int:
    """A TCP port on the loopback interface that nothing listens on, ours until this process ends.

    It is given to a child that binds it seconds later. Until then nobody else may get it: the
    system gives ports of its ephemeral range to any connection, so it is none of those, and of
    others who call this one has it at a time.
    """
    for port in random.sample(_ports(), 200):
        if _is_free(port) and _is_ours(port):
            return port
    raise StartError("no free port found on 127.0.0.1")


def _ports() -> Sequence[int]:
    """Below the ephemeral range, where there is room, as there is by default (32768 and up)."""
    end = 32_768
    with contextlib.suppress(OSError, ValueError, IndexError):
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return range(20_000, end) if end > 21_000 else range(20_000, 60_000)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_ours(port: int) -> bool:
    """Take the name of the port; the kernel gives it back when this process is gone."""
    if sys.platform != "linux":  # only Linux has names that vanish by themselves
        return True
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0cx-signals-port-{port}")
    except OSError:
        holder.close()
        return False
    _HELD.append(holder)
    return True


def check_free(port: int, what: str) -> None:
    """Raises StartError where the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartError(f"{what}: port {port} on 127.0.0.1 is taken, give another one") from error


def is_listening(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class Child:
    """A child process in a session of its own, so that Ctrl-C reaches it through us, in our order."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path | None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log: IO[bytes] | None = log.open("ab") if log else None
        self.log = log
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log or subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=None if environ is None else dict(environ),
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait for ``ready()``. Raises StartError if the process ends or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.process.poll() is not None:
                raise StartError(f"{self.name} ended with status {self.process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready within {timeout_s:g} s: {self.tail()}")
            time.sleep(0.05)

    def tail(self, lines: int = 5) -> str:
        """The end of its log on one line."""
        if self.log is None or not self.log.exists():
            return "(no log)"
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Ask it to end, and make it end. False if it had to be made to."""
        is_willing = True
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                is_willing = False
                self.kill()
        if self._log:
            self._log.close()
            self._log = None
        return is_willing

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.process.kill()
        self.process.wait()


def _die_with_parent() -> None:
    """Have the kernel end this process if its parent goes without saying goodbye (kill -9)."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
