"""Workers of one group: Faust's own command, joining and leaving while events come."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems import System, Worker

FAUST = [sys.executable, "-m", "faust", "-A", "pipeline.worker", "worker", "--loglevel", "warn"]


@pytest.fixture
def second(running: System, tmp_path: Path) -> Iterator[Worker]:
    """Started as Faust's documentation does."""
    worker = Worker(running.environ, tmp_path / "second.log", FAUST)
    try:
        yield worker
    finally:
        worker.child.kill()


@pytest.mark.timeout(1500)  # three stretches of history, verified twice
def test_a_second_worker_shares_the_partitions_and_nothing_differs(running: System, second: Worker) -> None:
    sent = running.cx("simulate", "--fast", "--minutes", "30", "--rate", "5", "--start", "2026-03-02T11:00:00Z")
    assert sent.returncode == 0, sent.stderr
    running.wait_for(lambda: 0 < second.owned() < 16)
    more = running.cx("simulate", "--fast", "--minutes", "30", "--rate", "5", "--start", "2026-03-02T11:30:00Z")
    assert more.returncode == 0, more.stderr
    shared = running.cx("verify", "--wait", "--timeout", "400", timeout=700)
    assert shared.returncode == 0, shared.stdout + shared.stderr
    assert "dead letters" in shared.stdout

    second.child.stop(30)
    last = running.cx("simulate", "--fast", "--minutes", "20", "--rate", "5", "--start", "2026-03-02T12:00:00Z")
    assert last.returncode == 0, last.stderr
    alone = running.cx("verify", "--wait", "--timeout", "400", timeout=700)
    assert alone.returncode == 0, alone.stdout + alone.stderr
