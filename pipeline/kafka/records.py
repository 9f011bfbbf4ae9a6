"""What is taken of librdkafka's messages."""

from collections.abc import Container, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message

from pipeline.core.records import Record
from pipeline.kafka.logs import Source
from schemas.ticks import tick_time


def to_record(message: Message) -> Record:
    """The part of a Kafka message that phase one needs."""
    value = message.value()
    offset, timestamp_ms = message.offset() or 0, message.timestamp()[1]
    if value is not None:
        return Record(offset, timestamp_ms, value)
    return Record(offset, timestamp_ms, None, tick_time(readable_headers(message)))


def readable_headers(message: Message) -> list[tuple[str, Any]]:
    """The headers of a message; none where the name of any is not UTF-8.

    confluent-kafka makes a list with a hole of those and raises SystemError; asked once more, it hands the hole
    out and the process ends. So they are asked for once, here.
    """
    try:
        headers = message.headers()
    except (SystemError, UnicodeDecodeError):
        return []
    return list(headers.items() if isinstance(headers, dict) else headers or ())


def sort_in(
    messages: Sequence[Message], wanted: Container[Source], grouped: dict[Source, Any]
) -> list[tuple[Source, KafkaError, int]]:
    """Add records to those of their partitions, where these are wanted; gives the errors of any, each with its
    offset.

    What ``grouped`` holds are sequences of records, of one kind.
    """
    errors: list[tuple[Source, KafkaError, int]] = []
    for message in messages:
        source, error = (message.topic() or "", message.partition() or 0), message.error()
        if error is not None:
            errors.append((source, error, message.offset() or 0))
        elif source in wanted:
            grouped.setdefault(source, []).append(to_record(message))
    return errors


def earliest_ms(records: Sequence[Record]) -> int | None:
    """The earliest time of a record that is no tick; None where there is none with a time."""
    earliest = -1
    for record in records:
        at_ms = record.timestamp_ms
        if record.value is not None and at_ms >= 0 and (earliest < 0 or at_ms < earliest):
            earliest = at_ms
    return None if earliest < 0 else earliest
