"""Dead letters: message and row."""

from collections.abc import Sequence
from typing import Any

from pipeline.model.records import DeadLetter
from pipeline.model.source import Source
from pipeline.outputs.outgoing import Outgoing, Output, base64_text, columns_of
from schemas.cloudevents import headers
from schemas.deadletters import DEADLETTER_TYPE, DEADLETTERS_TOPIC, dead_letter_id
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import DEAD_LETTERS


def letters_output(source: Source, letters: Sequence[DeadLetter]) -> Output:
    """Of records of a source that are no events, and of what came out and was refused."""
    messages = [letter_message(source, letter) for letter in letters]
    rows = [letter_row(source, letter) for letter in letters]
    return Output(DEADLETTERS_TOPIC, messages, DEAD_LETTERS, columns_of(rows))


def letter_message(source: Source, letter: DeadLetter) -> Outgoing:
    """The message of :class:`schemas.deadletters.DeadLetterMessage`."""
    topic, partition = source
    event_id = dead_letter_id(topic, partition, letter.offset)
    body = {
        "schema_version": SCHEMA_VERSION,
        "id": event_id,
        "received_at": format_rfc3339(letter.received_ms),
        "topic": topic,
        "partition": partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "error": letter.error,
        "payload": base64_text(letter.payload),
        "size": letter.size,
        "sha256": letter.sha256,
    }
    return Outgoing(body, headers(DEADLETTER_TYPE, event_id), key=topic)


def letter_row(source: Source, letter: DeadLetter) -> tuple[Any, ...]:
    """The row of the table ``dead_letters``, in the order of its columns."""
    where = (letter.received_ms, *source, letter.offset)
    return (*where, str(letter.reason), letter.error, letter.payload, letter.size, letter.sha256)
