"""The whole job against what a user would take instead, and against fetching and decoding alone.

All programs read the same topics, in one run, one after the other; several rounds, medians. The others do a
smaller job: decode, a cart per session, a count per 10 s, channel and store (tests/benchmarks/rivals).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from pipeline.cli.worker import quiet_collector
from pipeline.settings import Settings
from tests.benchmarks.backlog import send, simulated
from tests.benchmarks.stages import memory_of_sessions, profile
from tests.benchmarks.whole_job import Cost, run_worker, stack_of, start_cost

FLOOR: Final = "floor: fetch and decode"
WHOLE: Final = "cx-signals, the whole job"
#: Name, module, and of how many events: None for all.
_RIVALS: Final = (
    ("Bytewax", "bytewax_job", None),
    ("Quix Streams", "quix_job", None),
    ("Faust", "faust_job", 20_000),
    ("Flink SQL, warm", "flink_job", None),
)


def program(module: str, bootstrap: str, events: int, python: str) -> Cost:
    """What a program that reads the topics says it cost."""
    command = [
        python,
        "-m",
        f"tests.benchmarks.rivals.{module}",
        "--bootstrap",
        bootstrap,
        "--events",
        str(events),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-500:]}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return Cost(figures["events"], figures["cpu_s"], figures["wall_s"])


def one_round(options: argparse.Namespace) -> dict[str, Cost]:
    """Every program once, on topics of its own round."""
    found: dict[str, Cost] = {}
    with stack_of() as (stack, settings):
        started_s = start_cost(stack)
        count, size = send(settings, simulated(options.events, options.copies))
        print(f"  {count:,} events of {size:.0f} bytes", flush=True)
        bootstrap = settings.kafka.bootstrap_servers
        found[FLOOR] = program("floor", bootstrap, count, sys.executable)
        if options.rivals is not None:
            for name, module, events in _RIVALS:
                try:
                    found[name] = program(module, bootstrap, events or count, str(options.rivals))
                except RuntimeError as error:
                    print(f"  {name} is left out: {error}", flush=True)
        found[WHOLE], memory = run_worker(stack, count, started_s)
    for name, cost in found.items():
        print(f"  {name:<28} {cost.us_per_event:7.2f} us of CPU an event, {cost.wall_s:6.1f} s", flush=True)
    print(f"  the worker's memory {memory >> 20} MiB", flush=True)
    return found


def compare(options: argparse.Namespace) -> dict[str, float]:
    """Medians of several rounds: microseconds of CPU an event."""
    print(f"\n{options.rounds} rounds", flush=True)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for name, cost in one_round(options).items():
            costs[name].append(cost.us_per_event)
    medians = {name: statistics.median(each) for name, each in costs.items()}
    print(f"\n{'program':<28} {'us an event':>12} {'events/s a core':>16} {'of the whole job':>17}")
    for name, us in medians.items():
        print(f"{name:<28} {us:12.2f} {1e6 / us:16,.0f} {us / medians[WHOLE]:17.2f}")
    print(f"whole job / floor: {medians[WHOLE] / medians[FLOOR]:.2f}", flush=True)
    return medians


def stages(options: argparse.Namespace) -> None:
    events = list(simulated(min(options.events, 400_000), options.copies))
    with stack_of() as (_, settings):
        send(settings, iter(events))
        quiet_collector()  # as in the worker
        print("\nby stage, alone, us of CPU an event:")
        for stage, seconds in profile(settings, events).items():
            print(f"  {stage:<40} {seconds / len(events) * 1e6:6.2f}", flush=True)


def _alone(work: Callable[..., float], *given: object) -> float:
    """The work's result in a process of its own: memory once used is not seen to be used again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--copies", type=int, default=10, help="a shop of 2,000 events a second so many times")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=100_000, help="whose memory is measured; 0: none")
    parser.add_argument(
        "--rivals", type=Path, metavar="PYTHON", help="of the environment of the others; else they are left out"
    )
    parser.add_argument("--no-stages", action="store_true")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if options.sessions:
        few, many = (_alone(memory_of_sessions, Settings(), options.sessions, views) for views in (1, 11))
        print(f"memory of {options.sessions:,} open sessions with two events: {few:.0f} bytes each,", end=" ")
        print(f"{(many - few) / 10:.0f} for each further event", flush=True)
    compare(options)
    if not options.no_stages:
        stages(options)


if __name__ == "__main__":
    main()
