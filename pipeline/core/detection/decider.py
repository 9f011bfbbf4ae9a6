"""One pass over the evidence, step by step: what is usual, which rules find something, which alerts there are."""

import copy
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from pipeline.core.detection.explain import parts, with_step
from pipeline.core.detection.incidents import FIRING, RESOLVED, Alert, Incidents
from pipeline.core.detection.steps import Steps
from pipeline.core.detection.told import Told
from pipeline.core.detection.watch import Reckoned, Rule, Watch
from pipeline.core.detection.worth import Worth
from pipeline.core.statistics import Floats
from pipeline.core.usual.baselines import Baselines, Learning
from pipeline.core.usual.measures import ALL, Measures, Segments, counts_of, dimensions
from pipeline.core.usual.scores import Flags
from pipeline.model.evidence import HOUR_MS, STEP_MS, final_after, hour_start
from pipeline.model.tiles import Counters


class Decider:
    """Decides on steps in order of event time, once each. ``fork`` gives another that goes on from there.

    A function of the steps and hours that it is given: in what order sources and segments are heard of within
    a step makes no difference.
    """

    def __init__(
        self,
        measures: Measures,
        rules: tuple[Rule, ...],
        lateness_ms: int = HOUR_MS,
        learning: Learning | None = None,
        currency: str = "EUR",
    ) -> None:
        """``currency``: of the values in the evidence."""
        self.measures: Final = measures
        self.segments = Segments()
        self.baselines = Baselines(measures, learning)
        self.watch = Watch(measures, rules)
        self.incidents = Incidents(rules, self.segments)
        self.recent: dict[int, Reckoned] = {}
        """The steps that rules still look back at, by start."""
        self.next_ms: int | None = None
        """Start of the next step to decide on."""
        self._rules = rules
        self.back_ms: Final = final_after(lateness_ms)
        """So long after an hour has begun it teaches: it is final."""
        self.hour: int | None = None
        """Start of the hour of the last step decided on."""
        self._longest_ms = max([STEP_MS, *(rule.windows_ms[-1] for rule in rules)])
        self.steps = Steps(self._longest_ms)
        self.worth = Worth(measures, currency)

    def fork(self) -> "Decider":
        """The same, to go on by itself. Arrays are shared: none is changed in place."""
        found = copy.copy(self)
        found.segments = self.segments.fork()
        found.baselines = self.baselines.fork()
        found.watch = self.watch.fork()
        found.incidents = self.incidents.fork(found.segments)
        found.recent = dict(self.recent)
        found.steps = self.steps.fork()
        found.worth = copy.copy(self.worth)
        return found

    def go_on(self, told: Told, until_ms: int) -> Iterator[list[Alert]]:
        """Through the steps that end by then, one at a time; gives the alerts that changed in each."""
        if self.next_ms is None:
            self.next_ms = min(told.first_ms(None, until_ms), until_ms)
        while self.next_ms < until_ms:
            start = self.next_ms
            rows = told.rows(start)
            if not rows and not self.recent and not self.incidents.open:
                # Nothing for longer than any rule looks back: on to where there is something again.
                following = told.first_ms(start + STEP_MS, until_ms)
                for _ in self._learn_before(hour_start(following), told):
                    yield []
                self.next_ms = following
                continue
            hour = hour_start(start)
            if hour != self.hour:
                for _ in self._learn_before(hour, told):
                    yield []
            counts = counts_of(self.measures, self.segments, rows)
            self.steps.see(start, self._by_row(rows))
            changed = self.step(start, counts)
            self.next_ms = start + STEP_MS
            yield changed

    def step(self, start_ms: int, counts: Floats) -> list[Alert]:
        """Decide on [start, start + STEP_MS). Shape of ``counts``: segments, columns."""
        if hour_start(start_ms) != self.hour:
            self.expect(start_ms)
        self.see(start_ms, self.watch.reckon(counts))
        verdicts = {rule.name: self.watch.judge(rule) for rule in self._rules}
        at_ms = start_ms + STEP_MS
        changed = self.incidents.update(at_ms, verdicts)
        for alert in changed:
            self._reckon(alert)
            if alert.status == FIRING and alert.is_found_at(at_ms):
                self._explain(at_ms, alert)
        return changed

    def _explain(self, at_ms: int, alert: Alert) -> None:
        """Name the parts and the step that account for it; what was named stays where nothing is found now."""
        window_ms = alert.latest.window_ms
        found = parts(self.segments.names, alert.segment, *self.watch.window(alert.rule, window_ms))
        if alert.rule.has_steps:
            where = dimensions(alert.segment) | (dimensions(found[0].where) if found else frozenset())
            rows, root = self.segments.making_up(where), self.segments.find(ALL)
            since_ms = min(alert.opened_ms, at_ms - window_ms)
            if rows and root is not None and (step := self.steps.blamed(rows, root, since_ms)):
                found = with_step(found, step.step, step.of_all)
        alert.causes = found or alert.causes

    def _reckon(self, alert: Alert) -> None:
        """What it has cost so far."""
        funnel, row, root = alert.rule.subject, self.segments.find(alert.segment), self.segments.find(ALL)
        if funnel not in self.measures.funnels or row is None:
            return
        if alert.stake is None:
            missing = abs(alert.latest.expected - alert.latest.observed)
        elif alert.status != RESOLVED:
            missing = max(0.0, alert.stake.missing + self.watch.missing(row, funnel))
        else:
            missing = alert.stake.missing
        alert.stake = self.worth.stake(row, root if root is not None else row, funnel, missing)

    def see(self, start_ms: int, reckoned: Reckoned) -> None:
        """Let the rules look back at a step from now on."""
        self.watch.see(reckoned)
        if reckoned.counts.any():
            self.recent[start_ms] = reckoned
        for old in [at for at in self.recent if at <= start_ms - self._longest_ms]:
            del self.recent[old]

    def expect(self, at_ms: int, segments: int | None = None) -> None:
        """Look up what is usual in the hour, of the first ``segments`` (None: of all that there are)."""
        self.hour = hour_start(at_ms)
        parents = self.segments.parents(segments)
        self.baselines.fit(len(self.segments))
        self.watch.expect(self.baselines.usual(self.hour, parents))

    def _learn_before(self, hour: int, told: Told) -> Iterator[int]:
        """Learn the hours that are final when this one begins, one at a time."""
        for past, rows in told.hours_between(self.baselines.last_ms, hour - self.back_ms):
            self.learn(past, counts_of(self.measures, self.segments, rows))
            of_funnels = self.baselines.taught[:, : len(self.measures.funnels)]
            usual: Flags = np.logical_and.reduce(of_funnels, axis=1)
            self.steps.learn(past, {row: c for row, c in self._by_row(rows).items() if usual[row]})
            yield past

    def learn(self, hour: int, counts: Floats) -> None:
        """Take a whole hour that nothing can change any more. Shape of ``counts``: segments, columns."""
        self.baselines.learn(hour, counts, self.segments.parents())
        self.worth.learn(hour, counts)

    def _by_row(self, rows: Mapping[str, Counters]) -> dict[int, Counters]:
        return {self.segments.row(name): counters for name, counters in rows.items()}
