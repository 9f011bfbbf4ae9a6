"""A Faust transport that delivers whole record batches (URL scheme ``cxbatch://``).

Faust's cost per event is asyncio machinery: one flow-control wait, queue and task turn for each
message. Here one Faust message carries a batch of consecutive records of one partition, so that this
cost is paid once in some thousand events. aiokafka keeps the group membership, rebalances and commits;
its own fetching is paused, and the records come from :class:`~pipeline.kafka.reader.BatchReader`.

Faust 0.15.3 resumes fetching before its seek has ended, adds one offset too many to gaps, and can
commit past messages in flight. So nothing is delivered from a partition that was not positioned in
this generation, positions come from whoever holds the state, and commit offsets are those that the
agents have declared done, in order.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from confluent_kafka import KafkaException
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from pipeline.kafka.clients import describe
from pipeline.kafka.errors import is_passing
from pipeline.kafka.logs import LogError, NoAnswerError
from pipeline.kafka.reader import BatchReader, RecordBatch
from pipeline.model.source import Source, source_name

logger = logging.getLogger(__name__)

ERRORS_HEARD_EVERY_S = 1.0
RESTORED_AGAIN_AFTER_S = 1.0


class StateAuthority(Protocol):
    """Whoever holds the state decides where reading starts and what is done."""

    def acquire(self, source: Source) -> tuple[int, int]:
        """Take a partition on with the state to resume from: (offset to read from, epoch)."""

    def release(self, source: Source) -> None:
        """Forget the state of a partition that another worker may now have."""

    def committable(self) -> Mapping[Source, int]:
        """Offsets up to which everything has been put out and stored, by partition."""

    def watermarks(self) -> Mapping[Source, int | None]:
        """Event-time progress of the partitions that are read in step, ms."""


class BatchSettings(Protocol):
    @property
    def batch_records(self) -> int: ...
    @property
    def batch_wait_s(self) -> float: ...


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """aiokafka in its thread, for the group only."""

    async def on_start(self) -> None:
        await super().on_start()
        # The group's liveness is its heartbeat. How long a batch may take is not aiokafka's to judge:
        # a fetch that never ends keeps it from leaving the group while a sink outage is waited out.
        self._consumer._subscription.fetch_context().__enter__()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Tell the group what is done; false where it did not take it.

        Reading resumes from checkpoints, so an offset that is not committed costs nothing and the next
        commit makes up for it. Faust's own ends the worker instead, which a broker that is just starting
        (it does not know its topics yet) or a rebalance under way brings about. Whatever aiokafka makes of
        those, also of its own assertions, is no reason to end.
        """
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        kept = {tp: offset for tp, offset in offsets.items() if driver.ensure_aiokafka_TP(tp) in assigned}
        if not kept:
            return False
        try:
            await consumer.commit({driver.ensure_aiokafka_TP(tp): offset for tp, offset in kept.items()})
        except Exception as error:
            logger.warning("offsets not committed, the next ones will be: %r", error)
            return False
        return True

    @Service.task  # type: ignore[untyped-decorator] # mode is untyped
    async def _hear_of_errors(self) -> None:
        """Without it aiokafka waits for ever after an error in the group: it goes on once a fetch was told."""
        while not self.should_stop:
            await self.sleep(ERRORS_HEARD_EVERY_S)
            coordinator = self._consumer and self._consumer._coordinator
            if coordinator is None:
                continue
            try:
                coordinator.check_errors()
            except Exception as error:
                if coordinator._coordination_task.done():
                    raise  # it does not go on
                heartbeat = coordinator._heartbeat_task
                if heartbeat is not None and heartbeat.done():
                    coordinator.request_rejoin()  # nothing else would start another one
                logger.warning("group: %r; going on", error)

    async def on_thread_stop(self) -> None:
        try:
            await super().on_thread_stop()
        except Exception as error:
            # What one of its tasks died of comes up once more, and would keep the worker from ending in order.
            logger.warning("the group was not left in order: %r", error)

    async def pause_fetching(self, tps: Iterable[TP]) -> None:
        await self.call_thread(self._pause, list(tps))

    async def _pause(self, tps: list[TP]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        consumer.pause(*(tp for tp in map(driver.ensure_aiokafka_TP, tps) if tp in assigned))


class Consumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped
    """Yields one message per partition and fetch: its value is a RecordBatch, its offset the last."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._authority: StateAuthority = self.app.cx_authority
        self._batch: BatchSettings = self.app.cx_batch
        self._new_reader: Callable[[], BatchReader] = self.app.cx_new_reader
        self._reader: BatchReader | None = None
        self._turn = 0
        """Counts revocations: what was begun in an earlier turn is not to be finished."""
        self._is_assigned = False
        self._taking_on: defaultdict[Source, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._confirmed: dict[TP, int] = {}
        """What the group has accepted. Faust's own ``_committed_offset`` moves with failed commits too."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kafka-reader")

    @property
    def reader(self) -> BatchReader:
        if self._reader is None:
            self._reader = self._new_reader()
        return self._reader

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- who reads what, from where -----------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # First of all, so that nothing more is read or processed for them.
        self._turn += 1
        self._is_assigned = False
        for tp in revoked:
            self._let_go(tp)
            self._confirmed.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._is_assigned = True
        await super().on_partitions_assigned(assigned, generation_id)

    def _let_go(self, tp: TP) -> None:
        source = (tp.topic, tp.partition)
        if source in self.reader.positioned:
            self.reader.drop(source)
            self._authority.release(source)

    async def perform_seek(self) -> None:
        """Position every partition that was assigned, once in a generation."""
        if not self._is_assigned:
            return  # getmany found the flow stopped: what aiokafka still calls assigned was revoked
        turn = self._turn
        assigned = {TP(tp.topic, tp.partition) for tp in self.assignment()}
        await self._thread.pause_fetching(assigned)
        # Faust cancels this at the next rebalance or after broker_request_timeout, and an end of the worker does
        # not wait for it. A thread cannot be cancelled, so each one ends by itself: with the partition
        # positioned, or let go again.
        each = (self._take_on(tp, turn) for tp in sorted(assigned))
        taking_on = asyncio.gather(*each, return_exceptions=True)
        await self.app.wait(asyncio.shield(taking_on))

    async def _take_on(self, tp: TP, turn: int) -> None:
        """Have the partition's state restored, then read on from where that stands."""
        source = (tp.topic, tp.partition)
        async with self._taking_on[source]:
            if turn != self._turn or source in self.reader.positioned:
                return
            try:
                found = await self._restored(source, turn)
            except Exception as error:
                logger.error("stopping: %s", error)
                await self.app.crash(error)
                return
            if turn != self._turn or self._is_ending:
                self._authority.release(source)
            elif found is not None:
                self._read_offset[tp] = None
                self.reader.position(source, *found)

    async def _restored(self, source: Source, turn: int) -> tuple[int, int] | None:
        """The state restored, asked for until Kafka answers.

        None where the partition was revoked meanwhile, or the worker is ending.
        """
        while turn == self._turn and not self._is_ending:
            try:
                return await asyncio.to_thread(self._acquire, source)
            except (KafkaException, NoAnswerError) as error:
                is_away = isinstance(error, NoAnswerError) or is_passing(error.args[0])
                if not is_away:
                    raise
                logger.warning("%s: not restored yet, trying again: %s", source_name(source), describe(error))
                await self.sleep(RESTORED_AGAIN_AFTER_S)
        return None

    def _acquire(self, source: Source) -> tuple[int, int] | None:
        """In a thread of a few: those that wait for their turn while the worker is ended do not begin."""
        return None if self._is_ending else self._authority.acquire(source)

    @property
    def _is_ending(self) -> bool:
        # The app's own comes first: it waits for a seek before it ends the consumer.
        return bool(self.app.should_stop or self.should_stop)

    # --- records ------------------------------------------------------------------------------------

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[RecordBatch]]:
        loop = asyncio.get_running_loop()
        try:
            batches = await loop.run_in_executor(self._pool, self._read)
        except (KafkaException, LogError) as error:
            logger.error("stopping: %s", error)
            await self.app.crash(error)
            raise
        return {TP(*batch.source): [batch] for batch in batches}

    def _read(self) -> list[RecordBatch]:
        self.reader.keep_in_step(self._authority.watermarks())
        now_ms = int(time.time() * 1000)
        batches = self.reader.read(self._batch.batch_records, self._batch.batch_wait_s, now_ms)
        if not batches and not self.reader.is_reading:
            time.sleep(0.05)
        return batches

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp_ms / 1000.0,
            0,
            [],
            None,
            record,
            None,
            0,
            len(record.records),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def highwater(self, tp: TP) -> int:
        return self.reader.high_watermark((tp.topic, tp.partition)) or 0

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        return {tp: self.highwater(tp) for tp in partitions}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust would watch aiokafka's fetcher here, which is paused on purpose."""

    # --- commits ------------------------------------------------------------------------------------

    def ack(self, message: Any) -> bool:
        """Faust keeps the offset of each message until its own computing of commit offsets takes it away."""
        is_first = bool(super().ack(message))
        self._acked[message.tp].clear()
        self._acked_index[message.tp].clear()
        return is_first

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets between batches are no gaps: the agents say what is done."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        return [TP(*source) for source in self._authority.committable()]

    def _new_offset(self, tp: TP) -> int | None:
        return self._authority.committable().get((tp.topic, tp.partition))

    def _should_commit(self, tp: TP, offset: int) -> bool:
        confirmed = self._confirmed.get(tp)
        return confirmed is None or offset > confirmed

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        turn = self._turn
        is_done = bool(await super()._commit(offsets))
        if is_done and turn == self._turn:
            self._confirmed.update(offsets)
        return is_done

    async def on_stop(self) -> None:
        await super().on_stop()
        self._pool.shutdown(wait=True)
        if self._reader is not None:
            self._reader.close()


class Transport(driver.Transport):  # type: ignore[misc] # Faust is untyped
    """Registered under ``cxbatch`` in the entry-point group ``faust.transports``."""

    Consumer = Consumer
    driver_version = f"cxbatch over {driver.Transport.driver_version}"
