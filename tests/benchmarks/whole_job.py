"""The whole job as it runs: a worker process that works off what is in the topics, down to ClickHouse's rows."""

import os
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.process import Child
from deploy.embedded.stack import Stack, resident_bytes
from pipeline.cli.admin import apply_migrations, create_topics
from pipeline.settings import Settings, load

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TIMEOUT_S = 600.0
#: The events end now. Once they are done with, ticks would go on making batches, and the job would have no end.
_NO_TICKS = {"CX_PIPELINE__TICK_INTERVAL_S": "3600"}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall time of one process for so many events."""

    events: int
    cpu_s: float
    wall_s: float

    @property
    def us_per_event(self) -> float:
        return self.cpu_s / self.events * 1e6


@contextmanager
def stack_of() -> Iterator[tuple[Stack, Settings]]:
    """Kafka and ClickHouse with topics and tables, and settings for them."""
    stack = Stack(None)
    try:
        stack.start(None, None, None)
        os.environ.update(stack.environment())
        settings = load()
        create_topics(settings)
        apply_migrations(settings)
        yield stack, settings
    finally:
        stack.stop()


def start_cost(stack: Stack) -> float:
    """CPU seconds that a worker takes to start: imports, its group, states. Topics must be empty yet."""
    child = stack.run("worker", [sys.executable, "-m", "pipeline", "worker"], _NO_TICKS)
    try:
        child.wait_until(lambda: is_ready(stack), 60)
        time.sleep(1.0)
        return cpu_seconds(child.pid)
    finally:
        child.stop()


def run_worker(stack: Stack, events: int, start_cpu_s: float) -> tuple[Cost, int]:
    """Have a worker work off so many events; what it takes besides its start, and its memory in bytes.

    The cost ends when every row is stored and every message delivered. The events are through before the worker
    first answers, so what it has taken until then is no measure.
    """
    started = time.perf_counter()
    child = stack.run("worker", [sys.executable, "-m", "pipeline", "worker"], _NO_TICKS)
    try:
        _wait(child, f"http://127.0.0.1:{stack.web_port}", lambda page: _is_done(page, events), 0.5)
        cost = Cost(events, cpu_seconds(child.pid) - start_cpu_s, time.perf_counter() - started)
        return cost, resident_bytes(child.pid) or 0
    finally:
        child.stop()


def run_workers(stack: Stack, events: int, ports: list[int]) -> Cost:
    """The same of several workers that share the partitions; from the start of the first, imports included."""
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    started = time.perf_counter()
    children = [
        stack.run(
            f"worker-{port}", [sys.executable, "-m", "pipeline", "worker"], _NO_TICKS | {"CX_WEB__PORT": str(port)}
        )
        for port in ports
    ]
    try:
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            pages = [_page(f"{url}/metrics") or "" for url in urls]
            if all(_is_done(page, 0) for page in pages) and sum(map(_taken, pages)) >= events:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done within {_TIMEOUT_S:g} s: {children[0].tail()}")
            time.sleep(0.5)
        return Cost(events, sum(cpu_seconds(child.pid) for child in children), time.perf_counter() - started)
    finally:
        for child in children:
            child.stop()


def is_ready(stack: Stack) -> bool:
    return _page(f"http://127.0.0.1:{stack.web_port}/readyz") is not None


def _wait(child: Child, url: str, is_so: Callable[[str], bool], every_s: float) -> str:
    deadline = time.monotonic() + _TIMEOUT_S
    while not ((page := _page(f"{url}/metrics")) and is_so(page)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the worker was not done within {_TIMEOUT_S:g} s: {child.tail()}")
        time.sleep(every_s)
    return page


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _page(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return str(response.read().decode())
    except OSError:
        return None


def _taken(page: str) -> int:
    """Events that have had an outcome."""
    found = re.findall(r'^cx_events_total\{outcome="(\w+)",[^}]*\} (\S+)', page, re.M)
    return round(sum(float(value) for outcome, value in found if outcome != "tick"))


def _is_done(page: str, events: int) -> bool:
    """Every event taken, every tile merged and put out, every row stored."""
    waiting = re.findall(r"^(?:cx_sink_waiting_rows|cx_unfinished_batches) (\S+)", page, re.M)
    return _taken(page) >= events and len(waiting) == 2 and not any(map(float, waiting))
