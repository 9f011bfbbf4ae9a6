from collections.abc import Container, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message

from pipeline.model.records import Record
from pipeline.model.source import Source

def sort_in(
    messages: list[Message], wanted: Container[Source], grouped: dict[Source, Any]
) -> list[tuple[Source, KafkaError, int]]: ...
def earliest_ms(records: Sequence[Record]) -> int | None: ...
