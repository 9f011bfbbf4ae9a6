"""What the comparison programs share: their options, their clock and the job's own rules.

Standard library only, as the frameworks run in an environment of their own.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

TOPICS: Final = ("touchpoints.web", "touchpoints.app", "touchpoints.pos")
WINDOW_S: Final = 10
#: The events that change a cart: what they carry is added or subtracted; the last two empty it.
CART_EVENTS: Final = frozenset({"product_added", "product_removed", "order_completed", "sale_completed"})


def options(doc: str | None, flags: Mapping[str, str] | None = None) -> argparse.Namespace:
    """Read the options, and end the process with status 1 once their time is over."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT")
    parser.add_argument("--events", required=True, type=int, help="so many are in the topics")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S")
    for flag, meaning in (flags or {}).items():
        parser.add_argument(flag, action="store_true", help=meaning)
    found = parser.parse_args()
    watchdog = threading.Timer(found.timeout, _give_up, [found.timeout])
    watchdog.daemon = True
    watchdog.start()
    return found


def _give_up(timeout_s: float) -> None:
    print(f"error: not done within {timeout_s:g} s", file=sys.stderr, flush=True)
    os._exit(1)


class Clock:
    """CPU time (user and system, all threads, children too) and wall time since the first events."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen = 0
        self._cpu = self._wall = 0.0
        self.is_running = False

    def start(self, seen: int = 1) -> None:
        """The first events are here, so many at once; they are not counted among the measured ones."""
        self._seen, self.is_running = seen, True
        self._cpu, self._wall = _cpu_seconds(), time.perf_counter()

    def print_result(self, **check: Any) -> None:
        """All are processed: print the figures in one line."""
        cpu, wall = _cpu_seconds() - self._cpu, time.perf_counter() - self._wall
        figures = {"events": self._total - self._seen, "cpu_s": round(cpu, 3), "wall_s": round(wall, 3)}
        print(json.dumps({**figures, "check": check}), flush=True)


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def new_total(total: float, event: dict[str, Any]) -> float:
    """The cart's total after one of the events that change it."""
    kind = event["type"]
    if kind == "product_added":
        return total + (event.get("value") or 0.0)
    if kind == "product_removed":
        return max(0.0, total - (event.get("value") or 0.0))
    return 0.0


def group(event: dict[str, Any]) -> str:
    """What is counted by: channel and store."""
    return f"{event['channel']}/{event.get('store_id')}"


def occurred_at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["occurred_at"])
