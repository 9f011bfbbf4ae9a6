"""The clock of idle partitions (law 4).

A partition that has had something and now has nothing to read gets tick records. Their time goes on
from the time that was reached at the pace of the wall clock; it never jumps to now.
"""

import time
from typing import Protocol

from confluent_kafka import KafkaException

from pipeline.kafka.errors import UNKNOWN
from pipeline.model.event_time import Clock
from pipeline.model.source import Source
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Producer
from schemas.ticks import TICK_HEADER
from schemas.times import format_rfc3339


class Ends(Protocol):
    """Tells whether a partition has been read to its end."""

    def is_at_end(self, source: Source) -> bool: ...


class Progress(Ends, Protocol):
    """Tells also what has been handed out of it."""

    def has_handed_out(self, source: Source) -> bool: ...
    def next_offset(self, source: Source) -> int | None: ...


class Ticker:
    """Appends ticks to the idle ones of the partitions that this worker has."""

    def __init__(
        self, leases: Leases, producer: Producer, interval_s: float, clock: Clock = time.monotonic
    ) -> None:
        self._leases = leases
        self._producer = producer
        self._interval_s = interval_s
        self._clock = clock
        self._bases: dict[Source, tuple[float, int, int]] = {}
        """(wall clock, time reached, accepted events) when the partition was last not idle."""
        self._under_way: set[Source] = set()
        """Partitions with a tick that the broker has not acknowledged."""

    def tick(self, ends: Ends) -> int:
        """Append a tick where one is due; gives how many."""
        self._producer.poll(0)
        sent = 0
        now = self._clock()
        for source, lease in list(self._leases.partitions.items()):
            reached = lease.state.reached_ms
            if reached is None or source in self._under_way or not ends.is_at_end(source):
                self._bases.pop(source, None)
                continue
            accepted = lease.state.accepted
            since, base_ms, counted = self._bases.get(source, (now, reached, -1))
            expected = base_ms + round((now - since) * 1000)
            if counted != accepted or reached > expected:
                self._bases[source] = (now, reached, accepted)
            elif expected - reached >= self._interval_s * 1000:
                sent += self._produce(source, expected)
        return sent

    def _produce(self, source: Source, at_ms: int) -> bool:
        """Send a tick; the next one waits until the broker has it: an outage is no idleness."""
        topic, partition = source
        try:
            self._producer.produce(
                topic,
                value=None,
                key=None,
                partition=partition,
                headers=[(TICK_HEADER, format_rfc3339(at_ms).encode())],
                on_delivery=lambda *_: self._under_way.discard(source),
            )
        except BufferError:
            return False
        except KafkaException as error:
            if error.args[0].code() not in UNKNOWN:
                raise
            return False  # a partition that was just added: the producer hears of it soon
        self._under_way.add(source)
        return True
