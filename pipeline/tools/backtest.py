"""The pipeline's own core over history, as fast as it goes: which alerts there would have been.

Nothing is read from or written to anything but what is given: phases one and two and detection run in this
process, on the same code as in the workers. Signals are not computed, only what detection is told.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pipeline.core.detection.detection import Detection, is_of_persons
from pipeline.core.detection.incidents import RETRACTED, Alert
from pipeline.core.detection.watch import Rule
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.model.ages import age_counters
from pipeline.model.event_time import NEVER_MS
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.source import Source, source_name
from pipeline.tools.replay.formats import FileEvent
from schemas.events import CHANNELS, TOPIC_PREFIX

_BATCH: Final = 2_000
_AFTERWARDS_MS: Final = 7_200_000
"""As after a replay: so much later all journeys and windows are closed."""
_SOURCE: Final = "backtest"

Advance = Callable[[int], None]


class Backtest:
    """History through phases one and two and detection."""

    def __init__(self, rules: Rules, alert_rules: tuple[Rule, ...], sources: Sequence[Source]) -> None:
        ages = age_counters((funnel.name, funnel.timeout_ms) for funnel in rules.funnels.all)
        self._partitions = {source: Partition(source[0].removeprefix(TOPIC_PREFIX), rules) for source in sources}
        self._windows = Windows(rules.funnels, rules.longest_lateness_ms, rules.generation, len(sources))
        # Rules about persons are left out: their stages do not run here.
        own = tuple(rule for rule in alert_rules if not is_of_persons(rule))
        self._detector = Detection(ages, own, rules.longest_lateness_ms, currency=rules.currency).own
        self._first_ms: int | None = None
        self.fired: dict[str, tuple[int, Alert]] = {}
        """By id: when it fired (event time, ms), and the alert as it stands."""

    @property
    def seen_ms(self) -> int:
        """How much event time has been decided on."""
        detector = self._detector
        if detector.next_ms is None or self._first_ms is None:
            return 0
        return detector.next_ms - self._first_ms

    def run(self, logs: Mapping[Source, Sequence[Record]], advance: Advance = lambda _: None) -> list[Alert]:
        """Take whole logs, the one that is behind first, as a worker does.

        Gives the alerts that fired, without those that others have taken in.
        """
        at = dict.fromkeys(logs, 0)
        for source, log in logs.items():
            if not log:
                self._windows.merge(source_name(source), self._partitions[source].rules.first_version, None, [])
        while rest := [source for source, done in at.items() if done < len(logs[source])]:
            source = min(rest, key=lambda s: (self._partitions[s].watermark_ms or 0, s))
            batch = logs[source][at[source] : at[source] + _BATCH]
            at[source] += len(batch)
            self._process(source, batch)
            advance(len(batch))
        fired = sorted(self.fired.values(), key=lambda found: found[0])
        return [alert for _, alert in fired if not alert.part_of]

    def _process(self, source: Source, batch: Sequence[Record]) -> None:
        # What was accepted once is judged by its own time only: the wall clock of now says nothing of it.
        out = self._partitions[source].process(batch, NEVER_MS)
        windows = self._windows
        windows.merge(source_name(source), out.version, out.watermark_ms, out.tiles)
        self._decide()
        while windows.is_behind():
            self._decide()
        horizon = windows.horizon_ms()
        if horizon is not None and windows.teller.told_ms is not None:
            windows.forget(horizon)

    def _decide(self) -> None:
        self._windows.pass_over()
        until_ms, steps, hours = self._windows.take_told()
        self._detector.take(_SOURCE, self._windows.sources.version, until_ms, steps, hours)
        for decided in self._detector.decide():
            self._note(decided.alerts)
            self._first_ms = self._first_ms or self._detector.next_ms

    def _note(self, changed: Iterable[Alert]) -> None:
        for alert in changed:
            if alert.status == RETRACTED:
                self.fired.pop(alert.alert_id, None)
            elif alert.fired_ms is not None:
                self.fired[alert.alert_id] = alert.fired_ms, alert


def logs_of(events: Sequence[FileEvent]) -> dict[Source, list[Record]]:
    """A file's events as three logs of one partition each, in order of time, with the ticks between them."""
    logs: dict[Source, list[Record]] = {(TOPIC_PREFIX + channel, 0): [] for channel in CHANNELS}
    last_ms = 0
    for batch in _batches(sorted(events, key=lambda event: event.at_ms)):
        for event in batch:
            log = logs[TOPIC_PREFIX + event.channel, 0]
            log.append(Record(len(log), -1, event.payload))
        last_ms = batch[-1].at_ms
        _tick(logs, last_ms)
    if events:
        _tick(logs, last_ms + _AFTERWARDS_MS)
    return logs


def _batches(events: list[FileEvent]) -> Iterator[list[FileEvent]]:
    for at in range(0, len(events), _BATCH):
        yield events[at : at + _BATCH]


def _tick(logs: dict[Source, list[Record]], at_ms: int) -> None:
    """What a partition without events gets while others go on."""
    for log in logs.values():
        log.append(Record(len(log), -1, None, at_ms))
