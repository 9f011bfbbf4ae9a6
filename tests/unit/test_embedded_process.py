"""Ports that are given to children before they bind them."""

import socket
import subprocess
import sys
from pathlib import Path

from deploy.embedded.process import free_port

TAKEN = 400
"""Of 12,000 or so: drawn without looking, some would come twice in all but one of a thousand runs."""


def test_no_port_is_given_twice() -> None:
    assert len({free_port() for _ in range(TAKEN)}) == TAKEN


def test_what_another_process_was_given_is_not_free_until_it_ends() -> None:
    code = "from deploy.embedded.process import free_port; print(free_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        name = f"\0cx-signals-port-{int(other.stdout.readline())}"
        with socket.socket(socket.AF_UNIX) as holder:
            try:
                holder.bind(name)
                is_held = False
            except OSError:
                is_held = True
        other.stdin.close()
    assert is_held
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(name)


def test_no_port_is_one_that_the_system_gives_to_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    has_room = first > 21_000
    assert free_port() < first or not has_room
