"""What each kind of source is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pipeline.collector.bodies import Body
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.tables import Field, Table


class Reply(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})


OK: Final = Reply(200, b'{"success":true}')


class NotTakenApartError(ValueError):
    """The content is not what this kind of source sends; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of source: a vendor's, or a protocol that several speak."""

    name: str
    table: Table
    take_apart: Callable[[Incoming, Body], Apart]
    """Raises NotTakenApartError."""
    reply: Reply | Callable[[Incoming, Mapping[str, Any]], Reply] = OK
    """To a request whose events were taken."""
    scheme: str = ""
    """Of :data:`~pipeline.collector.signatures.SCHEMES`; empty: its requests are not signed."""
    keys_of: Callable[[Incoming, Body], list[str]] | None = None
    """The public keys that a request names; None: there are none."""
    secret_of: Callable[[Incoming], str] | None = None
    """What a server's request has to say beside its key, where the source has secrets."""
    hand_shake: Callable[[Incoming, Mapping[str, Any]], Reply | None] = lambda _request, _source: None
    """The answer to a request that brings no events."""
    consent: Callable[[Native], bool | None] = lambda _native: None
    """Whether the customer agreed; None where nothing is said."""
    has_own_sessions: bool = False
    """Its session ids tell nothing of the visitor."""
    user_agent: Field = "@user-agent"
    is_in_pages: bool = False
    """Scripts in pages of any origin send it."""
    constants: Mapping[str, Any] = field(default_factory=dict)

    def reply_to(self, request: Incoming, source: Mapping[str, Any]) -> Reply:
        """``source``: the constants of its configuration."""
        return self.reply if isinstance(self.reply, Reply) else self.reply(request, source)
