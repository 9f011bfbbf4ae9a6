"""Detection as a whole: evidence in, alerts out. The state of the third stage.

Steps are decided on as soon as all sources have told theirs, and once more where a late event has changed one:
from the last state before it, which is kept, up to where all had got to. What was said and does not hold is taken
back. So which alerts there are in the end is a function of what was told in the end, as if each step had been told
once, in order.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.detection import cuts
from pipeline.core.detection.decider import Decider
from pipeline.core.detection.incidents import FIRING, OPEN, RESOLVED, RETRACTED, Alert
from pipeline.core.detection.told import Told
from pipeline.core.detection.watch import Rule
from pipeline.core.usual.baselines import Learning
from pipeline.core.usual.measures import Measures
from pipeline.model.evidence import HOUR_MS, Evidence

KEPT_EVERY_MS: Final = 300_000
"""Of event time, from one state that is kept to the next. What has changed further back than the last two waits
for the next one: to decide on an hour again costs as much as an hour."""
_BEFORE_ALL: Final = -(2**63)


class Decided(NamedTuple):
    """Alerts that have changed; ``at_ms``: rises, and makes their versions."""

    at_ms: int
    alerts: list[Alert]


class Detector:
    """Takes what each source tells, in any interleaving; decides step by step, when all have told theirs."""

    def __init__(
        self,
        measures: Measures,
        rules: tuple[Rule, ...],
        lateness_ms: int = HOUR_MS,
        sources: int = 1,
        learning: Learning | None = None,
        currency: str = "EUR",
    ) -> None:
        """``sources``: how many tell evidence. ``currency``: of the values in it."""
        self.kept: list[Decider] = [Decider(measures, rules, lateness_ms, learning, currency)]
        """States to go back to, ascending. Nothing can change what the first was decided on."""
        self._head = self.kept[0].fork()
        self.told = Told()
        self.next_ms: int | None = None
        """Start of the next step to decide on for the first time."""
        self.said: dict[str, Alert] = {}
        """Alerts by id, as they were given last, that are open or may change yet."""
        self.changed: set[int] = set()
        """Starts of the steps that were decided on and have changed since."""
        self._went_back_ms = _BEFORE_ALL
        self._sources = sources
        self._lateness_ms = lateness_ms
        self.written: dict[str, int] = {}
        """By shard: what it was like when it was last in a cut."""

    def take(
        self,
        source: str,
        version: int,
        complete_ms: int | None,
        steps: Iterable[Evidence],
        hours: Iterable[Evidence],
    ) -> None:
        """Take one message of evidence."""
        told, settled = self.told, _start(self.kept[0])
        news = {s for name, s, counters in steps if s >= settled and told.put_step(name, s, version, counters)}
        self.changed.update(start for start in news if self.next_ms is not None and start < self.next_ms)
        learned, last = (decider.baselines.last_ms for decider in (self.kept[0], self._head))
        for segment, start_ms, counters in hours:
            # Told again by a source that was restored: it has taught.
            is_news = (learned is None or start_ms > learned) and told.put_hour(segment, start_ms, counters)
            if is_news and last is not None and start_ms <= last:
                self.changed.add(start_ms + self._head.back_ms)
        if complete_ms is not None:
            told.complete[source] = max(complete_ms, told.complete.get(source, complete_ms))

    def decide(self) -> Iterator[Decided]:
        """Go on through the steps that are complete, one at a time, and first through those that have changed.

        To be exhausted before anything else is done.
        """
        until = self.told.until_ms(self._sources)
        if until is None or (self.next_ms is not None and until <= self.next_ms):
            return
        if self.next_ms is not None and self.changed:
            yield from self._go_back(until, self.next_ms)
        settled = until - self._lateness_ms
        for alerts in self._head.go_on(self.told, until):
            self.next_ms = self._head.next_ms
            self.said.update((alert.alert_id, alert.copy()) for alert in alerts)
            yield Decided(_start(self._head), alerts)
            self._keep(self._head, settled)
        self.next_ms = self._head.next_ms
        self._keep(self._head, settled)
        self._settle(settled)

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between steps."""
        return cuts.snapshot(self)

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        cuts.restore(self, head, shards)

    def open_alerts(self) -> list[Alert]:
        """Pending or firing, as they were given last."""
        return [alert for alert in self.said.values() if alert.status in OPEN]

    def go_back_to_the_first(self) -> None:
        """Begin at the first state that is kept: with the next step all after it is decided on once more."""
        self._head = self.kept[0].fork()
        self.changed = {_start(self.kept[0])} if self.next_ms is not None else set()

    def _keep(self, head: Decider, settled_ms: int) -> None:
        """Keep the state from time to time; long ago only the last that is settled is of use."""
        at, last = _start(head), _start(self.kept[-1])
        if at // KEPT_EVERY_MS != last // KEPT_EVERY_MS and at + KEPT_EVERY_MS > settled_ms:
            self.kept.append(head.fork())

    def _settle(self, settled_ms: int) -> None:
        """Forget what can no longer change. Pieces that end where nothing is are settled with the next."""
        limit = min([settled_ms, *self.changed])
        while len(self.kept) > 1 and _start(self.kept[1]) <= limit:
            self.kept.pop(0)
        first = self.kept[0]
        self.told.forget(_start(first), first.baselines.last_ms)
        self.told.pack(_start(self.kept[-2:][0]))
        for alert in [a for a in self.said.values() if a.status not in OPEN and a.updated_ms <= _start(first)]:
            del self.said[alert.alert_id]

    def _go_back(self, until_ms: int, next_ms: int) -> Iterator[Decided]:
        """Decide once more on what has changed and all after it, up to ``next_ms``; on what is long ago later."""
        first = min(self.changed)
        if until_ms - self._went_back_ms < KEPT_EVERY_MS:
            first = min((at for at in self.changed if at >= _start(self.kept[-2:][0])), default=next_ms)
        else:
            self._went_back_ms = until_ms
        if first >= next_ms:
            return
        self.kept = [one for at, one in enumerate(self.kept) if at == 0 or _start(one) <= first]
        self.changed = {at for at in self.changed if at < first}
        since, head = _start(self.kept[-1]), self.kept[-1].fork()
        found: dict[str, Alert] = {}
        for alerts in head.go_on(self.told, next_ms):
            found.update((alert.alert_id, alert) for alert in alerts)
            yield Decided(next_ms, [])
            self._keep(head, until_ms - self._lateness_ms)
        self._head = head
        yield from self._differences(since, next_ms, found)

    def _differences(self, since_ms: int, at_ms: int, found: dict[str, Alert]) -> Iterator[Decided]:
        """What was said of the time since, and is otherwise now, between what is said of two steps."""
        then: list[Alert] = []
        first = [
            alert.retracted(at_ms)
            for alert in self.said.values()
            if alert.alert_id not in found and alert.status != RETRACTED and alert.updated_ms > since_ms
        ]
        for alert in found.values():
            before = self.said.get(alert.alert_id)
            if before is not None and before.content() == alert.content():
                continue
            has_fired = before is not None and before.status != RETRACTED and before.fired_ms is not None
            if alert.status == RESOLVED and alert.fired_ms is not None and not has_fired:
                first.append(alert.copy(status=FIRING, resolved_ms=None))
                then.append(alert)
            else:
                first.append(alert)
        for number, alerts in enumerate((first, then), start=1):
            self.said.update((alert.alert_id, alert.copy()) for alert in alerts)
            if alerts:
                yield Decided(at_ms + number, alerts)


def _start(decider: Decider) -> int:
    """Of the next step that it decides on; before all where it has decided on none."""
    return decider.next_ms if decider.next_ms is not None else _BEFORE_ALL
