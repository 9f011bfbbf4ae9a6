"""Kafka headers of output messages: CloudEvents 1.0, Kafka protocol binding, binary mode."""

from functools import lru_cache
from typing import Final

Headers = list[tuple[str, bytes]]

SOURCE: Final = b"/cx-signals"
_FIXED: Final[Headers] = [
    ("ce_specversion", b"1.0"),
    ("ce_source", SOURCE),
    ("content-type", b"application/json"),
]


def headers(kind: str, event_id: str) -> Headers:
    """Headers of one message; ``event_id`` is unique within the source and the same at each sending."""
    return [*_of_kind(kind), ("ce_id", event_id.encode())]


@lru_cache(maxsize=64)
def _of_kind(kind: str) -> tuple[tuple[str, bytes], ...]:
    return (*_FIXED, ("ce_type", kind.encode()))
