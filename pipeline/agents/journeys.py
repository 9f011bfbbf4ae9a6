"""Phase one as a stage: a batch of a touchpoint partition in, journeys, tiles and dead letters out."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from confluent_kafka import KafkaException

from pipeline.agents.checkpoints import Checkpointer
from pipeline.agents.deadletters import FloodWatch, letter_message, letter_row
from pipeline.agents.journey_rows import journey_columns, journey_messages
from pipeline.agents.misplaced import Misplaced
from pipeline.agents.outbox import Outbox, Outgoing, Receipt, columns_of
from pipeline.agents.ownership import Owned, Ownership
from pipeline.agents.ticks import Progress
from pipeline.agents.tile_rows import TileRouter, tile_columns
from pipeline.core.partition import Partition
from pipeline.core.records import DeadLetter, Outputs
from pipeline.core.tiles import BUCKET_MS
from pipeline.core.values import Value, Values
from pipeline.kafka.clients import KafkaUnavailableError, describe
from pipeline.kafka.errors import is_passing
from pipeline.kafka.logs import NoAnswerError, Source, source_name
from pipeline.kafka.reader import RecordBatch, earliest_ms
from pipeline.logs import Notes
from pipeline.metrics import Metrics
from schemas.cloudevents import headers
from schemas.deadletters import (
    DEADLETTERS_TOPIC,
)
from schemas.journeys import JOURNEYS_TOPIC
from schemas.tiles import TILES_TOPIC, TILES_TYPE, tiles_message_id
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import DEAD_LETTERS, JOURNEYS, TILES

logger = logging.getLogger(__name__)
#: Others get their turn after so many.
_RECORDS_AT_A_TIME: Final = 5_000
_ANNOUNCE_S: Final = 5.0
_ASKED_AGAIN_S: Final = 1.0


class Admission(Protocol):
    """Decides which values are told apart, for all workers alike."""

    def admit(self, wanted: Iterable[Value]) -> None:
        """Return when it is decided of all these. Blocks. Raises errors of Kafka."""


class JourneysStage:
    """Runs phase one for the partitions that this worker has."""

    def __init__(
        self,
        ownership: Ownership,
        outbox: Outbox,
        metrics: Metrics,
        tiles_partitions: Callable[[], int],
        checkpointer: Checkpointer,
        flood_watch: FloodWatch,
        admission: Admission | None = None,
    ) -> None:
        """``admission``: of values to those told apart; None: nobody else has a say in it."""
        self._ownership = ownership
        self._checkpointer = checkpointer
        self._flood_watch = flood_watch
        self._outbox = outbox
        self._metrics = metrics
        self._tiles_partitions = tiles_partitions
        self._router: TileRouter | None = None
        self._admission = admission
        self._notes = Notes()
        self._misplaced = Misplaced(checkpointer, metrics, self._notes)
        self._full: set[str] = set()
        self._announced: dict[tuple[Source, int], float] = {}
        """When a partition was said to be empty last."""

    async def announce(self, ends: Progress) -> None:
        """Let phase two hear of the partitions that are empty, again and again: it waits for all others."""
        self._misplaced.settle()
        for source, owned in list(self._ownership.partitions.items()):
            key, now = (source, owned.epoch), time.monotonic()
            is_due = now - self._announced.get(key, -_ANNOUNCE_S) >= _ANNOUNCE_S
            # Records on their way here may be the oldest of all.
            is_worked_off = not ends.has_handed_out(source) or owned.cut_at == ends.next_offset(source)
            if is_due and owned.state.latest_ms is None and ends.is_at_end(source) and is_worked_off:
                self._announced[key] = now
                nothing = Outputs(version=owned.state.rules.first_version)
                await self._tiles(source, nothing, None, self._outbox.receipt(), {})

    async def process(self, batch: RecordBatch) -> None:
        owned = self._ownership.partitions.get(batch.source)
        if owned is None or owned.epoch != batch.epoch:
            return  # read before a rebalance that took the partition away
        owned.cut_at = None
        for start in range(0, len(batch.records), _RECORDS_AT_A_TIME):
            if not self._ownership.holds(batch.source, owned):
                return  # taken away while a full buffer was waited for
            started = time.perf_counter()
            records = batch.records[start : start + _RECORDS_AT_A_TIME]
            owned.state.spread_over(self._checkpointer.partitions.get(batch.source[0], 0))
            out = owned.state.take(records, batch.fetched_ms)
            if wanted := owned.state.undecided():
                await self._decide(owned.state.rules.segmenter.values, wanted)
                if not self._ownership.holds(batch.source, owned):
                    return  # taken away meanwhile
            owned.state.settle(out)
            receipt = self._outbox.receipt()
            await self._put_out(batch.source, owned, out, earliest_ms(records), receipt)
            owned.unfinished.append((records[-1].offset + 1, receipt))
            if out.records:
                owned.changed_at = time.monotonic()
            self._outbox.poll()
            if not self._ownership.holds(batch.source, owned):
                return  # its series are gone by now, and are not to come back
            self._measure(batch, out, time.perf_counter() - started)
            await asyncio.sleep(0)  # heartbeats, probes and the console have their turn
        if not self._ownership.holds(batch.source, owned):
            return
        owned.cut_at = batch.next_offset
        self._checkpointer.consider(batch.source, owned)
        self._metrics.open_sessions.labels(source_name(batch.source)).set(len(owned.state.sessions))

    async def _decide(self, values: Values, wanted: list[Value]) -> None:
        """Have it decided which of the values are told apart; asked until Kafka answers."""
        if self._admission is None:
            values.admit(wanted)
        while any(not values.is_decided(*one) for one in wanted):
            assert self._admission is not None
            try:
                await asyncio.to_thread(self._admission.admit, wanted)
            except (KafkaException, NoAnswerError, KafkaUnavailableError) as error:
                if isinstance(error, KafkaException) and not is_passing(error.args[0]):
                    raise
                logger.warning(
                    "it is not known yet which values are told apart, asking again: %s", describe(error)
                )
                await asyncio.sleep(_ASKED_AGAIN_S)
        for dimension, count in values.counts().items():
            self._metrics.dimension_values.labels(dimension).set(count)
            self._metrics.dimension_full.labels(dimension).set(count >= values.most)
            if count >= values.most and dimension not in self._full:
                self._full.add(dimension)
                logger.warning(
                    "%s has %d values, as many as are told apart: further ones count as 'other'. List those that "
                    "matter in CX_SEGMENTS__KNOWN, or raise CX_SEGMENTS__MOST_VALUES",
                    dimension,
                    count,
                )

    async def _put_out(
        self, source: Source, owned: Owned[Partition], out: Outputs, appended_ms: int | None, receipt: Receipt
    ) -> None:
        if out.dead_letters:
            await self._dead_letters(source, out.dead_letters, receipt)
        if out.journeys:
            await self._journeys(source, out, receipt)
        await self._tiles(source, out, appended_ms, receipt, owned.told)

    async def _journeys(self, source: Source, out: Outputs, receipt: Receipt) -> None:
        channel = source[0].removeprefix("touchpoints.")
        await self._outbox.send(receipt, JOURNEYS_TOPIC, journey_messages(channel, out.journeys, out.version))
        await self._outbox.store(receipt, JOURNEYS, journey_columns(channel, out.journeys, out.version))

    async def _tiles(
        self, source: Source, out: Outputs, appended_ms: int | None, receipt: Receipt, told: dict[int, int | None]
    ) -> None:
        """``told``: see :class:`Owned`. Windows end with buckets, so a watermark within one tells nothing new."""
        name = source_name(source)
        bucket = None if out.watermark_ms is None else out.watermark_ms // BUCKET_MS
        if self._router is None:
            self._router = TileRouter(await asyncio.to_thread(self._tiles_partitions))
        messages = []
        for partition, parts in self._router.split(out.tiles).items():
            if not parts[0] and bucket is not None and told.get(partition) == bucket:
                continue
            told[partition] = bucket
            for part, tiles in enumerate(parts):
                event_id = tiles_message_id(name, out.version, partition, part)
                more = part < len(parts) - 1
                body = {
                    "schema_version": SCHEMA_VERSION,
                    "source": name,
                    "version": out.version,
                    "watermark": None if more else out.watermark_ms,  # time has passed when all is told
                    "tiles": tiles,
                    "more": more,
                    "appended": appended_ms,
                }
                messages.append(Outgoing(body, headers(TILES_TYPE, event_id), partition=partition))
        await self._outbox.send(receipt, TILES_TOPIC, messages)
        if out.tiles:
            await self._outbox.store(receipt, TILES, tile_columns(name, out.tiles, out.version))

    async def _dead_letters(self, source: Source, letters: list[DeadLetter], receipt: Receipt) -> None:
        await self._outbox.send(receipt, DEADLETTERS_TOPIC, (letter_message(source, one) for one in letters))
        if any(letter.by_clock for letter in letters):
            # Another reading, at another time, would accept these records. It finds the letters, as
            # long as nothing of this batch is anywhere before they are.
            await self._outbox.delivered(receipt)
        rows = [letter_row(source, letter) for letter in letters]
        await self._outbox.store(receipt, DEAD_LETTERS, columns_of(rows))

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
