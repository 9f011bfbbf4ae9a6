"""Record batches of the partitions given to this worker, read by librdkafka in the background.

Faust keeps the group (who reads which partition); the records themselves come through here, because
librdkafka fetches outside Python's lock and costs half the CPU (``decisions/0003``).
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.kafka.clients import consumer_config
from pipeline.kafka.logs import LogError
from pipeline.model.records import Record
from pipeline.model.source import Source, source_name
from pipeline.settings import KafkaSettings

try:
    from pipeline.kafka.fetched import earliest_ms as earliest_ms
    from pipeline.kafka.fetched import sort_in as sort_in
except ImportError:  # it was not compiled
    from pipeline.kafka.records import earliest_ms as earliest_ms
    from pipeline.kafka.records import sort_in as sort_in

#: A partition so far ahead of the slowest one in event time waits (law 5).
REPLAY_STEP_MS: Final = 600_000
#: A worker that is busy does not look whether there is more; what it knew gets old.
_FRESH_S: Final = 1.0
#: Messages are made into records so many at a time, while a processor's own cache still has them: of 5,000 at once
#: each costs two thirds more CPU (decisions/0006).
_MESSAGES_AT_A_TIME: Final = 1_000


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition. ``epoch`` tells at which positioning they were read."""

    source: Source
    epoch: int
    fetched_ms: int
    records: Sequence[Record]
    end: int = 0
    """Where the log ended when they were fetched, if they are its last."""

    @property
    def next_offset(self) -> int:
        """Where to go on. Behind the markers of transactions that the log ends with, which nobody is given."""
        return max(self.records[-1].offset + 1, self.end)


