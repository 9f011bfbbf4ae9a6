"""What is taken of librdkafka's messages: compiled, for it is done for every one of them."""

from collections.abc import Container, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from pipeline.core.records import Record
from pipeline.kafka.logs import Source
from schemas.ticks import tick_time

_new_tuple: Final[Any] = tuple.__new__


def to_record(message: Message) -> Record:
    """The part of a Kafka message that phase one needs."""
    value = message.value()
    offset, timestamp_ms = message.offset() or 0, message.timestamp()[1]
    if value is not None:
        # A third of the time of Record(...), and there is one for every event.
        found: Record = _new_tuple(Record, (offset, timestamp_ms, value, None))
        return found
    headers = message.headers()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(offset, timestamp_ms, None, tick_time(pairs))


def by_source(
    messages: Sequence[Message], wanted: Container[Source]
) -> tuple[dict[Source, list[Record]], list[tuple[Source, KafkaError]]]:
    """Records of the partitions that are wanted, and errors of any."""
    grouped: dict[Source, list[Record]] = {}
    errors: list[tuple[Source, KafkaError]] = []
    topic, partition, records = "", -1, None  # of the message before: most come in runs
    for message in messages:
        if message.topic() != topic or message.partition() != partition:
            topic, partition = message.topic() or "", message.partition() or 0
            source = (topic, partition)
            records = grouped.setdefault(source, []) if source in wanted else None
        error = message.error()
        if error is not None:
            errors.append(((topic, partition), error))
        elif records is not None:
            records.append(to_record(message))
    return {source: records for source, records in grouped.items() if records}, errors


def earliest_ms(records: Sequence[Record]) -> int | None:
    """The earliest time of a record that is no tick; None where there is none with a time."""
    earliest = -1
    for record in records:
        at_ms = record.timestamp_ms
        if record.value is not None and at_ms >= 0 and (earliest < 0 or at_ms < earliest):
            earliest = at_ms
    return None if earliest < 0 else earliest
