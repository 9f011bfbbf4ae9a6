"""What is read of a request, and one event of it on its way to a touchpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, final

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came, below the path of its source."""

    method: str
    path: str
    """With a slash at its beginning; what follows the source's own path."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By name in lower case."""
    raw: bytes
    """The body, byte for byte: what is signed and what a dead letter keeps."""
    received_ms: int
    """Milliseconds since the epoch."""
    query_text: str = ""
    """As it stands in the address, without the question mark."""


@dataclass(slots=True)
class Apart:
    """A request taken apart."""

    events: list[Any]
    """Each event as the sender has it."""
    batch: Mapping[str, Any] = field(default_factory=dict)
    """What is said once for all of them."""
    sent_ms: int | None = None
    """The sender's clock at the time of sending; None where it does not say."""
    is_trusted: bool = False
    """A server sent it: its times are taken as they are."""


@final
class Native:
    """One event in its sender's words, with what stands around it. What expressions are computed from."""

    __slots__ = ("at_ms", "batch", "event", "index", "request", "source")

    def __init__(
        self, event: Any, batch: Mapping[str, Any], request: Incoming, source: Mapping[str, Any], index: int
    ) -> None:
        """``source``: the constants that its configuration gives. ``index``: in the request, from 0."""
        self.event = event
        self.batch = batch
        self.request = request
        self.source = source
        self.index = index
        self.at_ms = request.received_ms
        """The event's time, as soon as it is known."""

    @property
    def day(self) -> str:
        """Of the event, UTC: ``20261129``."""
        return _day(self.at_ms // _DAY_MS)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * _DAY_MS / 1000, UTC).strftime("%Y%m%d")
