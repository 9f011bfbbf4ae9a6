"""All of detection: rules about signals of persons have a detector of their own.

What they look at is complete minutes after everything else, which must not wait for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from pipeline.core.cuts import PERSONS, Cut, Head, Shards
from pipeline.core.detection.detector import Decided, Detector
from pipeline.core.detection.incidents import Alert
from pipeline.core.detection.watch import Rule
from pipeline.core.usual.measures import Measures
from pipeline.model.ages import AgeCounters
from pipeline.model.evidence import HOUR_MS
from pipeline.model.facts import RECOVERABLE
from pipeline.model.signals import signal_of


def is_of_persons(rule: Rule) -> bool:
    """Whether a rule is about a signal of persons."""
    return signal_of(rule.signal).is_of_persons


class Detection:
    """The state of the third stage."""

    def __init__(
        self,
        ages: Mapping[str, AgeCounters],
        rules: tuple[Rule, ...],
        lateness_ms: int = HOUR_MS,
        sources: int = 1,
        currency: str = "EUR",
        about_persons: Sequence[str] = (),
    ) -> None:
        """``ages``: by funnel. ``sources``: how many tell evidence. ``currency``: of the values in it.

        ``about_persons``: names of the rules that moments are by.
        """
        own = tuple(rule for rule in rules if not is_of_persons(rule))
        self.own: Final = Detector(Measures(ages), own, lateness_ms, sources, currency=currency)
        of_persons = tuple(rule for rule in rules if is_of_persons(rule))
        bought_in = {funnel: counters for funnel, counters in ages.items() if funnel in RECOVERABLE}
        self.persons: Final = (
            Detector(Measures(bought_in, about_persons), of_persons, lateness_ms, sources, currency=currency)
            if of_persons
            else None
        )
        self._stale: list[str] = []
        """Stored shards that no detector goes on with."""

    def of(self, is_of_persons: bool) -> Detector | None:
        """The one that such evidence is for; None where no rule asks for it."""
        return self.persons if is_of_persons else self.own

    def decide(self) -> Iterator[Decided]:
        """Go on through the steps that are complete. To be exhausted before anything else is done."""
        return chain.from_iterable(one.decide() for one in self._all())

    def open_alerts(self) -> list[Alert]:
        """Pending or firing, as they were given last."""
        return [alert for one in self._all() for alert in one.open_alerts()]

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between steps."""
        made = self.own.snapshot()
        made.gone, self._stale = [*made.gone, *self._stale], []
        if self.persons is None:
            return made
        also = self.persons.snapshot()
        changed = made.changed | {PERSONS + name: content for name, content in also.changed.items()}
        gone = {*made.gone, *(PERSONS + name for name in also.gone)} - changed.keys()
        return Cut({**made.head, "persons": also.head}, changed, sorted(gone))

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        self.own.restore(head, {name: one for name, one in shards.items() if not name.startswith(PERSONS)})
        found = {name.removeprefix(PERSONS): one for name, one in shards.items() if name.startswith(PERSONS)}
        if self.persons is not None and "persons" in head:
            self.persons.restore(head["persons"], found)
        else:  # the rules' file has been changed since: what was not followed begins anew
            self._stale = [PERSONS + name for name in found]

    def _all(self) -> Iterable[Detector]:
        return (self.own,) if self.persons is None else (self.own, self.persons)
