"""Ids of customers and visitors as pseudonyms: a keyed HMAC in their place, before anything is stored.

The same customer has the same pseudonym as long as the key is the same, so journeys can be counted by
customer; without the key nobody can tell or try out whose it is. HMAC-SHA-256 (RFC 2104), cut to 128 bits.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from schemas.derive import derive_fields
from schemas.events import TouchpointEvent
from schemas.times import parse_rfc3339

_PERSONS: Final = ("customer_id", "visitor_id")
_FOUND: Final = re.compile(r"\bfound .*", re.DOTALL)
_HIDDEN: Final = "(not shown)"
_MOST_KEPT: Final = 100_000
#: The contract's fields with what each may be; customers and attributes are treated by themselves.
_KEPT: Final[dict[str, Any]] = {
    field[0]: field[1] for field in derive_fields(TouchpointEvent) if field[0] not in (*_PERSONS, "attributes")
}
_KNOWN: Final = frozenset({*_KEPT, *_PERSONS})
#: Texts that the sender is free in.
_FREE: Final = frozenset(
    {"event_id", "session_id", "order_id", "store_id", "region", "device", "campaign", "step"}
)
_SHORTEST_TELLING: Final = 3


def pseudonym(key: bytes, customer_id: str) -> str:
    """32 hexadecimal digits."""
    return hmac.digest(key, _bytes(customer_id), "sha256")[:16].hex()


def fingerprint(key: bytes, record: bytes) -> str:
    """By which a record is known again: its SHA-256, or under a key its HMAC.

    A plain digest beside a record that lacks only the customer would let anybody try customers out.
    """
    return (hmac.digest(key, record, "sha256") if key else hashlib.sha256(record).digest()).hex()


class Pseudonyms:
    """Gives pseudonyms under one key, and keeps those asked for last."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._kept: dict[str, str] = {}

    def of(self, customer_id: str) -> str:
        found = self._kept.get(customer_id)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            found = self._kept[customer_id] = pseudonym(self._key, customer_id)
        return found

    def in_payload(self, payload: bytes) -> bytes:
        """Of a record the fields of the contract that hold what they should, customers replaced.

        Empty where it is no JSON object. Unknown fields and attributes may name a customer in any way, so none is
        kept; and where a text of the sender's own holds what these say it is not shown.
        """
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return b""
        if not isinstance(message, dict):
            return b""
        hidden = {text for name, value in message.items() if name not in _KEPT for text in _texts(value)}
        kept = {name: self._of_field(name, value, hidden) for name, value in message.items() if name in _KNOWN}
        return json.dumps(kept).encode()

    def in_error(self, error: str) -> str:
        """An error without what was found: any field may hold a customer's id by mistake."""
        return _FOUND.sub("found what is not shown", error)

    def _of_field(self, name: str, value: Any, hidden: set[str]) -> Any:
        if value is None:
            return None
        if name in _PERSONS:
            return self.of(value) if isinstance(value, str) else _HIDDEN
        try:
            msgspec.convert(value, _KEPT[name], strict=True)
            if name == "occurred_at":
                parse_rfc3339(value)
        except (msgspec.ValidationError, ValueError):
            return _HIDDEN
        is_free = isinstance(value, str) and name in _FREE
        return _HIDDEN if is_free and any(_is_in(text, value) for text in hidden) else value


def _texts(value: Any) -> Iterator[str]:
    """All texts and numbers in a JSON value."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield str(one)
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _is_in(hidden: str, text: str) -> bool:
    """Whether the text tells what is hidden; a letter or two that are in it too tell nothing."""
    return hidden == text or (len(hidden) >= _SHORTEST_TELLING and hidden in text)


def _bytes(text: str) -> bytes:
    # Half a character, as cut-off emoji leave it, has no UTF-8 of its own.
    return text.encode(errors="surrogatepass")
