"""Detection as a whole: evidence in, alerts out. The state of the third stage."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pipeline.core.detection.baselines import Baselines, Learning, grown
from pipeline.core.detection.explain import parts
from pipeline.core.detection.incidents import FIRING, Alert, Incidents
from pipeline.core.detection.measures import Measures, Segments
from pipeline.core.detection.watch import Rule, Watch
from pipeline.core.evidence import HOUR_MS, STEP_MS, Evidence, hour_start
from pipeline.core.statistics import Floats
from pipeline.core.tiles import Counters


class Detector:
    """Takes what each source tells, in any interleaving; decides step by step, when all have told theirs.

    A step that is told again after it was decided on changes no decision, but its hour still teaches as it
    is in the end.
    """

    def __init__(
        self,
        measures: Measures,
        rules: tuple[Rule, ...],
        lateness_ms: int = HOUR_MS,
        sources: int = 1,
        learning: Learning | None = None,
    ) -> None:
        """``sources``: how many tell evidence."""
        self.measures: Final = measures
        self.segments = Segments()
        self.baselines = Baselines(measures, learning)
        self.watch = Watch(measures, rules)
        self.incidents = Incidents(rules, self.segments)
        self.complete: dict[str, int] = {}
        """By source: the end of its last complete step."""
        self.waiting: dict[int, dict[str, tuple[int, Counters]]] = {}
        """Steps that not all sources have told, by start and segment: version, counters."""
        self.hours: dict[int, dict[str, Counters]] = {}
        """Whole hours that have not taught yet, by start and segment."""
        self.recent: dict[int, Floats] = {}
        """Counts of the steps that rules still look back at, by start."""
        self.next_ms: int | None = None
        """Start of the next step to decide on."""
        self._rules = rules
        self._sources = sources
        self._hours_back = 1 + -(-lateness_ms // HOUR_MS)
        self._hour: int | None = None
        self._longest_ms = max(rule.windows_ms[-1] for rule in rules)
        self.changed_steps: set[int] = set()
        """Of ``recent``, since the last cut."""

    def take(
        self,
        source: str,
        version: int,
        complete_ms: int | None,
        steps: Iterable[Evidence],
        hours: Iterable[Evidence],
    ) -> None:
        """Take one message of evidence."""
        for segment, start_ms, counters in steps:
            if self.next_ms is None or start_ms >= self.next_ms:
                told = self.waiting.setdefault(start_ms, {})
                if version >= told.get(segment, (-1, {}))[0]:
                    told[segment] = (version, counters)
        for segment, start_ms, counters in hours:
            self.hours.setdefault(start_ms, {})[segment] = counters
        if complete_ms is not None:
            self.complete[source] = max(complete_ms, self.complete.get(source, complete_ms))

    def decide(self) -> Iterator[list[Alert]]:
        """Go on through the steps that are complete, one at a time; gives the alerts that changed in each."""
        if len(self.complete) < self._sources:
            return
        until = min(self.complete.values())
        if self.next_ms is None:
            self.next_ms = min((*self.waiting, until))
        while self.next_ms < until:
            start = self.next_ms
            self.next_ms = start + STEP_MS
            rows = {segment: counters for segment, (_, counters) in self.waiting.pop(start, {}).items()}
            if not rows and not self.recent and not self.incidents.open:
                # Nothing for longer than any rule looks back: on to where there is something again.
                self.next_ms = max(self.next_ms, min(min(self.waiting, default=until), until))
                for _ in self._learn_before(hour_start(self.next_ms)):
                    yield []
                continue
            hour = hour_start(start)
            if hour != self._hour:
                for _ in self._learn_before(hour):
                    yield []
            yield self.step(start, self.counts_of(rows))

    def step(self, start_ms: int, counts: Floats) -> list[Alert]:
        """Decide on [start, start + STEP_MS). Shape of ``counts``: segments, columns."""
        if hour_start(start_ms) != self._hour:
            for _ in self._learn_before(hour_start(start_ms)):
                pass
            self.expect(start_ms)
        self.see(start_ms, counts)
        verdicts = {rule.name: self.watch.judge(rule) for rule in self._rules}
        changed = self.incidents.update(start_ms + STEP_MS, verdicts)
        for alert in changed:
            if alert.status == FIRING and alert.is_found_at(start_ms + STEP_MS):
                counts_of_all = self.watch.window(alert.rule, alert.latest.window_ms)
                alert.causes = parts(self.segments.names, alert.segment, *counts_of_all) or alert.causes
        return changed

    def see(self, start_ms: int, counts: Floats) -> None:
        """Let the rules look back at a step from now on."""
        self.watch.see(counts)
        if counts.any():
            self.recent[start_ms] = counts
            self.changed_steps.add(start_ms)
        for old in [at for at in self.recent if at <= start_ms - self._longest_ms]:
            del self.recent[old]
            self.changed_steps.add(old)

    def expect(self, at_ms: int) -> None:
        """Look up what is usual in the hour."""
        self._hour = hour_start(at_ms)
        parents = self.segments.parents()
        self.baselines.fit(len(parents))
        at_ms = self._hour
        rates, known = self.baselines.rates(at_ms, parents), self.baselines.is_known(at_ms, parents)
        self.watch.expect(rates, known, self.baselines.dispersion())

    def _learn_before(self, hour: int) -> Iterator[int]:
        """Learn the hours that are final when this one begins, one at a time."""
        for past in sorted(past for past in self.hours if past <= hour - self._hours_back * HOUR_MS):
            self.learn(past, self.counts_of(self.hours.pop(past)))
            yield past

    def learn(self, hour: int, counts: Floats) -> None:
        """Take a whole hour that nothing can change any more. Shape of ``counts``: segments, columns."""
        self.baselines.learn(hour, counts, self.segments.parents())

    def no_counts(self) -> Floats:
        """Shape: segments, columns."""
        return grown(self.measures.row({})[None][:0], len(self.segments))

    def counts_of(self, rows: Mapping[str, Counters]) -> Floats:
        """Counts from counters by segment; new segments get rows."""
        places = [self.segments.row(name) for name in rows]
        counts = self.no_counts()
        for at, counters in zip(places, rows.values(), strict=True):
            counts[at] = self.measures.row(counters)
        return counts
