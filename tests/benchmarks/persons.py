"""What persons cost: CPU an event by part, bytes a kept fact, and how much is told for each person that changes.

``python -m tests.benchmarks.persons``. Phase one is run over the same events without anybody's name too; the whole
job is ``tests.benchmarks.run``.
"""

import argparse
import re
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from pipeline.cli.worker import quiet_collector
from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.engine import IS_COMPILED
from pipeline.core.sessions.partition import Partition
from pipeline.model.records import Record
from pipeline.model.segments import Segmenter
from pipeline.outputs.facts import FactsRouter, Told
from pipeline.outputs.outgoing import Output
from pipeline.outputs.recoveries import recoveries_output
from pipeline.settings import load, rules
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC, FactsRead, VisitsRead
from schemas.partitions import partition_of
from tests.benchmarks.backlog import simulated

_PARTITIONS: Final = 4
_BATCH: Final = 5_000
_UNTIL_MS: Final = 1_772_449_200_000
_PHASE_ONE: Final = "phase one"
_NAMELESS: Final = "phase one, nobody named"
_NAMES: Final = re.compile(rb'"(customer|visitor|order)_id":"[^"]*",?')
_encode = msgspec.json.Encoder().encode


class Parts:
    """CPU by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] += time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=600_000)
    options = parser.parse_args()
    if not IS_COMPILED:
        raise SystemExit("nothing is compiled here: python -m deploy.compile")
    quiet_collector()
    Bench(options.events).run()


class Bench:
    """All stages that persons are made by, one after the other."""

    def __init__(self, events: int) -> None:
        self._deciding, self._parts, self._count = rules(load({})), Parts(), events
        self._routers = {topic: FactsRouter(topic, _PARTITIONS) for topic in (VISITS_TOPIC, FACTS_TOPIC)}
        self._logs: dict[tuple[str, int], list[bytes]] = defaultdict(list)

    def run(self) -> None:
        self._sessions(self._records())
        self._visitors()
        self._persons()
        events = self._count
        for name, seconds in self._parts.seconds.items():
            print(f"{name:<24} {seconds / events * 1e6:6.3f} us an event")
        total = sum(self._parts.seconds.values()) - 2 * self._parts.seconds[_NAMELESS]
        print(f"{'persons in all':<24} {total / events * 1e6:6.3f} us an event")

    def _records(self) -> dict[tuple[str, int], list[Record]]:
        logs: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for event in simulated(self._count, until_ms=_UNTIL_MS):
            source = f"touchpoints.{event.channel}", partition_of(event.session_id, _PARTITIONS)
            logs[source].append(Record(len(logs[source]), event.at_ms, event.payload))
        return logs

    def _sessions(self, logs: dict[tuple[str, int], list[Record]]) -> None:
        for source, log in logs.items():
            partition = Partition(source[0].removeprefix("touchpoints."), self._deciding)
            partition.end_catching_up()
            nameless = Partition(partition.channel, self._deciding)
            nameless.end_catching_up()
            told: dict[str, Told] = {VISITS_TOPIC: {}, FACTS_TOPIC: {}}
            for start in range(0, len(log), _BATCH):
                batch = log[start : start + _BATCH]
                without = [record._replace(value=_NAMES.sub(b"", record.value or b"")) for record in batch]
                with self._parts.part(_PHASE_ONE):
                    out = partition.process(batch, _UNTIL_MS + 10**9)
                with self._parts.part(_NAMELESS):
                    nameless.process(without, _UNTIL_MS + 10**9)
                at = f"{source[0]}:{source[1]}", out.version, out.watermark_ms
                with self._parts.part("messages of facts"):
                    visits = self._routers[VISITS_TOPIC].output(
                        *at, told[VISITS_TOPIC], out.visits, out.observations
                    )
                    self._send(visits)
                    self._send(self._routers[FACTS_TOPIC].output(*at, told[FACTS_TOPIC], out.facts))

    def _send(self, output: Output) -> None:
        for message in output.messages:
            self._logs[output.topic, message.partition].append(_encode(message.body))

    def _visitors(self) -> None:
        count = 0
        for number in range(_PARTITIONS):
            visitors, told = Visitors(self._deciding.first_version, 3 * _PARTITIONS, 3_600_000), Told()
            visitors.end_catching_up()
            for offset, text in enumerate(self._logs[VISITS_TOPIC, number]):
                with self._parts.part("visitors"):
                    m = msgspec.json.decode(text, type=VisitsRead)
                    count += len(m.statements)
                    visitors.take(m.source, m.version, m.watermark, m.more, m.statements, m.observations)
                    statements = visitors.settle()
                    passed_ms = visitors.passed_ms
                    at = f"{VISITS_TOPIC}:{number}", self._deciding.first_version + offset + 1, passed_ms
                    router = self._routers[FACTS_TOPIC]
                    self._send(router.output(*at, told, statements, is_sure=passed_ms is not None))
        print(f"{count:,} statements about visitors")

    def _persons(self) -> None:
        statements = rows = tiles = facts = size = 0
        for number in range(_PARTITIONS):
            persons = Persons(self._deciding.first_version, 4 * _PARTITIONS, 3_600_000, self._deciding.segmenter)
            persons.end_catching_up()
            for offset, text in enumerate(self._logs[FACTS_TOPIC, number]):
                with self._parts.part("persons"):
                    m = msgspec.json.decode(text, type=FactsRead)
                    statements += len(m.statements)
                    persons.take(m.source, m.version, m.watermark, m.more, m.statements)
                    told = persons.settle()
                with self._parts.part("tiles of persons"):
                    self._deciding.segmenter.values.admit(persons.undecided())
                    persons.fold()
                    tiles += len(persons.take_tiles() or ())
                with self._parts.part("recoveries told"):
                    rows += len(told)
                    for message in recoveries_output(told, offset).messages if told else ():
                        _encode(message.body)
            found, held = memory_of(persons, self._deciding.segmenter)
            facts, size = facts + held, size + found
        print(f"{statements:,} statements about persons, {rows:,} rows and {tiles:,} tiles told")
        print(f"{facts:,} facts kept, {size / max(1, facts):.0f} bytes each")


def memory_of(persons: Persons, segmenter: Segmenter) -> tuple[int, int]:
    """Bytes that its book takes when made anew, and how many facts are in it."""
    cut = persons.snapshot()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    again = Persons(0, 1, 3_600_000, segmenter)
    again.restore({"numbers": {}, **dict(cut.head)}, dict(cut.changed))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before, again.facts()


if __name__ == "__main__":
    main()
