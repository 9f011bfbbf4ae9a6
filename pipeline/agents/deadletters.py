"""A dead letter as a message and as a row, and the watch over how many there are."""

import logging
from collections import deque
from typing import Any, Final

from pipeline.agents.outbox import Clock, Outgoing, base64_text
from pipeline.core.records import DeadLetter
from pipeline.kafka.logs import Source
from pipeline.metrics import Metrics
from schemas.cloudevents import headers
from schemas.deadletters import DEADLETTER_TYPE, dead_letter_id
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION

logger = logging.getLogger(__name__)
_WATCHED_S: Final = 60.0
#: A share of fewer records says little.
_FEWEST: Final = 100


def letter_message(source: Source, letter: DeadLetter) -> Outgoing:
    """The message of :class:`schemas.deadletters.DeadLetterMessage`."""
    topic, partition = source
    event_id = dead_letter_id(topic, partition, letter.offset)
    body = {
        "schema_version": SCHEMA_VERSION,
        "id": event_id,
        "received_at": format_rfc3339(letter.received_ms),
        "topic": topic,
        "partition": partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "error": letter.error,
        "payload": base64_text(letter.payload),
        "size": letter.size,
        "sha256": letter.sha256,
    }
    return Outgoing(body, headers(DEADLETTER_TYPE, event_id), key=topic)


def letter_row(source: Source, letter: DeadLetter) -> tuple[Any, ...]:
    """The row of the table ``dead_letters``, in the order of its columns."""
    where = (letter.received_ms, *source, letter.offset)
    return (*where, str(letter.reason), letter.error, letter.payload, letter.size, letter.sha256)


class FloodWatch:
    """Tells, by metric and log line, of a topic whose last minute was refused beyond a share."""

    def __init__(self, metrics: Metrics, share: float, clock: Clock) -> None:
        self._metrics = metrics
        self._share = share
        self._clock = clock
        self._counts: dict[str, deque[tuple[float, int, int]]] = {}
        self._flooded: set[str] = set()

    def count(self, topic: str, refused: int, records: int) -> None:
        """Take a batch's numbers."""
        now = self._clock()
        counts = self._counts.setdefault(topic, deque())
        counts.append((now, refused, records))
        while counts[0][0] < now - _WATCHED_S:
            counts.popleft()
        bad, total = sum(c[1] for c in counts), sum(c[2] for c in counts)
        is_flooded = total >= _FEWEST and bad > self._share * total
        self._metrics.flooded.labels(topic).set(is_flooded)
        if is_flooded and topic not in self._flooded:
            self._flooded.add(topic)
            logger.warning(
                "%d of %d records of %s in the last minute are refused, over the share of %g "
                "(CX_PIPELINE__DEAD_LETTER_SHARE); see 'cx-signals deadletters list --topic %s'",
                bad,
                total,
                topic,
                self._share,
                topic,
            )
        elif topic in self._flooded and total >= _FEWEST and not is_flooded:
            self._flooded.discard(topic)
            logger.warning("%s has fewer refused records again: %d of %d", topic, bad, total)
