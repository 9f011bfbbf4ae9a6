"""Phase one as a stage: a batch of a touchpoint partition in, journeys, tiles and dead letters out."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from pipeline.core.sessions.outputs import Outputs
from pipeline.durability.checkpointer import Checkpointer
from pipeline.kafka.reader import RecordBatch, earliest_ms
from pipeline.logs import Notes
from pipeline.metrics import Metrics
from pipeline.model.records import DeadLetter
from pipeline.model.source import Source, source_name
from pipeline.outputs.facts import FactsRouter
from pipeline.outputs.journeys import journeys_output
from pipeline.outputs.letters import letters_output
from pipeline.outputs.tiles import TileRouter
from pipeline.stages.admission import Admission, Decisions
from pipeline.stages.floods import FloodWatch
from pipeline.stages.lease import JourneysLease, Leases, RevokedError, lease_of
from pipeline.stages.misplaced import Misplaced
from pipeline.stages.outbox import Outbox, Receipt
from pipeline.stages.ticks import Progress
from schemas.events import TOPIC_PREFIX
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC
from sinks.tables import DEAD_LETTERS

#: Others get their turn after so many.
_RECORDS_AT_A_TIME: Final = 20_000
_ANNOUNCE_S: Final = 5.0


class _Routers(NamedTuple):
    """Of the topics that the stages after this one read."""

    tiles: TileRouter
    visits: FactsRouter
    facts: FactsRouter

    @classmethod
    def of(cls, partitions_of: Callable[[str], int]) -> "_Routers":
        """Blocks."""
        routers = [FactsRouter(topic, partitions_of(topic)) for topic in (VISITS_TOPIC, FACTS_TOPIC)]
        return cls(TileRouter(partitions_of(TILES_TOPIC)), *routers)


class JourneysStage:
    """Runs phase one for the partitions that this worker has."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        metrics: Metrics,
        partitions_of: Callable[[str], int],
        checkpointer: Checkpointer,
        flood_watch: FloodWatch,
        admission: Admission | None = None,
    ) -> None:
        """``partitions_of``: how many a topic has; blocks.

        ``admission``: decides which values are told apart; None: this worker alone does.
        """
        self._leases = leases
        self._checkpointer = checkpointer
        self._flood_watch = flood_watch
        self._outbox = outbox
        self._metrics = metrics
        self._partitions_of = partitions_of
        self._routers: _Routers | None = None
        self._decisions = Decisions(admission, metrics)
        self._notes = Notes()
        self._misplaced = Misplaced(checkpointer, metrics, self._notes)

    async def announce(self, ends: Progress) -> None:
        """Let phase two hear of the partitions that are empty, again and again: it waits for all others."""
        self._misplaced.settle()
        for lease in list(self._leases.partitions.values()):
            with contextlib.suppress(RevokedError):  # taken away while another one was announced
                await self._announce(lease, ends)

    async def _announce(self, lease: JourneysLease, ends: Progress) -> None:
        source, now, last = lease.source, time.monotonic(), lease.announced_at
        # Records on their way here may be the oldest of all.
        is_worked_off = not ends.has_handed_out(source) or lease.cut_at == ends.next_offset(source)
        is_due = last is None or now - last >= _ANNOUNCE_S
        if is_due and lease.state.latest_ms is None and ends.is_at_end(source) and is_worked_off:
            lease.announced_at = now
            lease.tell_anew()
            # Others have been told of what was read and refused: a lower version would be that of a crashed run.
            read = max(lease.kept.offset or 0, lease.cut_at or 0, lease.log_end)
            nothing = Outputs(version=lease.state.rules.first_version + read)
            await self._inner(lease, nothing, None, self._outbox.receipt())

    async def process(self, batch: RecordBatch) -> None:
        """Take a batch. One whose partition is taken away meanwhile is left to the next owner."""
        with contextlib.suppress(RevokedError):
            await self._process(lease_of(self._leases.partitions, batch.source, batch.epoch), batch)

    async def _process(self, lease: JourneysLease, batch: RecordBatch) -> None:
        lease.cut_at = None
        self._leases.erase(lease)
        for start in range(0, len(batch.records), _RECORDS_AT_A_TIME):
            started = time.perf_counter()
            records = batch.records[start : start + _RECORDS_AT_A_TIME]
            lease.state.spread_over(self._checkpointer.partitions.get(batch.source[0], 0))
            out = lease.state.take(records, batch.fetched_ms)
            if wanted := lease.state.undecided():
                await self._decisions.decide(lease.state.rules.segmenter.values, wanted)
            lease.state.settle(out)
            receipt, next_offset = self._outbox.receipt(), records[-1].offset + 1
            if lease.catches_up(next_offset):
                lease.tell_anew()
            await self._put_out(lease, out, earliest_ms(records), receipt)
            lease.finish(next_offset, receipt)
            if out.records:
                lease.changed_at = time.monotonic()
            self._outbox.poll()
            lease.check()  # revoked, its series are gone, and are not to come back
            self._measure(batch, out, time.perf_counter() - started)
            await asyncio.sleep(0)  # heartbeats, probes and the console have their turn
        lease.check()
        lease.cut_at = batch.next_offset
        if batch.next_offset >= lease.log_end:
            lease.state.end_catching_up()
        self._checkpointer.consider(lease)
        self._metrics.open_sessions.labels(lease.name).set(len(lease.state.sessions))

    async def _put_out(
        self, lease: JourneysLease, out: Outputs, appended_ms: int | None, receipt: Receipt
    ) -> None:
        if out.dead_letters:
            await self._dead_letters(lease.source, out.dead_letters, receipt)
            lease.check()  # its next owner may have accepted what was refused here
        if out.journeys:
            channel = lease.source[0].removeprefix(TOPIC_PREFIX)
            await self._outbox.put(receipt, journeys_output(channel, out.journeys, out.version))
        await self._inner(lease, out, appended_ms, receipt)

    async def _inner(self, lease: JourneysLease, out: Outputs, appended_ms: int | None, receipt: Receipt) -> None:
        """Tell the stages that come after."""
        if self._routers is None:
            self._routers = await asyncio.to_thread(_Routers.of, self._partitions_of)
        lease.check()
        tiles, visits, facts = self._routers
        told, at = lease.told, (lease.name, out.version, out.watermark_ms)
        await self._outbox.put(receipt, tiles.output(*at, out.tiles, told[TILES_TOPIC], appended_ms))
        lease.check()
        await self._outbox.put(receipt, visits.output(*at, told[VISITS_TOPIC], out.visits, out.observations))
        lease.check()
        await self._outbox.put(receipt, facts.output(*at, told[FACTS_TOPIC], out.facts))

    async def _dead_letters(self, source: Source, letters: list[DeadLetter], receipt: Receipt) -> None:
        output = letters_output(source, letters)
        await self._outbox.send(receipt, output.topic, output.messages)
        if any(letter.by_clock for letter in letters):
            # Another reading, at another time, would accept these records. It finds the letters, as
            # long as nothing of this batch is anywhere before they are.
            await self._outbox.delivered(receipt)
        await self._outbox.store(receipt, DEAD_LETTERS, output.columns)

    def _measure(self, batch: RecordBatch, out: Outputs, seconds: float) -> None:
        source, metrics = batch.source, self._metrics
        topic = source[0]
        metrics.events.labels(topic, "accepted").inc(out.accepted)
        metrics.events.labels(topic, "duplicate").inc(out.duplicates)
        metrics.events.labels(topic, "tick").inc(out.ticks)
        metrics.ticks_ahead.labels(topic).inc(out.refused_ticks)
        metrics.events.labels(topic, "dead_letter").inc(len(out.dead_letters))
        self._flood_watch.count(topic, len(out.dead_letters), out.records)
        for letter in out.dead_letters:
            metrics.dead_letters.labels(topic, letter.reason).inc()
        self._note_oddities(topic, out)
        if out.watermark_ms is not None:
            metrics.watermark.labels(source_name(source)).set(out.watermark_ms / 1000)
        if out.newest_ms is not None:
            metrics.event_lag.labels(source_name(source)).set((batch.fetched_ms - out.newest_ms) / 1000)
        metrics.batch_seconds.labels("journeys").observe(seconds)

    def _note_oddities(self, topic: str, out: Outputs) -> None:
        """Tell of input that is taken, and is hardly what its senders mean."""
        self._misplaced.count(topic, out.misplaced)
        for session_id, count in out.long_sessions.items():
            self._metrics.long_sessions.labels(topic).inc()
            self._notes.warn(
                f"long {topic} {session_id}",
                f"{topic}: session {session_id!r} has {count} events within the lateness: one session_id for many "
                "visitors, or a bot? An event with CX_PIPELINE__SESSION_EVENTS later ones in it is too late",
            )
