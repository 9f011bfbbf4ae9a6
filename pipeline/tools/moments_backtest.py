"""The rules about single persons over history, as fast as it goes: which moments there would have been.

Nothing is read from or written to anything but what is given: sessions, visitors and persons run in this process,
on the same code as in the workers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.partition import Partition
from pipeline.model.event_time import NEVER_MS
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.source import Source, source_name
from schemas.events import TOPIC_PREFIX
from schemas.facts import KNOWN, VISITS_TOPIC

_BATCH: Final = 2_000
_VISITS: Final = f"{VISITS_TOPIC}:0"
Advance = Callable[[int], None]


class Told(NamedTuple):
    """A moment that has fired and was not withdrawn."""

    at_ms: int
    rule: str
    person: str
    channel: str
    session_id: str
    event_id: str
    events: tuple[str, ...]


class MomentsBacktest:
    """History through sessions, visitors and persons."""

    def __init__(self, rules: Rules, sources: Sequence[Source]) -> None:
        self._partitions: Final = {
            source: Partition(source[0].removeprefix(TOPIC_PREFIX), rules) for source in sources
        }
        first, lateness_ms, count = rules.first_version, rules.longest_lateness_ms, len(sources)
        self._visitors: Final = Visitors(first, count, lateness_ms)
        self._persons: Final = Persons(first, count + 1, lateness_ms, rules.segmenter, rules.moments)
        for partition in self._partitions.values():
            partition.end_catching_up()  # no run before this one has told anything
        self._visitors.end_catching_up()
        self._persons.end_catching_up()
        self._version = first
        self._told: dict[tuple[str, str, str, str, str, int], Told] = {}
        self._first_ms = self._last_ms = NEVER_MS
        self.known: set[str] = set()
        """Persons of whom any fact was told."""

    @property
    def seen_ms(self) -> int:
        """How much event time there was."""
        return 0 if self._first_ms == NEVER_MS else self._last_ms - self._first_ms

    def run(self, logs: Mapping[Source, Sequence[Record]], advance: Advance = lambda _: None) -> list[Told]:
        """Take whole logs, the one that is behind first, as a worker does. Gives the moments by time."""
        at = dict.fromkeys(logs, 0)
        for source, log in logs.items():
            if not log:
                self._take(source_name(source), Outputs())
        while rest := [source for source, done in at.items() if done < len(logs[source])]:
            source = min(rest, key=lambda s: (self._partitions[s].watermark_ms or 0, s))
            batch = logs[source][at[source] : at[source] + _BATCH]
            at[source] += len(batch)
            # What was accepted once is judged by its own time only: the wall clock of now says nothing of it.
            out = self._partitions[source].process(batch, NEVER_MS)
            self._take(source_name(source), out)
            if out.newest_ms is not None and out.accepted:
                self._first_ms = min(self._first_ms, out.newest_ms)
                self._last_ms = out.newest_ms if self._last_ms == NEVER_MS else max(self._last_ms, out.newest_ms)
            self._partitions[source].forget()
            advance(len(batch))
        return sorted(self._told.values())

    def _take(self, source: str, out: Outputs) -> None:
        self._version += 1
        at = source, self._version, out.watermark_ms, False
        self._visitors.take(*at, out.visits, out.observations)
        persons, found = self._persons, self._visitors.settle()
        persons.take(*at, out.facts)
        persons.take(_VISITS, self._version, self._visitors.passed_ms, False, found)
        self.known.update(one.who for one in (*out.facts, *found) if one.who.startswith(KNOWN))
        persons.settle()
        persons.segmenter.values.admit(persons.undecided())
        persons.fold()
        persons.take_tiles()
        persons.take_purchases()
        for person, (rule, fact, events), holds in persons.take_moments():
            key = rule, person, fact.channel, fact.session_id, fact.event_id, fact.ended_ms
            if holds:
                where = fact.channel, fact.session_id, fact.event_id
                self._told[key] = Told(fact.ended_ms, rule, person, *where, events)
            else:
                self._told.pop(key, None)
