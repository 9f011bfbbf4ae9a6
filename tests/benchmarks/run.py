"""Prints events per second per core of the whole job and of plain Faust, the ratio, and the stages."""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time

from pipeline.cli.worker import quiet_collector
from pipeline.settings import Settings
from pipeline.simulator.disturbance import Rates, disturb
from pipeline.simulator.traffic import Event, ShopSettings, traffic
from tests.benchmarks.stages import memory_of_sessions, profile
from tests.benchmarks.whole_job import Cost, run_worker, start_stack

#: The shop's size: events a second of event time. A worker at its limit in production sees event time
#: pass at the wall clock's pace, so a small shop replayed fast would overstate the windows' share.
_RATE = 2_000.0
_WARM_UP_S = 300.0
"""So long before the first event taken, so that sessions of every age are under way."""


def simulated(count: int) -> list[Event]:
    """Events of a busy shop, some out of order and some twice, ending about now."""
    skipped = round(_WARM_UP_S * _RATE)
    start_ms = int(time.time() * 1000) - round((count + skipped) / _RATE * 1000 * 1.5)
    rates = Rates(out_of_order=0.03, late=0.0, duplicate=0.01, broken=0.0)
    sendings = disturb(traffic(ShopSettings(_RATE, seed=7), start_ms), rates, seed=7)
    return [sending.event for sending in itertools.islice(sendings, skipped, skipped + count)]


def plain_faust(count: int, job: str) -> Cost:
    environ = os.environ | {"BENCH_COUNT": str(count), "BENCH_JOB": job}
    command = [sys.executable, "-m", "tests.benchmarks.plain_faust"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, check=False)
    _, found, figures_text = done.stdout.rpartition('{"events"')
    if not found:
        raise RuntimeError(f"plain Faust ended without a figure: {done.stderr[-500:]}")
    figures = json.loads(found + figures_text)
    return Cost(figures["events"], figures["cpu_s"], figures["wall_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--faust-events", type=int, default=40_000)
    parser.add_argument("--only-whole", action="store_true", help="for a profiler")
    parser.add_argument("--sessions", type=int, default=100_000)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"memory per open session, {options.sessions} of them: ", end="", flush=True)
    print(f"{memory_of_sessions(Settings(), options.sessions):.0f} bytes")
    events = simulated(options.events)
    size = sum(len(event.payload) for event in events) / len(events)
    print(f"{len(events)} events of {size:.0f} bytes on 3 topics of 4 partitions")
    stack, settings = start_stack()
    try:
        whole, memory = run_worker(stack, settings, events)
        _show("whole job", whole)
        print(f"{'':<42} worker's memory {memory >> 20} MiB")
        if options.only_whole:
            return
        for job, name in {"tables": "carts and counts in tables", "count": "decode and count only"}.items():
            plain = plain_faust(options.faust_events, job)
            _show(f"plain Faust, {name}", plain)
            print(f"{'':<40} ratio (CPU per event): {plain.us_per_event / whole.us_per_event:.1f}")
        quiet_collector()  # as in the worker
        print("by stage, alone, us of CPU per event:")
        for stage, seconds in profile(settings, events).items():
            print(f"  {stage:<40} {seconds / len(events) * 1e6:6.2f}")
    finally:
        stack.stop()


def _show(name: str, cost: Cost) -> None:
    print(
        f"{name:<40} {cost.per_core:>9,.0f} events/s per core, {cost.us_per_event:6.1f} us of CPU an event, "
        f"{cost.wall_s:.1f} s for {cost.events}",
        flush=True,
    )


if __name__ == "__main__":
    main()
