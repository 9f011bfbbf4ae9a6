"""Prints how soon each incident of simulated weeks was found, what was false, and what was missed.

Weeks before the first incident teach what is usual; alerts in them count as false ones too, after the first
week. Times are from the incident's start to the moment the alert fires, in event time, and 5 s for the
watermark's delay.
"""

import argparse
import statistics
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.core.ages import age_counters
from pipeline.core.detection.detector import Detector
from pipeline.core.detection.incidents import FIRING, Alert
from pipeline.core.detection.measures import Measures
from pipeline.core.evidence import STEP_MS
from pipeline.core.statistics import Floats
from tests.benchmarks.alerts.shop import DAY, HOUR, MINUTE, STORES, Counter, Day, Shop, Trouble
from tests.support import ALERT_RULES, RULES

_WATERMARK_DELAY_MS: Final = 5_000
_AFTERWARDS_MS: Final = 30 * MINUTE
"""So long after its end an alert is still one of the incident."""
_HARMLESS: Final = ("sale",)


@dataclass
class Result:
    found: dict[Trouble, float] = field(default_factory=dict)
    """Minutes to detection."""
    named: dict[Trouble, str] = field(default_factory=dict)
    """What the alert named as its cause, last."""
    false: list[str] = field(default_factory=list)


def troubles(seed: int, first_week: int, weeks: int) -> tuple[Trouble, ...]:
    """Each week one incident a day, at a time of day when there is traffic."""
    r = np.random.default_rng([seed, 99])
    found = []
    for week in range(first_week, first_week + weeks):
        days = r.permutation(7)
        kinds = (
            ("payment-mobile", 1.0, 40, 9, 21),
            ("payment-mobile", 1.0, 40, 9, 21),
            ("payment-mobile", 0.3, 90, 9, 20),
            ("checkout-slow", 2.0, 60, 9, 20),
            ("search-broken", 1.0, 30, 9, 21),
            ("till-queue", 4.0, 60, 9, 18),
        )
        for day, (kind, strength, minutes, low, high) in zip(days, kinds, strict=False):
            at = int((week * 7 + day) * DAY + r.uniform(low, high) * HOUR)
            found.append(Trouble(kind, at, at + minutes * MINUTE, strength, int(r.integers(0, STORES))))
        sale = int(week * 7 + days[6]) * DAY
        found.append(Trouble("sale", sale, sale + DAY, 2.0))
    return tuple(found)


class Run:
    """One shop's weeks through detection."""

    def __init__(self, rate: float, seed: int, learning_weeks: int, weeks: int) -> None:
        ages = age_counters((funnel.name, funnel.timeout_ms) for funnel in RULES.funnels.all)
        measures = Measures(ages)
        self.days = (learning_weeks + weeks) * 7
        self.troubles = troubles(seed, learning_weeks, weeks)
        self.shop = Shop(rate, seed, self.troubles)
        self.counter = Counter(self.shop, measures, ages)
        self.detector = Detector(measures, ALERT_RULES)
        for name in self.counter.names:
            self.detector.segments.row(name)
        self.result = Result()
        self._of: dict[str, Trouble | None] = {}
        self._hours: dict[int, Floats] = {}

    def go(self) -> Result:
        before = Day()
        for number in range(self.days):
            day = self.shop.day(number)
            for hour in range(0, 24, 2):
                start = number * DAY + hour * HOUR
                for at, counts in self.counter.steps([before, day], start, start + 2 * HOUR):
                    self._teach(at, counts)
                    for alert in self.detector.step(at, counts):
                        self._note(at + STEP_MS, alert)
            before = day
        return self.result

    def _teach(self, at: int, counts: Floats) -> None:
        hour = at - at % HOUR
        if hour not in self._hours:
            for past in sorted(self._hours):
                if past <= hour - 2 * HOUR:
                    self.detector.learn(past, self._hours.pop(past))
            self._hours[hour] = np.zeros_like(counts)
        self._hours[hour] += counts

    def _note(self, at: int, alert: Alert) -> None:
        if alert.status != FIRING:
            return
        if alert.alert_id not in self._of:
            trouble = next((t for t in self.troubles if t.kind not in _HARMLESS and _is_near(at, t)), None)
            self._of[alert.alert_id] = trouble
            if trouble is not None:
                minutes = (at + _WATERMARK_DELAY_MS - trouble.from_ms) / MINUTE
                self.result.found.setdefault(trouble, minutes)
            elif at >= 7 * DAY:
                self.result.false.append(f"{alert.rule.name} ({alert.segment}) on day {at / DAY:.2f}")
        trouble = self._of[alert.alert_id]
        if trouble is not None and alert.causes:
            self.result.named[trouble] = alert.causes[0].where


def _is_near(at: int, trouble: Trouble) -> bool:
    return trouble.from_ms <= at <= trouble.until_ms + _AFTERWARDS_MS


def show(rate: float, run: Run) -> None:
    result = run.result
    weeks = run.days / 7 - 1
    print(f"\n{rate:g} checkouts a minute, {len(run.counter.names)} segments, {len(run.troubles)} incidents")
    for kind, strength in sorted({(t.kind, t.strength) for t in run.troubles if t.kind not in _HARMLESS}):
        of_kind = [t for t in run.troubles if (t.kind, t.strength) == (kind, strength)]
        minutes = [result.found[t] for t in of_kind if t in result.found]
        named = sorted({result.named[t] for t in of_kind if t in result.named})
        times = f"median {statistics.median(minutes):.1f}, worst {max(minutes):.1f} min" if minutes else "-"
        print(f"  {kind:<15} {strength:<4g} found {len(minutes)} of {len(of_kind)}: {times}  {', '.join(named)}")
    print(f"  false alerts: {len(result.false)} in {weeks:g} weeks")
    for text in result.false:
        print(f"    {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 20.0, 300.0], help="checkouts a minute")
    parser.add_argument("--learning-weeks", type=int, default=2)
    parser.add_argument("--weeks", type=int, default=1, help="with incidents")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for rate in options.rates:
        run = Run(rate, options.seed, options.learning_weeks, options.weeks)
        run.go()
        show(rate, run)


if __name__ == "__main__":
    main()
