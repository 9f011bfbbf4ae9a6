"""Workers of one group: Faust's own command, joining and leaving while events come."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.embedded.process import free_port
from tests.integration.running import Running


class Worker:
    """``faust -A pipeline.worker worker``, as its documentation starts it."""

    def __init__(self, running: Running) -> None:
        self.port = free_port()
        environ = os.environ | running.environ | {"CX_WEB__PORT": str(self.port)}
        command = [sys.executable, "-m", "faust", "-A", "pipeline.worker", "worker", "--loglevel", "warn"]
        self.process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def owned(self) -> int:
        """How many partitions it has; 0 while it has none or does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as page:
                return int(page.read().split()[0])
        except OSError:
            return 0


@pytest.fixture
def second(running: Running) -> Iterator[Worker]:
    worker = Worker(running)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


def test_a_second_worker_shares_the_partitions_and_nothing_differs(running: Running, second: Worker) -> None:
    sent = running.cx("simulate", "--fast", "--minutes", "30", "--rate", "20", "--start", "2026-03-02T11:00:00Z")
    assert sent.returncode == 0, sent.stderr
    running.wait_for(lambda: 0 < second.owned() < 16)
    more = running.cx("simulate", "--fast", "--minutes", "30", "--rate", "20", "--start", "2026-03-02T11:30:00Z")
    assert more.returncode == 0, more.stderr
    shared = running.cx("verify", "--timeout", "120")
    assert shared.returncode == 0, shared.stdout + shared.stderr
    assert "dead letters" in shared.stdout

    second.process.terminate()
    second.process.wait(30)
    last = running.cx("simulate", "--fast", "--minutes", "20", "--rate", "20", "--start", "2026-03-02T12:00:00Z")
    assert last.returncode == 0, last.stderr
    alone = running.cx("verify", "--timeout", "120")
    assert alone.returncode == 0, alone.stdout + alone.stderr
