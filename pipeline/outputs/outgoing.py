"""What every output is made of: messages for a topic, and the same as rows for a table."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from schemas.cloudevents import Headers
from sinks.base import Columns


class Outgoing(NamedTuple):
    """One message to be sent: its JSON body, CloudEvents headers, and where it goes."""

    body: dict[str, Any] | msgspec.Struct
    headers: Headers
    key: str | None = None
    partition: int = -1
    """-1: by the key."""


class Output(NamedTuple):
    """Messages of a topic with the rows that say the same."""

    topic: str
    messages: Iterable[Outgoing]
    table: str | None
    """None: nothing of it is stored."""
    columns: Columns


def columns_of(rows: Sequence[Sequence[Any]]) -> Columns:
    """Rows to columns."""
    return [list(column) for column in zip(*rows, strict=True)]


def base64_text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()
