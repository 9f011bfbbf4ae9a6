"""Persons as stages: facts of visitors in, facts of persons out; facts of persons in, recoveries and tiles out."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.durability import checkpointed
from pipeline.durability.checkpointer import Checkpointer
from pipeline.kafka.reader import RecordBatch
from pipeline.logs import Notes
from pipeline.metrics import Metrics
from pipeline.model.event_time import Clock
from pipeline.model.facts import MOST_FACTS
from pipeline.model.holdout import Holdout
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.outputs.facts import FactsRouter
from pipeline.outputs.moments import NOBODY_HELD, moments_output
from pipeline.outputs.purchases import purchase_columns
from pipeline.outputs.recoveries import recoveries_output
from pipeline.outputs.tiles import TileRouter
from pipeline.stages.admission import Admission, Decisions
from pipeline.stages.inner import Inner
from pipeline.stages.lease import Leases, RevokedError, TellingLease, lease_of
from pipeline.stages.outbox import Outbox, Receipt
from schemas.facts import FACTS_TOPIC, FactsRead, VisitsRead
from schemas.moments import FIRED, WITHDRAWN
from schemas.tiles import TILES_TOPIC
from sinks.tables import PURCHASES

#: Others get their turn after so many.
_RECORDS_AT_A_TIME: Final = 25
#: What corrects rows that have been put out waits so long at most.
_TOLD_AFTER_S: Final = 10.0
PartitionsOf = Callable[[str], int]
"""How many partitions a topic has; blocks."""


class _State(checkpointed.State, Protocol):
    def __len__(self) -> int: ...
    @property
    def shortened(self) -> int: ...
    def end_catching_up(self) -> None: ...


State = TypeVar("State", bound=_State)


class _Stage(ABC, Generic[State]):
    """Takes batches piece by piece: each is settled, and what it leads to put out."""

    def __init__(
        self,
        name: str,
        who: str,
        leases: Mapping[Source, TellingLease[State]],
        erase: Callable[[TellingLease[State]], None],
        inner: Inner[Any],
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        partitions_of: PartitionsOf,
    ) -> None:
        """``who``: the field of events by which its people are told apart. ``leases``: of its partitions.

        ``erase``: has a state let go who was erased since.
        """
        self._name: Final = name
        self._leases: Final = leases
        self._erase: Final = erase
        self._partitions_of: Final = partitions_of
        self._who: Final = who
        self._inner = inner
        self._outbox = outbox
        self._metrics = metrics
        self._checkpointer = checkpointer
        # What is told between batches is told between them.
        self._turn = asyncio.Lock()
        self._notes = Notes()
        self._let_go: dict[str, int] = {}

    async def process(self, batch: RecordBatch) -> None:
        """Take a batch. One whose partition is taken away meanwhile is left to the next owner."""
        with contextlib.suppress(RevokedError):
            async with self._turn:
                await self._process(lease_of(self._leases, batch.source, batch.epoch), batch)

    async def _process(self, lease: TellingLease[State], batch: RecordBatch) -> None:
        lease.check()
        lease.cut_at = None
        self._erase(lease)
        for records in _pieces(batch):
            started = time.perf_counter()
            lease.check()
            lease.cut_at = None
            for record in records:
                message = self._inner.read(batch.source, record)
                if message is not None and self._take(lease.state, message):
                    lease.changed_at = time.monotonic()
            receipt, next_offset = self._outbox.receipt(), records[-1].offset + 1
            if lease.catches_up(next_offset):
                lease.told.clear()
            await self._put_out(lease, next_offset, receipt)
            lease.finish(next_offset, receipt)
            self._metrics.batch_seconds.labels(self._name).observe(time.perf_counter() - started)
            await asyncio.sleep(0)
        lease.check()
        lease.cut_at = batch.next_offset
        if batch.next_offset >= lease.log_end:
            lease.state.end_catching_up()
        self._checkpointer.consider(lease)
        self._measure(lease.name, lease.state)

    @abstractmethod
    def _take(self, state: State, message: Any) -> bool:
        """Take a message; whether it says more than how far time has come."""

    @abstractmethod
    async def _put_out(self, lease: TellingLease[State], next_offset: int, receipt: Receipt) -> None:
        """Settle what was taken, and put out what it leads to. Raises RevokedError."""

    def _measure(self, source: str, state: State) -> None:
        """Tell where one id stands for many."""
        more = state.shortened - self._let_go.get(source, 0)
        self._let_go[source] = state.shortened
        if more > 0:
            self._metrics.facts_let_go.labels(self._who).inc(more)
            self._notes.warn(
                source,
                f"{source}: a {self._who} has over {MOST_FACTS} facts in two weeks, so its oldest are let go: "
                "one id for all guests, or a device in a shop? Its recoveries mean little",
            )


class VisitorsStage(_Stage[Visitors]):
    """Finds the persons behind visitors, for the partitions of ``cx.visits`` that this worker has."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        partitions_of: PartitionsOf,
    ) -> None:
        inner = Inner(VisitsRead, metrics, time.time)
        rest = inner, outbox, metrics, checkpointer, partitions_of
        super().__init__("visitors", "visitor_id", leases.visitors, leases.erase, *rest)
        self._router: FactsRouter | None = None

    def _take(self, state: Visitors, message: VisitsRead) -> bool:
        at = message.source, message.version, message.watermark, message.more
        state.take(*at, message.statements, message.observations)
        return bool(message.statements or message.observations)

    async def _put_out(self, lease: TellingLease[Visitors], next_offset: int, receipt: Receipt) -> None:
        if self._router is None:
            self._router = FactsRouter(FACTS_TOPIC, await asyncio.to_thread(self._partitions_of, FACTS_TOPIC))
        visitors = lease.state
        statements = visitors.settle()
        at = lease.name, visitors.kept.sources.first_version + next_offset, visitors.passed_ms
        output = self._router.output(*at, lease.told, statements, is_sure=visitors.is_sure)
        await self._outbox.put(receipt, output)

    def _measure(self, source: str, state: Visitors) -> None:
        super()._measure(source, state)
        self._metrics.visitors.labels(source).set(len(state))


