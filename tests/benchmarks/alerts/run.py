"""Prints how soon each incident of simulated weeks was found, what was false, and what was missed.

Weeks before the first incident teach what is usual; alerts in them count as false ones too, after the first
week. Times are from the incident's start to the moment the alert fires, in event time, and 5 s for the
watermark's delay.
"""

import argparse
import statistics
from collections import Counter as Counting
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.core.detection.decider import Decider
from pipeline.core.detection.incidents import FIRING, Alert
from pipeline.core.statistics import Floats
from pipeline.core.usual.measures import Measures
from pipeline.model.ages import age_counters
from pipeline.model.evidence import STEP_MS
from pipeline.model.tiles import funnel_counters
from tests.benchmarks.alerts.others import OTHERS, alerts, rates
from tests.benchmarks.alerts.shop import DAY, HOUR, MINUTE, STORES, Counter, Day, Shop, Trouble
from tests.support import DETECTOR_RULES, RULES

_WATERMARK_DELAY_MS: Final = 5_000
_AFTERWARDS_MS: Final = 30 * MINUTE
"""So long after its end an alert is still one of the incident."""
_HARMLESS: Final = ("sale",)
_COMPARED: Final = ("checkout", "search", "queue")


@dataclass
class Result:
    found: dict[Trouble, float] = field(default_factory=dict)
    """Minutes to detection."""
    named: dict[Trouble, str] = field(default_factory=dict)
    """What the alert named as its cause, last."""
    false: list[str] = field(default_factory=list)
    marked: set[int] = field(default_factory=set)
    """Minutes at which a console shows a false alert as firing."""


