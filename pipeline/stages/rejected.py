"""Rows that ClickHouse and messages that Kafka refuses for good become dead letters, these being their payload."""

import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from pipeline.metrics import Metrics
from pipeline.model.records import DeadLetter
from pipeline.outputs.letters import letters_output
from pipeline.stages.outbox import Outbox
from schemas.deadletters import DEADLETTERS_TOPIC, MESSAGE_TOPIC_PREFIX, ROW_TOPIC_PREFIX, place_of
from schemas.reasons import Reason, Refusal
from sinks.buffer import SinkBuffer
from sinks.tables import DEAD_LETTERS, row_as_json

logger = logging.getLogger(__name__)
_MOST_WAITING: Final = 1_000


class RejectedRows:
    """Implements :data:`sinks.buffer.Rejected`."""

    def __init__(self, outbox: Outbox, buffer: SinkBuffer, metrics: Metrics) -> None:
        self._outbox = outbox
        self._buffer = buffer
        self._metrics = metrics

    async def take(self, table: str, row: Mapping[str, Any], error: str) -> None:
        """Return when the dead letter is delivered and stored. The same row always has the same place."""
        payload = row_as_json(row)
        letter = DeadLetter.of(
            place_of(payload), int(time.time() * 1000), Refusal(Reason.ROW_REJECTED, error), payload
        )
        source = (f"{ROW_TOPIC_PREFIX}{table}", 0)
        logger.error("a row of %s is refused for good and goes to %s: %s", table, DEADLETTERS_TOPIC, error)
        self._metrics.dead_letters.labels(source[0], letter.reason).inc()
        receipt = self._outbox.receipt()
        output = letters_output(source, [letter])
        await self._outbox.send(receipt, output.topic, output.messages)
        await self._outbox.delivered(receipt)
        if table != DEAD_LETTERS:  # it would be refused again
            await self._buffer.store_now(DEAD_LETTERS, output.columns)


class RejectedMessages:
    """Keeps messages that Kafka refuses. ``take`` is told of them amid a delivery, ``keep`` does the work."""

    def __init__(self, outbox: Outbox, metrics: Metrics) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._waiting: deque[tuple[str, bytes, str]] = deque(maxlen=_MOST_WAITING)

    def take(self, topic: str, message: bytes, reason: str) -> None:
        logger.error("Kafka refuses a message of %d bytes for %s for good: %s", len(message), topic, reason)
        self._metrics.rejected_messages.labels(topic).inc()
        if topic != DEADLETTERS_TOPIC:  # it would be refused again
            self._waiting.append((topic, message, reason))

    async def keep(self) -> None:
        """Send and store a letter for each; what they were put out with does not wait for that."""
        while self._waiting:
            topic, message, reason = self._waiting.popleft()
            refusal = Refusal(Reason.UNDELIVERABLE, reason)
            letter = DeadLetter.of(place_of(message), int(time.time() * 1000), refusal, message)
            source = (f"{MESSAGE_TOPIC_PREFIX}{topic}", 0)
            self._metrics.dead_letters.labels(source[0], letter.reason).inc()
            await self._outbox.put(self._outbox.receipt(), letters_output(source, [letter]))
