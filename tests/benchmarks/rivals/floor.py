"""The floor: what reading from Kafka and decoding costs with nothing else done.

confluent-kafka in batches of 5,000 from all partitions, assigned by hand, with the pipeline's own fetch
settings; ``msgspec`` decodes each value into a struct of plain types. No Python program that reads these
events one message at a time and knows their fields costs less.
"""

import os
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from pipeline.kafka.clients import consumer_config
from pipeline.settings import KafkaSettings
from tests.benchmarks.rivals.measure import TOPICS, Clock, options

_BATCH = 5_000


class Touchpoint(msgspec.Struct):
    """The fields of a touchpoint event."""

    event_id: str
    type: str
    occurred_at: str
    channel: str
    session_id: str
    customer_id: str | None = None
    store_id: str | None = None
    region: str | None = None
    device: str | None = None
    campaign: str | None = None
    value: float | None = None
    currency: str | None = None
    step: str | None = None
    survey: str | None = None
    score: float | None = None
    scale: float | None = None
    attributes: dict[str, Any] | None = None


def main() -> None:
    given = options(__doc__)
    consumer = Consumer(consumer_config(KafkaSettings(bootstrap_servers=given.bootstrap), f"floor-{os.getpid()}"))
    consumer.assign(_beginnings(consumer))
    decode = msgspec.json.Decoder(Touchpoint).decode
    clock, decoded = Clock(given.events), 0
    while decoded < given.events:
        messages = consumer.consume(num_messages=_BATCH, timeout=1.0)
        for message in messages:
            if (error := message.error()) is None:
                decode(message.value())  # type: ignore[arg-type] # every event has a value
                decoded += 1
            elif error.code() != KafkaError._PARTITION_EOF:
                raise RuntimeError(error.str())
        if not clock.is_running and decoded:
            clock.start(seen=decoded)
    clock.print_result(decoded=decoded)
    os._exit(0)


def _beginnings(consumer: Consumer) -> list[TopicPartition]:
    found = consumer.list_topics(timeout=10).topics
    return [
        TopicPartition(topic, partition, OFFSET_BEGINNING)
        for topic in TOPICS
        for partition in found[topic].partitions
    ]


if __name__ == "__main__":
    main()
