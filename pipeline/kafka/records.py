"""What is taken of librdkafka's messages."""

import operator
from collections.abc import Container, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from pipeline.model.records import Record
from pipeline.model.source import Source
from schemas.ticks import tick_time

#: A call that looks at what it was given, however often it is made.
_headers_of: Final = operator.methodcaller("headers")


def to_record(message: Message) -> Record:
    """The part of a Kafka message that phase one needs."""
    value = message.value()
    offset, timestamp_ms = message.offset() or 0, message.timestamp()[1]
    if value is not None:
        return Record(offset, timestamp_ms, value)
    return Record(offset, timestamp_ms, None, tick_time(readable_headers(message)))


def readable_headers(message: Message) -> list[tuple[str, Any]]:
    """The headers of a message; none where the name of any is not UTF-8.

    confluent-kafka gives a list with a hole in it then, and leaves an error set. Called in the plain way Python
    takes no notice once the call is a frequent one, and the process ends at the hole; called like this it always
    looks, and raises SystemError. Asked once more it would give the hole: so they are asked for once, here.
    """
    try:
        headers = _headers_of(message)
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
