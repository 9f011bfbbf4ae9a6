"""All stages that persons are made by, in memory: each reads its log, may be cut, and may crash."""

import copy
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.source import Source
from pipeline.outputs.facts import FactsRouter, Told
from pipeline.outputs.moments import moment_row
from pipeline.outputs.outgoing import Output
from pipeline.outputs.recoveries import recovery_row
from pipeline.outputs.tiles import TileRouter
from pipeline.settings import load, rules
from pipeline.stages.inner import TilesRead
from pipeline.tools.verify.naive_returns import is_of_persons
from pipeline.tools.verify.naive_types import (
    MomentKey,
    MomentValue,
    PurchaseKey,
    RecoveryKey,
    RecoveryValue,
    SignalValue,
)
from pipeline.tools.verify.rules import naive_rules
from schemas.events import TOPIC_PREFIX
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC, FactsRead, VisitsRead
from schemas.moments import FIRED
from schemas.tiles import TILES_TOPIC
from tests.support import FETCHED_MS, RULES, START_MS, Store, lay

FIRST = RULES.first_version
_SMALL = load({"CX_SEGMENTS__COMBINATIONS": '[[], ["channel", "device"]]'})
FEW_RULES, FEW_NAIVE = rules(_SMALL), naive_rules(_SMALL)
"""Of a shop with few segments: of each all is computed anew, so drawn shops take a third of the time."""
SAID = [None, None, None, None, True, False]
"""What events say of consent, where any does."""
_KEPT_MS = 10 * 86_400_000
_TILES: Source = (TILES_TOPIC, 0)


@dataclass
class Stage:
    """One partition of a stage: the log that it reads, its state, and the newest checkpoint of that."""

    source: Source
    make: Callable[[], Any]
    step: Callable[[Any, Sequence[Any], int, dict[str, Told]], list[Output]]
    log: list[Any] = field(default_factory=list)
    at: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    head: Any = None
    kept_at: int = 0
    state: Any = None
    log_end: int = 0
    """How far one that has crashed may have come."""
    told: dict[str, Told] = field(default_factory=lambda: defaultdict(dict))
    """By topic, what this run has told."""

    def __post_init__(self) -> None:
        self.state = self.make()

    def cut(self) -> None:
        if isinstance(self.state, Windows) and self.state.is_mid_batch:
            return  # what is merged and not put out would be lost, so a worker makes none either
        self.head, self.kept_at = lay(self.kept, self.state.snapshot()), self.at

    def go_on(self, until: int) -> list[Output]:
        if self.at < self.log_end <= until:
            self.told.clear()  # who has heard the one that has crashed waits for this one to say as much
        made = self.step(self.state, self.log[self.at : until], until, self.told)
        self.at = until
        if until >= self.log_end:
            self.state.end_catching_up()
        return made

    def crash(self) -> None:
        self.log_end = max(self.log_end, self.at)
        self.state, self.at = self.make(), self.kept_at
        self.told.clear()
        if self.head is not None:
            # What is read back is made anew each time: the state goes on with it.
            self.state.restore(copy.deepcopy(self.head), copy.deepcopy(self.kept))


