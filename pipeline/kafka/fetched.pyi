from collections.abc import Container, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message

from pipeline.core.records import Record
from pipeline.kafka.logs import Source

def sort_in(
    messages: list[Message], wanted: Container[Source], grouped: dict[Source, Any]
) -> list[tuple[Source, KafkaError, int]]: ...
def earliest_ms(records: Sequence[Record]) -> int | None: ...
