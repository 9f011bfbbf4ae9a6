"""Messages on ``cx.deadletters``: input that was refused, with where it was and why."""

import hashlib
from typing import Annotated, Final, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from schemas.reasons import Reason
from schemas.times import parse_rfc3339
from schemas.versioning import SchemaVersion

DEADLETTERS_TOPIC: Final = "cx.deadletters"
DEADLETTER_TYPE: Final = "cx.deadletter"
#: Where the topic begins with this, the letter is a row of the table named after it.
ROW_TOPIC_PREFIX: Final = "clickhouse:"
#: Or a message of ours that Kafka refused, of the topic named after it.
MESSAGE_TOPIC_PREFIX: Final = "kafka:"
#: Or a message that a webhook's receiver did not take, of the webhook named after it.
HOOK_TOPIC_PREFIX: Final = "webhook:"
#: Or a request of which the collector could make no touchpoint, of the source named after it.
COLLECTOR_TOPIC_PREFIX: Final = "collector:"
#: No Kafka topic's name has it: letters with it are of no record of a topic.
OWN_MARK: Final = ":"
_OFFSET_BITS: Final = 52
"""As many as a JSON reader that knows only doubles keeps."""
#: So much of the payload is kept; the record itself stays at its offset in its topic.
KEPT_PAYLOAD_BYTES: Final = 65_536


class DeadLetterMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    id: str
    """``topic/partition/offset``."""
    received_at: str
    """RFC 3339."""
    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    reason: Reason
    error: str
    """Which field, what is wrong, what was found."""
    payload: str
    """Base64 of the first 64 KiB."""
    size: Annotated[int, Field(ge=0)]
    """Bytes of the whole payload."""
    sha256: str
    """Of the whole payload, hexadecimal; its HMAC-SHA-256 where customer ids are replaced under a key."""


class Letter(NamedTuple):
    """What is read of a dead letter by our own programs."""

    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    received_ms: int
    sha256: str


class _Read(msgspec.Struct):
    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    received_at: str
    sha256: str


def letter_of(value: bytes | None) -> Letter | None:
    """A dead letter; None for a record that is none of ours."""
    try:
        read = msgspec.json.decode(value or b"", type=_Read)
        received_ms = parse_rfc3339(read.received_at)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return Letter(read.topic, read.partition, read.offset, read.reason, read.error, received_ms, read.sha256)


def place_of(payload: bytes) -> int:
    """In place of an offset, for what was in no log: the same for the same bytes."""
    return int(hashlib.sha256(payload).hexdigest()[:16], 16) >> (64 - _OFFSET_BITS)


def dead_letter_id(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}/{offset}"