class PersonsStage(_Stage[Persons]):
    """Says what has become of journeys, for the partitions of ``cx.facts`` that this worker has."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        partitions_of: PartitionsOf,
        admission: Admission | None = None,
        holdout: Holdout = NOBODY_HELD,
        clock: Clock = time.monotonic,
    ) -> None:
        """``admission``: decides which values are told apart; None: this worker alone does.

        ``holdout``: of whom moments are recorded and not told.
        """
        inner = Inner(FactsRead, metrics, time.time)
        rest = inner, outbox, metrics, checkpointer, partitions_of
        super().__init__("persons", "customer_id", leases.persons, leases.erase, *rest)
        self._decisions = Decisions(admission, metrics)
        self._holdout: Final = holdout
        self._clock = clock
        self._router: TileRouter | None = None

    def _take(self, state: Persons, message: FactsRead) -> bool:
        at = message.source, message.version, message.watermark, message.more
        state.take(*at, message.statements)
        return bool(message.statements)

    async def _put_out(self, lease: TellingLease[Persons], next_offset: int, receipt: Receipt) -> None:
        persons = lease.state
        rows, version = persons.settle(), persons.version_at(next_offset)
        if wanted := persons.undecided():
            await self._decisions.decide(persons.segmenter.values, wanted)
        persons.fold()
        lease.check()
        if moments := persons.take_moments():
            for moment in moments:
                status = FIRED if moment.holds else WITHDRAWN
                self._metrics.moments.labels(moment.moment.rule, status).inc()
            await self._outbox.put(receipt, moments_output(moments, version, self._holdout))
            lease.check()
        if bought := persons.take_purchases():
            await self._outbox.store(receipt, PURCHASES, purchase_columns(bought, version))
            lease.check()
        if rows:
            for row in rows:
                self._metrics.recoveries.labels(row.recovery.status).inc()
            await self._outbox.put(receipt, recoveries_output(rows, version))
            lease.check()
        await self._tell(lease, version, receipt, is_due=False)

    async def tell_waiting(self) -> None:
        """Tell of tiles that have waited long enough for time to come to another step."""
        for lease in list(self._leases.values()):
            if self._turn.locked():
                return  # a batch is under way, for long where a sink is out: the ticks must not wait for it
            with contextlib.suppress(RevokedError):
                async with self._turn:
                    await self._tell_waiting(lease)

    async def _tell_waiting(self, lease: TellingLease[Persons]) -> None:
        offset = lease.cut_at
        if offset is None or not lease.state.tiles.untold or self._clock() - lease.told_at < _TOLD_AFTER_S:
            return
        receipt, lease.cut_at = self._outbox.receipt(), None  # a cut now would have them told already
        await self._tell(lease, lease.state.version_at(offset), receipt, is_due=True)
        lease.finish(offset, receipt)
        lease.check()
        lease.cut_at = offset

    async def _tell(self, lease: TellingLease[Persons], version: int, receipt: Receipt, *, is_due: bool) -> None:
        persons = lease.state
        tiles = persons.take_tiles(is_due)
        if tiles is None:
            if lease.told or persons.passed_ms is None:
                return
            tiles = []  # who has heard a run that has crashed waits to be told how far this is
        lease.told_at = self._clock()
        if self._router is None:
            self._router = TileRouter(await asyncio.to_thread(self._partitions_of, TILES_TOPIC))
            lease.check()
        output = self._router.output(lease.name, version, persons.passed_ms, tiles, lease.told)
        await self._outbox.put(receipt, output)

    def _measure(self, source: str, state: Persons) -> None:
        super()._measure(source, state)
        self._metrics.persons.labels(source).set(len(state))


def _pieces(batch: RecordBatch) -> Iterator[list[Record]]:
    records = list(batch.records)
    for start in range(0, len(records), _RECORDS_AT_A_TIME):
        yield records[start : start + _RECORDS_AT_A_TIME]
