from collections.abc import Container

from confluent_kafka import KafkaError, Message

from pipeline.core.records import Record
from pipeline.kafka.logs import Source

def by_source(
    messages: list[Message], wanted: Container[Source]
) -> tuple[dict[Source, list[Record]], list[tuple[Source, KafkaError]]]: ...
