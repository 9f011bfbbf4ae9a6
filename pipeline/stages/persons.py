"""Persons as stages: facts of visitors in, facts of persons out; facts of persons in, recoveries out."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from pipeline.core.persons.persons import Persons
from pipeline.durability.checkpointer import Checkpointer
from pipeline.kafka.reader import RecordBatch
from pipeline.logs import Notes
from pipeline.metrics import Metrics
from pipeline.model.facts import MOST_FACTS
from pipeline.model.records import Record
from pipeline.outputs.facts import FactsRouter
from pipeline.outputs.recoveries import recoveries_output
from pipeline.stages.inner import Inner
from pipeline.stages.lease import Leases, PartitionLease, RevokedError, VisitorsLease, lease_of
from pipeline.stages.outbox import Outbox
from schemas.facts import FACTS_TOPIC, FactsRead, VisitsRead

#: Others get their turn after so many.
_RECORDS_AT_A_TIME: Final = 25


class VisitorsStage:
    """Finds the persons behind visitors, for the partitions of ``cx.visits`` that this worker has."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        partitions_of: Callable[[str], int],
    ) -> None:
        """``partitions_of``: how many a topic has; blocks."""
        self._leases = leases
        self._outbox = outbox
        self._metrics = metrics
        self._checkpointer = checkpointer
        self._partitions_of = partitions_of
        self._router: FactsRouter | None = None
        self._inner = Inner(VisitsRead, metrics, time.time)
        self._watch = _Crowds(metrics, "visitor_id")

    async def process(self, batch: RecordBatch) -> None:
        """Take a batch. One whose partition is taken away meanwhile is left to the next owner."""
        with contextlib.suppress(RevokedError):
            await self._process(lease_of(self._leases.visitors, batch.source, batch.epoch), batch)

    async def _process(self, lease: VisitorsLease, batch: RecordBatch) -> None:
        if self._router is None:
            partitions = await asyncio.to_thread(self._partitions_of, FACTS_TOPIC)
            self._router = FactsRouter(FACTS_TOPIC, partitions)
        for records in _pieces(batch):
            started = time.perf_counter()
            lease.check()
            lease.cut_at, visitors = None, lease.state
            for record in records:
                message = self._inner.read(batch.source, record)
                if message is not None:
                    at = message.source, message.version, message.watermark, message.more
                    visitors.take(*at, message.statements, message.observations)
                    if message.statements or message.observations:
                        lease.changed_at = time.monotonic()
            statements, next_offset = visitors.settle(), records[-1].offset + 1
            at_end, passed_ms = visitors.kept.sources.first_version + next_offset, visitors.passed_ms
            receipt, is_sure = self._outbox.receipt(), passed_ms is not None
            output = self._router.output(lease.name, at_end, passed_ms, lease.told, statements, is_sure=is_sure)
            await self._outbox.put(receipt, output)
            lease.finish(next_offset, receipt)
            self._metrics.batch_seconds.labels("visitors").observe(time.perf_counter() - started)
            await asyncio.sleep(0)
        lease.check()
        lease.cut_at = batch.next_offset
        if batch.next_offset >= lease.log_end:
            lease.state.end_catching_up()
        self._checkpointer.consider(lease)
        self._metrics.visitors.labels(lease.name).set(len(lease.state))
        self._watch.note(lease.name, lease.state.shortened)


class PersonsStage:
    """Says what has become of journeys, for the partitions of ``cx.facts`` that this worker has."""

    def __init__(
        self, leases: Leases, outbox: Outbox, metrics: Metrics, checkpointer: Checkpointer, first_version: int
    ) -> None:
        self._leases = leases
        self._outbox = outbox
        self._metrics = metrics
        self._checkpointer = checkpointer
        self._first_version = first_version
        self._inner = Inner(FactsRead, metrics, time.time)
        self._watch = _Crowds(metrics, "customer_id")

    async def process(self, batch: RecordBatch) -> None:
        """Take a batch. One whose partition is taken away meanwhile is left to the next owner."""
        with contextlib.suppress(RevokedError):
            await self._process(lease_of(self._leases.persons, batch.source, batch.epoch), batch)

    async def _process(self, lease: PartitionLease[Persons], batch: RecordBatch) -> None:
        for records in _pieces(batch):
            started = time.perf_counter()
            lease.check()
            lease.cut_at, persons = None, lease.state
            for record in records:
                message = self._inner.read(batch.source, record)
                if message is not None:
                    at = message.source, message.version, message.watermark, message.more
                    persons.take(*at, message.statements)
                    if message.statements:
                        lease.changed_at = time.monotonic()
            rows, next_offset = persons.settle(), records[-1].offset + 1
            receipt = self._outbox.receipt()
            if rows:
                for row in rows:
                    self._metrics.recoveries.labels(row.recovery.status).inc()
                await self._outbox.put(receipt, recoveries_output(rows, self._first_version + next_offset))
            lease.finish(next_offset, receipt)
            self._metrics.batch_seconds.labels("persons").observe(time.perf_counter() - started)
            await asyncio.sleep(0)
        lease.check()
        lease.cut_at = batch.next_offset
        if batch.next_offset >= lease.log_end:
            lease.state.end_catching_up()
        self._checkpointer.consider(lease)
        self._metrics.persons.labels(lease.name).set(len(lease.state))
        self._watch.note(lease.name, lease.state.shortened)


class _Crowds:
    """Tells where one id stands for many."""

    def __init__(self, metrics: Metrics, what: str) -> None:
        self._metrics = metrics
        self._what = what
        self._notes = Notes()
        self._told: dict[str, int] = {}

    def note(self, source: str, shortened: int) -> None:
        """``shortened``: how many facts its state has let go by now."""
        more = shortened - self._told.get(source, 0)
        self._told[source] = shortened
        if more > 0:
            self._metrics.facts_let_go.labels(self._what).inc(more)
            self._notes.warn(
                f"{source} {self._what}",
                f"{source}: a {self._what} has over {MOST_FACTS} facts in two weeks, so its oldest are let go: "
                "one id for all guests, or a device in a shop? Its recoveries mean little",
            )


def _pieces(batch: RecordBatch) -> Iterator[list[Record]]:
    records = list(batch.records)
    for start in range(0, len(records), _RECORDS_AT_A_TIME):
        yield records[start : start + _RECORDS_AT_A_TIME]