class BatchReader:
    """Reads the partitions that were positioned, each from its position. Threads take turns."""

    def __init__(self, settings: KafkaSettings) -> None:
        # An offset that is not in the log (any more) must not quietly become another one.
        config = consumer_config(settings, f"{settings.group}-reader") | {"auto.offset.reset": "error"}
        self._consumer = Consumer(config)
        self._lock = threading.Lock()
        self._epochs: dict[Source, int] = {}
        self._paused: set[Source] = set()
        self._next: dict[Source, int] = {}
        self._ends: dict[Source, int] = {}
        """Where each ended when a fetch found that it does: librdkafka says it once, with the position that it
        is at then. The high watermark does not tell: what lies before it may be markers of transactions, which
        take offsets and are given to nobody, or records of a transaction that is still open."""
        self._handed_out: set[Source] = set()
        self._last_read = 0.0
        self._held = False
        self._behind: dict[Source, int] = {}
        """Records between what was handed out and the end, as of the last fetch."""
        self._most = 0
        """Records asked for by the last read."""

    def position(self, source: Source, offset: int, epoch: int) -> None:
        """Start reading a partition at the offset."""
        with self._lock:
            if source in self._epochs:
                self._consumer.incremental_unassign([TopicPartition(*source)])
            self._epochs[source] = epoch
            self._paused.discard(source)
            self._ends.pop(source, None)
            self._handed_out.discard(source)
            self._behind.pop(source, None)
            self._next[source] = offset
            self._consumer.incremental_assign([TopicPartition(*source, offset)])

    def drop(self, source: Source) -> None:
        """Stop reading a partition."""
        with self._lock:
            if self._epochs.pop(source, None) is not None:
                self._consumer.incremental_unassign([TopicPartition(*source)])
                self._paused.discard(source)
                self._ends.pop(source, None)
                self._behind.pop(source, None)
                del self._next[source]

    @property
    def positioned(self) -> frozenset[Source]:
        return frozenset(self._epochs)

    @property
    def is_reading(self) -> bool:
        return bool(self._epochs) and not self._held

    def is_at_end(self, source: Source) -> bool:
        """Whether the last fetch found nothing more in it, and was only just made."""
        return self._has_ended(source) and time.monotonic() - self._last_read < _FRESH_S

    def _has_ended(self, source: Source) -> bool:
        end = self._ends.get(source)
        return end is not None and end >= self._next.get(source, end + 1)

    def lag(self, source: Source) -> int | None:
        """Records not handed out yet, those of open transactions left aside; None while unknown."""
        high, at = self.high_watermark(source), self._next.get(source)
        if high is None or at is None:
            return None
        # Up to where the end was last seen there is nothing to be handed out, but markers of transactions; what is
        # beyond it while it is looked at belongs to open ones.
        return 0 if self.is_at_end(source) else max(0, high - max(0, at, self._ends.get(source, 0)))

    def high_watermark(self, source: Source) -> int | None:
        """The partition's end as of the last fetch; None while unknown."""
        if source not in self._epochs:
            return None
        try:
            # Not under the lock: a fetch holds it while it waits, and who asks is the event loop.
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*source), cached=True)
        except RuntimeError:
            return None  # closed meanwhile
        return int(high) if high >= 0 else None

    def has_handed_out(self, source: Source) -> bool:
        """Whether any records of it were read since it was positioned."""
        return source in self._handed_out

    def next_offset(self, source: Source) -> int | None:
        """The offset after the last record handed out."""
        return self._next.get(source)

    def keep_in_step(self, watermarks: Mapping[Source, int | None]) -> None:
        """Hold back those far ahead in event time of the slowest that has something to read.

        ``watermarks``: of the partitions to be kept in step, ms; None where none is known yet.
        """
        behind = [
            watermark if watermark is not None else -1
            for source, watermark in watermarks.items()
            if not self._has_ended(source)
        ]
        slowest = min(behind) if behind else None
        ahead = {
            source
            for source, watermark in watermarks.items()
            if watermark is not None and slowest is not None and watermark > slowest + REPLAY_STEP_MS
        }
        with self._lock:
            ahead &= self._epochs.keys()
            resume, pause = self._paused - ahead, ahead - self._paused
            if resume:
                self._consumer.resume([TopicPartition(*source) for source in resume])
            if pause:
                self._consumer.pause([TopicPartition(*source) for source in pause])
            self._paused = ahead

    def hold(self) -> None:
        """Hand out no more records: the worker is about to end."""
        self._held = True

    def read(self, max_records: int, timeout_s: float, now_ms: int) -> list[RecordBatch]:
        """Up to ``max_records`` records, waiting up to ``timeout_s`` for the batch to fill."""
        with self._lock:
            if not self._epochs or self._held:
                return []
            grouped = self._fetch(max_records, timeout_s)
            self._last_read = time.monotonic()
            self._most = max_records
            self._take_note(grouped)
            return [
                RecordBatch(source, self._epochs[source], now_ms, records, self._ends.get(source, 0))
                for source, records in grouped.items()
            ]

    def _fetch(self, max_records: int, timeout_s: float) -> Mapping[Source, Sequence[Record]]:
        grouped: dict[Source, Any] = {}
        until = time.monotonic() + timeout_s
        while max_records > 0:
            asked = min(max_records, _MESSAGES_AT_A_TIME)
            messages = self._consumer.consume(asked, timeout=max(0.0, until - time.monotonic()))
            for source, error, offset in sort_in(messages, self._epochs, grouped):
                self._note(source, error, offset)
            if len(messages) < asked:
                break
            max_records -= asked
            del messages  # before others are made: these take the same memory, which the cache has
        return grouped

    def _take_note(self, grouped: Mapping[Source, Sequence[Record]]) -> None:
        """Of how far the partitions were read."""
        for source, records in grouped.items():
            self._handed_out.add(source)
            at = self._next[source] = max(records[-1].offset + 1, self._ends.get(source, 0))
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*source), cached=True)
            if 0 <= high <= at:
                self._ends[source] = at  # the end itself is told only by the next fetch
            self._behind[source] = 0 if self._has_ended(source) else max(0, high - at)

    def _note(self, source: Source, error: KafkaError, offset: int) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[source] = offset
            self._behind.pop(source, None)
        elif error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
            raise LogError(
                f"{source_name(source)} has no offset {self._next.get(source)}, where its checkpoint ends: "
                "the topic was emptied or started anew, or retention removed what was not read yet. Raise "
                "CX_PIPELINE__GENERATION by one to begin with the log as it is now"
            )
        elif error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)
        # everything else (a broker down, a leader moved) librdkafka mends by itself

    def close(self) -> None:
        with self._lock:
            self._epochs.clear()
            self._consumer.close()
