"""Rows that ClickHouse refuses for good become dead letters, with the row as their payload."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from pipeline.agents.deadletters import letter_message, letter_row
from pipeline.agents.outbox import Outbox, columns_of
from pipeline.core.records import DeadLetter
from pipeline.metrics import Metrics
from schemas.deadletters import DEADLETTERS_TOPIC, ROW_TOPIC_PREFIX, place_of
from schemas.reasons import Reason, Refusal
from sinks.buffer import SinkBuffer
from sinks.tables import DEAD_LETTERS, row_as_json

logger = logging.getLogger(__name__)


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
        await self._outbox.send(receipt, DEADLETTERS_TOPIC, [letter_message(source, letter)])
        await self._outbox.delivered(receipt)
        if table != DEAD_LETTERS:  # it would be refused again
            await self._buffer.store_now(DEAD_LETTERS, columns_of([letter_row(source, letter)]))
