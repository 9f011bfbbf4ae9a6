"""Sources that are Kafka topics of other JSON: commerce systems' messages, change data capture."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, Message, TopicPartition

from pipeline.collector.collecting import Collecting
from pipeline.collector.incoming import Incoming
from pipeline.collector.sources_file import Source
from pipeline.kafka.clients import describe, security_config
from pipeline.kafka.records import readable_headers
from pipeline.settings import KafkaSettings

logger = logging.getLogger(__name__)
_MOST_AT_ONCE: Final = 200
_WAIT_S: Final = 0.5
_PAUSE_S: Final = 2.0
_NOT_TAKEN: Final = 503


class TopicReader:
    """Reads one topic in a group of its own; several collectors share its partitions.

    A message is committed after what it became is in Kafka: one that was read twice is a copy.
    """

    def __init__(self, source: Source, collecting: Collecting, kafka: KafkaSettings) -> None:
        self._source, self._collecting = source, collecting
        self._config = security_config(kafka) | {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"{kafka.group}-collector-{source.name}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest",
        }
        self._is_over = False

    def stop(self) -> None:
        """End after what is under way."""
        self._is_over = True

    async def run(self) -> None:
        """Until it is told to stop. Whatever goes wrong is logged, and it goes on."""
        consumer = Consumer(self._config)
        consumer.subscribe([self._source.settings.topic])
        try:
            while not self._is_over:
                try:
                    await self._turn(consumer)
                except Exception as error:
                    logger.error("source %s: %s: %s", self._source.name, type(error).__name__, describe(error))
                    await asyncio.sleep(_PAUSE_S)
        finally:
            await asyncio.to_thread(consumer.close)

    async def _turn(self, consumer: Consumer) -> None:
        messages = await asyncio.to_thread(consumer.consume, _MOST_AT_ONCE, _WAIT_S)
        for message in messages:
            if (error := message.error()) is not None:
                logger.error("source %s: %s", self._source.name, error.str())
        good = [message for message in messages if message.error() is None]
        if good and await self._take(good):
            await asyncio.to_thread(consumer.commit, offsets=_after(good), asynchronous=False)

    async def _take(self, messages: Sequence[Message]) -> bool:
        """Whether all of it is in Kafka; not where it was told to stop before."""
        left = [self._request(message) for message in messages if message.value()]
        while left:
            replies = await asyncio.gather(
                *(self._collecting.take(self._source, request, is_known=True) for request in left)
            )
            left = [request for request, reply in zip(left, replies, strict=True) if reply.status == _NOT_TAKEN]
            if left and self._is_over:
                return False
        return True

    def _request(self, message: Message) -> Incoming:
        headers = {
            name.lower(): value.decode("utf-8", "replace")
            for name, value in readable_headers(message)
            if isinstance(value, bytes)
        }
        value, (kind, at_ms) = message.value() or b"", message.timestamp()
        # The same at each reading, whoever reads it.
        received_ms = time.time_ns() // 1_000_000 if kind == TIMESTAMP_NOT_AVAILABLE else at_ms
        return Incoming("POST", "/", {}, headers, bytes(value), received_ms)


def _after(messages: Sequence[Message]) -> list[TopicPartition]:
    """Where each partition is to be read on."""
    ends = {(one.topic() or "", one.partition() or 0): (one.offset() or 0) + 1 for one in messages}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()]
