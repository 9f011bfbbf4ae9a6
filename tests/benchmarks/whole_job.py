"""The whole job as it runs: a worker process between the embedded Kafka and ClickHouse."""

import os
import re
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.stack import Stack, resident_bytes
from pipeline.cli.admin import apply_migrations, create_topics
from pipeline.replay.send import Sender
from pipeline.settings import Settings, load
from pipeline.simulator.traffic import Event

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall time of one process for so many events."""

    events: int
    cpu_s: float
    wall_s: float

    @property
    def us_per_event(self) -> float:
        return self.cpu_s / self.events * 1e6

    @property
    def per_core(self) -> float:
        """Events a second that one core manages."""
        return self.events / self.cpu_s


def start_stack() -> tuple[Stack, Settings]:
    stack = Stack(None)
    stack.start(None, None, None)
    os.environ.update(stack.environment())
    settings = load()
    create_topics(settings)
    apply_migrations(settings)
    return stack, settings


def run_worker(stack: Stack, settings: Settings, events: list[Event]) -> tuple[Cost, int]:
    """Start a worker, send it the events, wait until all is stored; its cost and its memory."""
    url = f"http://127.0.0.1:{stack.web_port}"
    child = stack.run("worker", [sys.executable, "-m", "pipeline", "worker"], {})
    child.wait_until(lambda: _page(f"{url}/readyz") is not None, 60)
    cpu, wall = cpu_seconds(child.pid), time.perf_counter()
    sender = Sender(settings)
    for number, event in enumerate(events):
        sender.send(event.channel, event.session_id, event.payload)
        if number % 1000 == 0:
            sender.poll()
    sender.finish()
    deadline = time.monotonic() + _TIMEOUT_S
    while not _is_done(_page(f"{url}/metrics"), len(events)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the worker was not done within {_TIMEOUT_S:g} s: {child.tail()}")
        time.sleep(0.25)
    cost = Cost(len(events), cpu_seconds(child.pid) - cpu, time.perf_counter() - wall)
    memory = resident_bytes(child.pid) or 0
    child.stop()
    return cost, memory


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _page(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return None


def _is_done(page: str | None, events: int) -> bool:
    """Every event taken, every tile merged and put out, every row stored."""
    if page is None:
        return False
    taken = sum(
        float(value)
        for outcome, value in re.findall(r'^cx_events_total\{outcome="(\w+)",[^}]*\} (\S+)', page, re.M)
        if outcome != "tick"
    )
    waiting = re.search(r"^cx_sink_waiting_rows (\S+)", page, re.M)
    unfinished = re.search(r"^cx_unfinished_batches (\S+)", page, re.M)
    return (
        taken >= events
        and waiting is not None
        and float(waiting[1]) == 0
        and unfinished is not None
        and float(unfinished[1]) == 0
    )