def troubles(seed: int, first_week: int, weeks: int) -> tuple[Trouble, ...]:
    """Two incidents on six days of each week, in the morning and later; on the seventh day a sale and none.

    Stores close and open, and nights are quiet, every day.
    """
    r = np.random.default_rng([seed, 99])
    found = []
    for week in range(first_week, first_week + weeks):
        days = r.permutation(7)
        kinds = (
            ("payment-mobile", 1.0, 40, 14, 21),
            ("payment-mobile", 1.0, 40, 14, 21),
            ("payment-mobile", 0.3, 90, 14, 20),
            ("checkout-slow", 2.0, 60, 14, 20),
            ("search-broken", 1.0, 30, 14, 21),
            ("till-queue", 4.0, 60, 14, 18),
        )
        for day, (kind, strength, minutes, low, high) in zip(days, kinds, strict=False):
            midnight = int(week * 7 + day) * DAY
            morning = midnight + int(r.uniform(9, 11.5) * HOUR)
            found.append(Trouble("payment-mobile", morning, morning + 40 * MINUTE, 1.0))
            at = midnight + int(r.uniform(low, high) * HOUR)
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
        self.decider = Decider(measures, DETECTOR_RULES)
        for name in self.counter.names:
            self.decider.segments.row(name)
        self.result = Result()
        self._learned = learning_weeks * 7 * DAY // STEP_MS
        self._watched = np.array([measures.columns[name] for f in _COMPARED for name in funnel_counters(f)[:2]])
        self._series: list[Floats] = []
        self._of: dict[str, Trouble | None] = {}
        self._hours: dict[int, Floats] = {}
        self._firing: dict[str, int] = {}
        """False alerts, from when on."""

    def go(self) -> Result:
        before = Day()
        for number in range(self.days):
            day = self.shop.day(number)
            for hour in range(0, 24, 2):
                start = number * DAY + hour * HOUR
                for at, counts in self.counter.steps([before, day], start, start + 2 * HOUR):
                    self._series.append(counts[: self.counter.compared][:, self._watched])
                    self._teach(at, counts)
                    for alert in self.decider.step(at, counts):
                        self._note(at + STEP_MS, alert)
                    if self._firing:
                        self.result.marked.add((at + STEP_MS) // MINUTE)
            before = day
        return self.result

    def _teach(self, at: int, counts: Floats) -> None:
        hour = at - at % HOUR
        if hour not in self._hours:
            for past in sorted(self._hours):
                if past <= hour - 2 * HOUR:
                    self.decider.learn(past, self._hours.pop(past))
            self._hours[hour] = np.zeros_like(counts)
        self._hours[hour] += counts

    def others(self) -> dict[str, Result]:
        """What others would have found, on the same days."""
        series = np.stack(self._series)
        found = {}
        for name, rule in OTHERS.items():
            fires = np.concatenate(
                [rule(rates(series[..., at + 1], series[..., at]), self._learned) for at in (0, 2, 4)], axis=1
            )
            result, last_false = Result(), 0
            found[name] = result
            for step in alerts(fires):
                at = (step + 1) * STEP_MS
                trouble = self._trouble(at)
                if trouble is not None:
                    result.found.setdefault(trouble, (at + _WATERMARK_DELAY_MS - trouble.from_ms) / MINUTE)
                elif at >= 7 * DAY and at - last_false >= HOUR // 2:
                    # Of segments that cry wolf together, as one: they would be grouped.
                    result.false.append(f"on day {at / DAY:.2f}")
                    last_false = at
        return found

    def _trouble(self, at: int) -> Trouble | None:
        return next((t for t in self.troubles if t.kind not in _HARMLESS and _is_near(at, t)), None)

    def _note(self, at: int, alert: Alert) -> None:
        if alert.status != FIRING:
            self._firing.pop(alert.alert_id, None)
            return
        if alert.alert_id not in self._of:
            trouble = self._trouble(at)
            self._of[alert.alert_id] = trouble
            if trouble is not None:
                minutes = (at + _WATERMARK_DELAY_MS - trouble.from_ms) / MINUTE
                self.result.found.setdefault(trouble, minutes)
            elif at >= 7 * DAY:
                self.result.false.append(f"{alert.rule.name} ({alert.segment}) on day {at / DAY:.2f}")
                self._firing[alert.alert_id] = at
        trouble = self._of[alert.alert_id]
        if trouble is not None and alert.causes:
            self.result.named[trouble] = alert.causes[0].where


def _is_near(at: int, trouble: Trouble) -> bool:
    return trouble.from_ms <= at <= trouble.until_ms + _AFTERWARDS_MS


def show(rate: float, runs: list[Run]) -> None:
    incidents = [t for run in runs for t in run.troubles if t.kind not in _HARMLESS]
    segments = len(runs[0].counter.names)
    weeks = sum(run.days / 7 - 1 for run in runs)
    print(f"\n{rate:g} checkouts a minute, {segments} segments, {len(incidents)} incidents, {len(runs)} seeds")
    by_name = {"cx-signals": [run.result for run in runs]}
    for run in runs:
        for name, result in run.others().items():
            by_name.setdefault(name, []).append(result)
    for name, results in by_name.items():
        false = [text for result in results for text in result.false]
        print(f"  {name}: {len(false)} false alerts in {weeks:g} weeks")
        if name == "cx-signals":
            marked, looks = sum(len(result.marked) for result in results), weeks * 7 * DAY / MINUTE
            print(f"    looked at every minute: {marked} of {looks:,.0f} looks show one")
        for kind, strength in sorted({(t.kind, t.strength) for t in incidents}):
            _show_kind(runs, results, kind, strength)
        if name == "cx-signals":
            for text in false:
                print(f"      false: {text}")


def _show_kind(runs: list[Run], results: list[Result], kind: str, strength: float) -> None:
    """Troubles of one seed are equal to no other's only by chance: they are looked up run by run."""
    minutes, named, count = [], [], 0
    for run, result in zip(runs, results, strict=True):
        of_kind = [t for t in run.troubles if (t.kind, t.strength) == (kind, strength)]
        count += len(of_kind)
        minutes += [result.found[t] for t in of_kind if t in result.found]
        named += [result.named[t] for t in of_kind if t in result.named]
    times = f"median {statistics.median(minutes):4.1f}, worst {max(minutes):4.1f} min" if minutes else "-"
    best = ", ".join(f"{name} ({n})" for name, n in Counting(named).most_common(2))
    print(f"    {kind:<15} {strength:<4g} found {len(minutes):2} of {count:2}: {times}  {best}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 20.0, 300.0], help="checkouts a minute")
    parser.add_argument("--learning-weeks", type=int, default=2)
    parser.add_argument("--weeks", type=int, default=1, help="with incidents")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101], help="those below 100 were tuned on")
    options = parser.parse_args()
    for rate in options.rates:
        runs = [Run(rate, seed, options.learning_weeks, options.weeks) for seed in options.seeds]
        for run in runs:
            run.go()
        show(rate, runs)


if __name__ == "__main__":
    main()
