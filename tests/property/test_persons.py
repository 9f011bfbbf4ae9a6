"""Persons: whatever the order, the cuts and the crashes, what is told is what the naive computation finds."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.partition import Partition
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.source import Source
from pipeline.outputs.facts import FactsRouter, Told
from pipeline.outputs.outgoing import Output
from pipeline.outputs.recoveries import recovery_row
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import RecoveryKey, RecoveryValue
from schemas.events import TOPIC_PREFIX
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC, FactsRead, VisitsRead
from tests.support import FETCHED_MS, NAIVE, RULES, event_json, lay, log_of, naive_logs

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SOURCES: tuple[Source, ...] = (("touchpoints.web", 0), ("touchpoints.web", 1), ("touchpoints.pos", 0))
PARTITIONS = 2
FIRST = RULES.first_version


@dataclass
class Stage:
    """One partition of a stage: the log that it reads, its state, and the newest checkpoint of that."""

    source: Source
    make: Callable[[], Any]
    step: Callable[[Any, Sequence[Any], int], list[Output]]
    log: list[Any] = field(default_factory=list)
    at: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    head: Any = None
    kept_at: int = 0
    state: Any = None
    log_end: int = 0
    """How far one that has crashed may have come."""

    def __post_init__(self) -> None:
        self.state = self.make()

    def cut(self) -> None:
        self.head, self.kept_at = lay(self.kept, self.state.snapshot()), self.at

    def go_on(self, until: int) -> list[Output]:
        made = self.step(self.state, self.log[self.at : until], until)
        self.at = until
        if until >= self.log_end:
            self.state.end_catching_up()
        return made

    def crash(self) -> None:
        self.log_end = max(self.log_end, self.at)
        self.state, self.at = self.make(), self.kept_at
        if self.head is not None:
            self.state.restore(self.head, dict(self.kept))


class Chain:
    """All stages that persons are made by, and the table that they write."""

    def __init__(self, logs: dict[Source, list[Record]], seed: int, rules: Rules) -> None:
        self._chance, self._rules = random.Random(seed), rules
        self.rows: dict[RecoveryKey, tuple[int, RecoveryValue]] = {}
        self._routers = {topic: FactsRouter(topic, PARTITIONS) for topic in (VISITS_TOPIC, FACTS_TOPIC)}
        self.stages: dict[Source, Stage] = {}
        for source in SOURCES:
            is_compiled = self._chance.random() < 0.5
            made = self._partition_maker(source, is_compiled)
            self.stages[source] = Stage(source, made, self._sessions(source), logs[source])
        sources, lateness = len(SOURCES), rules.longest_lateness_ms
        for number in range(PARTITIONS):
            visits, facts = (VISITS_TOPIC, number), (FACTS_TOPIC, number)
            self.stages[visits] = Stage(visits, lambda: Visitors(FIRST, sources, lateness), self._visitors(visits))
            self.stages[facts] = Stage(
                facts, lambda: Persons(FIRST, sources + PARTITIONS, lateness), self._persons
            )

    def _partition_maker(self, source: Source, is_compiled: bool) -> Callable[[], Partition]:
        channel = source[0].removeprefix(TOPIC_PREFIX)
        return lambda: Partition(channel, self._rules, is_compiled=is_compiled)

    def _sessions(self, source: Source) -> Callable[[Any, Sequence[Record], int], list[Output]]:
        told: dict[str, Told] = {VISITS_TOPIC: {}, FACTS_TOPIC: {}}

        def step(state: Partition, records: Sequence[Record], _: int) -> list[Output]:
            out = state.process(records, FETCHED_MS)
            at = f"{source[0]}:{source[1]}", out.version, out.watermark_ms
            return [
                self._routers[VISITS_TOPIC].output(*at, told[VISITS_TOPIC], out.visits, out.observations),
                self._routers[FACTS_TOPIC].output(*at, told[FACTS_TOPIC], out.facts),
            ]

        return step

    def _visitors(self, source: Source) -> Callable[[Any, Sequence[bytes], int], list[Output]]:
        told: Told = {}

        def step(state: Visitors, messages: Sequence[bytes], next_offset: int) -> list[Output]:
            for message in messages:
                m = msgspec.json.decode(message, type=VisitsRead)
                state.take(m.source, m.version, m.watermark, m.more, m.statements, m.observations)
            statements = state.settle()
            passed_ms = state.passed_ms
            at = f"{source[0]}:{source[1]}", FIRST + next_offset, passed_ms
            router = self._routers[FACTS_TOPIC]
            return [router.output(*at, told, statements, is_sure=passed_ms is not None)]

        return step

    def _persons(self, state: Persons, messages: Sequence[bytes], next_offset: int) -> list[Output]:
        for message in messages:
            m = msgspec.json.decode(message, type=FactsRead)
            state.take(m.source, m.version, m.watermark, m.more, m.statements)
        for row in state.settle():
            person, funnel, channel, session, journey_id, entered, ended, value, *rest = recovery_row(row, 0)[:-1]
            key = RecoveryKey(person, channel, session, journey_id, entered)
            version = FIRST + next_offset
            if version >= self.rows.get(key, (-1, None))[0]:
                self.rows[key] = version, RecoveryValue(funnel, ended, value, *rest)
        return []

    def run(self, crashes: float) -> None:
        """Until every stage has read its log. Within it any stage may go on, be cut, or crash, at any time."""
        while True:
            ready = [stage for stage in self.stages.values() if stage.at < len(stage.log)]
            if not ready:
                return
            stage = self._chance.choice(ready)
            until = min(len(stage.log), stage.at + self._chance.choice([1, 1, 2, 3, 10, 1000]))
            for output in stage.go_on(until):
                for message in output.messages:
                    self.stages[output.topic, message.partition].log.append(msgspec.json.encode(message.body))
            if self._chance.random() < 0.2:
                stage.cut()
            if self._chance.random() < crashes:
                stage.crash()

    def table(self) -> dict[RecoveryKey, RecoveryValue]:
        return {key: row for key, (_, row) in self.rows.items() if row.status != "retracted"}


KINDS = ["product_added", "product_added", "checkout_started", "basket_opened", "page_viewed"]
BUYS = ["order_completed", "sale_completed", "order_completed", "order_cancelled"]
CUSTOMERS = [None, None, "anna", "ben"]
VISITORS = [None, "phone", "desk", "phone"]


def drawn(chance: random.Random, sessions: int) -> dict[Source, list[Record]]:
    """Sessions of few customers and visitors over three weeks; events up to 50 minutes out of order."""
    found: dict[Source, list[tuple[int, bytes | int]]] = {source: [] for source in SOURCES}
    span = chance.choice([3 * HOUR, 3 * DAY, 12 * DAY, 21 * DAY])
    for number in range(sessions):
        source = chance.choice(SOURCES)
        at_ms, channel = chance.randrange(span), source[0].removeprefix(TOPIC_PREFIX)
        customer, visitor = chance.choice(CUSTOMERS), chance.choice(VISITORS)
        for place in range(chance.randrange(1, 6)):
            at_ms += chance.choice([0, 1, 5_000, 10 * MINUTE, 29 * MINUTE, 31 * MINUTE, 45 * MINUTE])
            if chance.random() < 0.3:
                customer = chance.choice(CUSTOMERS)
            event = event_json(
                at_ms,
                event_id=f"e{number % 7}-{place}",
                type=chance.choice(KINDS + BUYS),
                session_id=f"s-{number}",
                channel=channel,
                store_id="1" if channel == "pos" else None,
                customer_id=customer if chance.random() < 0.6 else None,
                visitor_id=visitor if chance.random() < 0.7 else None,
                order_id=chance.choice([None, None, "o-1", "o-2"]),
                value=chance.choice([None, 10, 25.5, 0.0001]),
                currency=chance.choice([None, None, "USD"]),
            )
            found[source].append((at_ms + chance.randrange(-50 * MINUTE, 1) * (chance.random() < 0.4), event))
    # In two steps, so that no partition's clock leaps over what another one still has to say.
    ends = [*range(0, 3 * span, 6 * HOUR), span + 9 * DAY]
    logs = {}
    for source, events in found.items():
        both: list[tuple[int, bytes | int]] = [*events, *((end, end) for end in ends)]
        logs[source] = log_of([value for _, value in sorted(both, key=lambda pair: pair[0])])
    return logs


@pytest.mark.parametrize("rules", [RULES, replace(RULES, most_later=3)], ids=["as it is", "short sessions"])
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 12))
def test_any_order_cut_and_crash_gives_the_naive_recoveries(rules: Rules, seed: int, sessions: int) -> None:
    chance = random.Random(seed)
    logs = drawn(chance, sessions)
    naive = replace(NAIVE, most_later=rules.most_later)
    expected = compute(naive_logs(logs), naive).recoveries
    chain = Chain(logs, seed, rules)
    chain.run(crashes=chance.choice([0, 0.1, 0.3]))
    assert chain.table() == expected
