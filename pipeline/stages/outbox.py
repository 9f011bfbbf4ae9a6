"""What the stages put out: encoded, sent to Kafka, given to the sink's buffer."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
from confluent_kafka import KafkaException

from pipeline.kafka.errors import is_refused
from pipeline.outputs.outgoing import Outgoing, Output
from sinks.base import Columns
from sinks.buffer import SinkBuffer

_encode = msgspec.json.Encoder().encode


class Producer(Protocol):
    """The part of confluent-kafka's producer that is used."""

    @property
    def produce(self) -> Callable[..., None]: ...
    @property
    def poll(self) -> Callable[[float], int]: ...


class Receipt:
    """Whether the messages and rows of one step have arrived."""

    __slots__ = ("_buffer", "_refused", "_ticket", "pending")

    def __init__(self, buffer: SinkBuffer, refused: Callable[[str, bytes, str], None]) -> None:
        self._buffer = buffer
        self._refused = refused
        self.pending = 0
        """Messages that the broker has not acknowledged."""
        self._ticket = 0

    def is_done(self) -> bool:
        return self.pending == 0 and self._ticket <= self._buffer.stored

    def on_delivery(self, error: Any, message: Any) -> None:
        if error is not None:
            # Deliveries are tried without end; what comes here cannot be mended by trying again.
            if not is_refused(error):
                raise KafkaException(error)
            self._refused(message.topic() or "", message.value() or b"", error.str())
        self.pending -= 1


class Outbox:
    """Publishes messages and stores rows; each step collects what it needs in a Receipt."""

    def __init__(self, producer: Producer, buffer: SinkBuffer) -> None:
        self._producer = producer
        self._buffer = buffer
        self.on_refused: Callable[[str, bytes, str], None] = _lost
        """Told topic, message and reason where Kafka refuses a message for good. It counts as delivered then."""

    def receipt(self) -> Receipt:
        return Receipt(self._buffer, self.on_refused)

    async def send(self, receipt: Receipt, topic: str, messages: Iterable[Outgoing]) -> None:
        """Queue messages; where librdkafka's queue is full, wait for room."""
        produce, on_delivery = self._producer.produce, receipt.on_delivery
        for body, headers, key, partition in messages:
            while True:
                try:
                    # By place: by name librdkafka's binding takes two thirds longer (decisions/0006).
                    produce(topic, _encode(body), key, partition, on_delivery, None, 0, headers)
                except BufferError:
                    self._producer.poll(0)
                    await asyncio.sleep(0.01)
                except KafkaException as error:
                    if not is_refused(error.args[0]):
                        raise
                    self.on_refused(topic, _encode(body), error.args[0].str())
                    break
                else:
                    receipt.pending += 1
                    break

    async def put(self, receipt: Receipt, output: Output) -> None:
        """Send the messages of an output and store its rows."""
        await self.send(receipt, output.topic, output.messages)
        if output.table is not None:
            await self.store(receipt, output.table, output.columns)

    async def delivered(self, receipt: Receipt) -> None:
        """Return when all messages of the receipt so far have arrived."""
        while receipt.pending:
            self._producer.poll(0)
            await asyncio.sleep(0.005)

    async def store(self, receipt: Receipt, table: str, columns: Columns) -> None:
        """Give rows to the sink's buffer; waits where it is full."""
        receipt._ticket = max(receipt._ticket, await self._buffer.put(table, columns))

    def hurry(self, table: str) -> None:
        """What waits for the table is a whole: it need not wait for more."""
        self._buffer.hurry_table(table)

    def poll(self) -> None:
        """Let librdkafka report deliveries."""
        self._producer.poll(0)


def _lost(topic: str, message: bytes, reason: str) -> None:
    raise RuntimeError(f"Kafka refuses a message of {len(message)} bytes for {topic}: {reason}")
