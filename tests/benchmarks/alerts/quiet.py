"""False alarms of shops that nothing disturbs: ``python -m tests.benchmarks.alerts.quiet --seeds 500``.

Each is what ``make run`` begins with: six hours (``--hours``) of the simulator's shop, from some time of a day on,
with no history before. Prints what was found, for how many minutes the console showed it, and how often that is at
most (95 %, Poisson).
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from typing import Final

from pipeline.core.detection.incidents import Alert
from pipeline.tools.backtest import Backtest, logs_of
from pipeline.tools.replay.formats import FileEvent
from pipeline.tools.simulator.traffic import ShopSettings, traffic
from schemas.times import format_rfc3339, parse_rfc3339
from tests.support import DETECTOR_RULES, RULES

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_FIRST_MS: Final = parse_rfc3339("2026-11-20T00:00:00Z")
_WEEK_HOURS: Final = 168


def start_of(seed: int) -> int:
    return _FIRST_MS + random.Random(seed).randrange(24 * 3_600) * 1000


def events(rate: float, seed: int, hours: int) -> Iterator[FileEvent]:
    start = start_of(seed)
    for number, event in enumerate(traffic(ShopSettings(rate, seed), start)):
        if event.at_ms >= start + hours * _HOUR_MS:
            return
        yield FileEvent(number, event.at_ms, event.channel, event.session_id, event.payload)


def upper(count: int) -> float:
    """The mean of a Poisson count of which so few or fewer are seen once in twenty."""
    low, high = 0.0, 10.0 * (count + 1)
    for _ in range(60):
        mean = (low + high) / 2
        terms = (math.exp(-mean) * mean**k / math.factorial(k) for k in range(count + 1))
        low, high = (mean, high) if sum(terms) > 0.05 else (low, mean)
    return high


def _over(alert: Alert, end_ms: int) -> int:
    """The minute in which an alert is over."""
    return -(-(end_ms if alert.resolved_ms is None else alert.resolved_ms) // _MINUTE_MS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--rate", type=float, default=15.0, help="events a second in the mean")
    parser.add_argument("--hours", type=int, default=6)
    asked = parser.parse_args()
    false, minutes, begun = 0, 0, time.monotonic()
    for number, seed in enumerate(range(asked.first, asked.first + asked.seeds), 1):
        logs = logs_of(list(events(asked.rate, seed, asked.hours)))
        # That it all ends then is an incident itself.
        end = start_of(seed) + asked.hours * _HOUR_MS
        alerts = [one for one in Backtest(RULES, DETECTOR_RULES, list(logs)).run(logs) if one.opened_ms <= end]
        false += len(alerts)
        minutes += len({at for alert in alerts for at in range(alert.opened_ms // _MINUTE_MS, _over(alert, end))})
        for alert in alerts:
            print(f"seed {seed}: {alert.rule.name} {alert.segment} {format_rfc3339(alert.opened_ms)}", flush=True)
        weeks = number * asked.hours / _WEEK_HOURS
        if number % 10 == 0 or number == asked.seeds:
            took = time.monotonic() - begun
            rate = f"{weeks:.1f} weeks, at most {upper(false) / weeks:.2f} a week"
            print(
                f"{number} shops: {false} false alarms, {minutes} minutes of them, in {rate}; {took:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
