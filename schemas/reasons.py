"""Why something was refused: the reason codes of dead letters."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CLOCK_ERROR: Final = "record's time"
"""How the error of a record begins that is refused by the wall clock of its reading."""


class Reason(StrEnum):
    """Reason codes, in the order in which the checks are made."""

    INVALID = "invalid"
    """Not a touchpoint event: size, UTF-8, JSON, fields, types, ranges. ``error`` names the field."""
    WRONG_TOPIC = "wrong_topic"
    """A sound event, but its channel is not the topic's."""
    IN_FUTURE = "in_future"
    """``occurred_at`` over 5 min past the record's timestamp, or that over 5 min past its fetch."""
    TOO_LATE = "too_late"
    """Further behind its partition's watermark than the allowed lateness."""
    ROW_REJECTED = "row_rejected"
    """No input: a row of ours that ClickHouse refuses for good. The payload is the row as JSON."""
    UNDELIVERABLE = "undeliverable"
    """No input: a message of ours that a webhook's receiver, or Kafka, did not take. The payload is the
    message."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not accepted. ``error`` says which field, what is wrong and what was found."""

    reason: Reason
    error: str