class Chain:
    """All stages that persons are made by, and the table that they write."""

    def __init__(self, logs: Mapping[Source, Sequence[Record]], seed: int, rules: Rules) -> None:
        self._chance, self._rules = random.Random(seed), rules
        self.rows: dict[RecoveryKey, tuple[int, RecoveryValue]] = {}
        self._moments: dict[MomentKey, tuple[int, MomentValue | None]] = {}
        self._purchases: dict[PurchaseKey, tuple[int, float | None]] = {}
        partitions = self._chance.choice([1, 2])
        self._routers = {topic: FactsRouter(topic, partitions) for topic in (VISITS_TOPIC, FACTS_TOPIC)}
        self._signals = Store()
        self._furthest_ms = 0
        """How far the touchpoints have ever been read: a stage that crashes falls back, what it told does not."""
        self.stages: dict[Source, Stage] = {}
        for source in logs:
            is_compiled = self._chance.random() < 0.5
            made = self._partition_maker(source, is_compiled)
            self.stages[source] = Stage(source, made, self._sessions(source), list(logs[source]))
        sources, lateness = len(logs), rules.longest_lateness_ms
        for number in range(partitions):
            visits, facts = (VISITS_TOPIC, number), (FACTS_TOPIC, number)
            self.stages[visits] = Stage(visits, lambda: Visitors(FIRST, sources, lateness), self._visitors(visits))
            self.stages[facts] = Stage(
                facts,
                lambda: Persons(FIRST, sources + partitions, lateness, rules.segmenter, rules.moments),
                self._persons(facts),
            )
        self.stages[_TILES] = Stage(_TILES, lambda: self._new_windows(sources, partitions), self._windows)

    def _new_windows(self, sources: int, persons: int) -> Windows:
        rules = self._rules
        which = rules.funnels, rules.longest_lateness_ms, rules.generation
        found = Windows(*which, sources, persons, rules.about_persons)
        found.begin_catching_up()
        return found

    def _partition_maker(self, source: Source, is_compiled: bool) -> Callable[[], Partition]:
        channel = source[0].removeprefix(TOPIC_PREFIX)
        return lambda: Partition(channel, self._rules, is_compiled=is_compiled)

    def _sessions(self, source: Source) -> Callable[[Any, Sequence[Record], int, Any], list[Output]]:
        def step(state: Partition, records: Sequence[Record], _: int, told: dict[str, Told]) -> list[Output]:
            out = state.process(records, FETCHED_MS)
            self._furthest_ms = max(self._furthest_ms, state.latest_ms or 0)
            at = f"{source[0]}:{source[1]}", out.version, out.watermark_ms
            return [
                self._routers[VISITS_TOPIC].output(*at, told[VISITS_TOPIC], out.visits, out.observations),
                self._routers[FACTS_TOPIC].output(*at, told[FACTS_TOPIC], out.facts),
                TileRouter(1).output(*at, out.tiles, told[TILES_TOPIC]),
            ]

        return step

    def _visitors(self, source: Source) -> Callable[[Any, Sequence[bytes], int, Any], list[Output]]:
        def step(
            state: Visitors, messages: Sequence[bytes], next_offset: int, told: dict[str, Told]
        ) -> list[Output]:
            for message in messages:
                m = msgspec.json.decode(message, type=VisitsRead)
                state.take(m.source, m.version, m.watermark, m.more, m.statements, m.observations)
            statements = state.settle()
            at = f"{source[0]}:{source[1]}", FIRST + next_offset, state.passed_ms
            router = self._routers[FACTS_TOPIC]
            return [router.output(*at, told[FACTS_TOPIC], statements, is_sure=state.is_sure)]

        return step

    def _persons(self, source: Source) -> Callable[[Any, Sequence[bytes], int, Any], list[Output]]:
        def step(
            state: Persons, messages: Sequence[bytes], next_offset: int, told: dict[str, Told]
        ) -> list[Output]:
            for message in messages:
                m = msgspec.json.decode(message, type=FactsRead)
                state.take(m.source, m.version, m.watermark, m.more, m.statements)
            version = FIRST + next_offset
            for row in state.settle():
                person, funnel, channel, session, journey_id, entered, ended, value, *rest = recovery_row(row, 0)[
                    :-1
                ]
                key = RecoveryKey(person, channel, session, journey_id, entered)
                if version >= self.rows.get(key, (-1, None))[0]:
                    self.rows[key] = version, RecoveryValue(funnel, ended, value, *rest)
            self._note_moments(state, version)
            self._note_purchases(state, version)
            state.segmenter.values.admit(state.undecided())
            state.fold()
            tiles = state.take_tiles(is_due=self._chance.random() < 0.2)
            if tiles is None:
                if told[TILES_TOPIC] or state.passed_ms is None:
                    return []
                tiles = []
            at = f"{source[0]}:{source[1]}", version, state.passed_ms
            return [TileRouter(1).output(*at, tiles, told[TILES_TOPIC])]

        return step

    def _note_moments(self, state: Persons, version: int) -> None:
        for moment in state.take_moments():
            moment_id, rule, person, channel, session, at_ms, status, events, *_ = moment_row(moment, version)
            key, row = MomentKey(moment_id, channel, session, at_ms), MomentValue(rule, person, tuple(events))
            if version >= self._moments.get(key, (-1, None))[0]:
                self._moments[key] = version, row if status == FIRED else None

    def purchases(self) -> dict[PurchaseKey, float]:
        """Those that count."""
        return {key: value for key, (_, value) in self._purchases.items() if value is not None}

    def _note_purchases(self, state: Persons, version: int) -> None:
        for person, fact, counts in state.take_purchases():
            key = PurchaseKey(person, fact.channel, fact.session_id, fact.event_id, fact.at_ms)
            if version >= self._purchases.get(key, (-1, None))[0]:
                self._purchases[key] = version, fact.value if counts else None

    def moments(self) -> dict[MomentKey, MomentValue]:
        """Those that have fired."""
        return {key: row for key, (_, row) in self._moments.items() if row is not None}

    def _windows(self, state: Windows, messages: Sequence[bytes], _: int, told: dict[str, Told]) -> list[Output]:
        for message in messages:
            m = msgspec.json.decode(message, type=TilesRead)
            state.merge(m.source, m.version, m.watermark, m.tiles, m.more)
            if self._chance.random() < 0.1 and not state.is_mid_batch:
                due = None if self._chance.random() < 0.7 else state.sources.newest_ms
                self._signals.take_signals(
                    state, None, is_correcting=self._chance.random() < 0.3, persons_due_ms=due
                )
        if not state.is_mid_batch:
            self._signals.take_signals(state)
        return []

    def run(self, crashes: float, cuts: float = 0.2) -> None:
        """Until every stage has read its log. Within it any stage may go on, be cut, or crash, at any time."""
        while True:
            ready = [stage for stage in self.stages.values() if stage.at < len(stage.log)]
            if not ready:
                if not self._tell_the_rest():
                    self._signals.take_signals(self.stages[_TILES].state)  # it waits for none for ever
                    return
                continue
            if self._chance.random() < 0.05:
                self._announce()
            stage = self._chance.choice(ready)
            until = min(len(stage.log), stage.at + self._chance.choice([1, 1, 2, 3, 10, 1000]))
            self._send(stage.go_on(until))
            if self._chance.random() < cuts:
                stage.cut()
            if self._chance.random() < crashes:
                stage.crash()

    def _send(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            for message in output.messages:
                self.stages[output.topic, message.partition].log.append(msgspec.json.encode(message.body))

    def _announce(self) -> None:
        """Partitions of which nothing was read are taken for empty; they may begin with something old."""
        if self._furthest_ms > START_MS + _KEPT_MS:
            return
        for source, stage in self.stages.items():
            if source[0].startswith(TOPIC_PREFIX) and stage.state.latest_ms is None:
                at = f"{source[0]}:{source[1]}", FIRST, None
                self._send([router.output(*at, {}, []) for router in self._routers.values()])
                self._send([TileRouter(1).output(*at, [], {})])

    def _tell_the_rest(self) -> bool:
        """What waits for a step of time that does not come."""
        any_told = False
        for source, stage in self.stages.items():
            if source[0] == FACTS_TOPIC and (tiles := stage.state.take_tiles(is_due=True)):
                at = f"{source[0]}:{source[1]}", FIRST + stage.at, stage.state.passed_ms
                for message in TileRouter(1).output(*at, tiles, {}).messages:
                    self.stages[_TILES].log.append(msgspec.json.encode(message.body))
                any_told = True
        return any_told

    def signals(self) -> dict[tuple[str, str, str, int], SignalValue]:
        """Those of persons."""
        return {key: row for key, row in self._signals.tables().signals.items() if is_of_persons(key[0])}

    def table(self) -> dict[RecoveryKey, RecoveryValue]:
        return {key: row for key, (_, row) in self.rows.items() if row.status != "retracted"}
