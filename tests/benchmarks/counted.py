"""The work of a worker on events in memory, to have its instructions counted: no broker, no engine, no clock.

    python -m tests.benchmarks.counted whole events.pickle 20000

``floor``: decoding alone. ``whole``: both stages as they run in a worker, from records to messages and rows; what
is outside this project's Python (fetching, sending, the sockets) is left out of both. ``nothing``: the records are
made, as for the other two. Settings are those of the environment: CX_MOMENTS__RULES=none tells what rules cost.
"""

import asyncio
import pickle
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.core.sessions.engine import by_column
from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.kafka.memory import MemoryProducer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.settings import load, rules
from pipeline.stages.floods import FloodWatch
from pipeline.stages.journeys import JourneysStage
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from pipeline.stages.persons import PersonsStage, VisitorsStage
from pipeline.stages.signals import SignalsStage
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC
from sinks.base import Columns
from sinks.buffer import Limits, SinkBuffer
from sinks.tables import COLUMNS, JOURNEYS, SIGNALS, TILES
from tests.benchmarks.rivals.floor import Touchpoint
from tests.support import ALERT_RULES

Logs = Mapping[Source, Sequence[Record]]
_BATCH = 1_000
_NOW_S = 4e9  # after all events: tiles of times to come would be passed over
_PARTITIONS = 4


class Nowhere:
    """A sink that takes every row."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()

    def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
        assert len(names) == len(columns), table
        self.rows[table] += len(columns[0])

    def close(self) -> None:
        return None


class Worker:
    """All stages but detection, with all partitions."""

    def __init__(self, sources: Sequence[Source]) -> None:
        store, metrics, shop = MemoryCheckpoints(), Metrics(), rules(load())
        self._leases = Leases(Recovery(store, shop, "d", ALERT_RULES))
        self._epochs = {source: self._leases.acquire(source)[1] for source in sources}
        topics = (TILES_TOPIC, VISITS_TOPIC, FACTS_TOPIC)
        self._inner = [(topic, number) for topic in topics for number in range(_PARTITIONS)]
        self._epochs |= {source: self._leases.acquire(source)[1] for source in self._inner}
        self._producer, self._offsets = MemoryProducer(), dict.fromkeys(self._inner, 0)
        self.sink = Nowhere()
        self.buffer = SinkBuffer(self.sink, COLUMNS, Limits(10_000, 0.5, 1 << 30))
        outbox = Outbox(self._producer, self.buffer)
        checkpointer = Checkpointer(self._leases, store, metrics, 1, "d")
        watch = FloodWatch(metrics, 0.5, lambda: 0.0)
        self._journeys = JourneysStage(
            self._leases, outbox, metrics, lambda topic: _PARTITIONS, checkpointer, watch
        )
        self._signals = SignalsStage(self._leases, outbox, metrics, checkpointer, lambda: 0.0, lambda: _NOW_S)
        self._visitors = VisitorsStage(self._leases, outbox, metrics, checkpointer, lambda topic: _PARTITIONS)
        self._persons = PersonsStage(self._leases, outbox, metrics, checkpointer, lambda topic: _PARTITIONS)

    def persons(self) -> int:
        """How many there are."""
        return sum(len(lease.state) for lease in self._leases.persons.values())

    async def take(self, source: Source, records: Sequence[Record]) -> None:
        epoch = self._epochs[source]
        await self._journeys.process(RecordBatch(source, epoch, records[-1].timestamp_ms, records))

    async def put_out(self) -> None:
        """Read what the stages have been told, and put out what follows."""
        stages: dict[str, SignalsStage | VisitorsStage | PersonsStage]
        stages = {VISITS_TOPIC: self._visitors, FACTS_TOPIC: self._persons, TILES_TOPIC: self._signals}
        for topic, stage in stages.items():
            sent = [one for one in self._producer.produced if one.topic == topic]
            for source in (one for one in self._inner if one[0] == topic):
                values = [one.value for one in sent if one.partition == source[1]]
                records = [Record(at, 0, value, None) for at, value in enumerate(values, self._offsets[source])]
                self._offsets[source] += len(records)
                if records:
                    await stage.process(RecordBatch(source, self._epochs[source], 0, records))
        self._producer.produced.clear()
        await self._signals.emit(force=True)


async def whole(logs: Logs) -> None:
    worker = Worker(list(logs))
    logs = {source: by_column(log) for source, log in logs.items()}
    writing = asyncio.create_task(worker.buffer.run())
    for start in range(0, max(map(len, logs.values())), _BATCH):
        for source, log in logs.items():
            if batch := log[start : start + _BATCH]:
                await worker.take(source, batch)
        await worker.put_out()
    worker.buffer.close()
    await writing
    # What is left out of the count would be counted as nothing.
    assert min(worker.sink.rows[table] for table in (SIGNALS, JOURNEYS, TILES)) > 0, worker.sink.rows
    assert worker.persons() > 0


def floor(logs: Logs) -> None:
    decode = msgspec.json.Decoder(Touchpoint).decode
    for log in logs.values():
        for record in log:
            decode(record.value or b"")


def main(job: str, path: str, count: int) -> None:
    logs: dict[Source, list[Record]] = {}
    for topic, partition, at_ms, payload in pickle.loads(Path(path).read_bytes())[:count]:
        log = logs.setdefault((topic, partition), [])
        log.append(Record(len(log), at_ms, payload, None))
    if not logs:
        return
    if job == "floor":
        floor(logs)
    elif job == "whole":
        asyncio.run(whole(logs))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
