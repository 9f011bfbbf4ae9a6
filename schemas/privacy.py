"""Customer ids as pseudonyms: a keyed HMAC in their place, before anything is stored.

The same customer has the same pseudonym as long as the key is the same, so journeys can be counted by
customer; without the key nobody can tell or try out whose it is. HMAC-SHA-256 (RFC 2104), cut to 128 bits.
"""

import hashlib
import hmac
import json
import re
from typing import Any, Final

_FIELD: Final = "customer_id"
_FOUND: Final = re.compile(r"\bfound .*", re.DOTALL)
_HIDDEN: Final = "(not shown)"
_MOST_KEPT: Final = 100_000


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
        """A record with its customer ids replaced; empty where it is no JSON object: any could hide in it."""
        try:
            message = json.loads(payload)
            return json.dumps(self._replaced(message)).encode() if isinstance(message, dict) else b""
        except (ValueError, RecursionError):
            return b""

    def in_error(self, error: str) -> str:
        """An error that may say what was found in the field, or in a message that is no event, without it."""
        may_tell = _FIELD in error or error.startswith("message:")
        return _FOUND.sub("found what is not shown", error) if may_tell else error

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._of_field(name, one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._replaced(one) for one in value]
        # A message within a message, as text.
        return _HIDDEN if isinstance(value, str) and _FIELD in value else value

    def _of_field(self, name: str, value: Any) -> Any:
        if name != _FIELD:
            return self._replaced(value)
        if isinstance(value, str):
            return self.of(value)
        return None if value is None else _HIDDEN


def _bytes(text: str) -> bytes:
    # Half a character, as cut-off emoji leave it, has no UTF-8 of its own.
    return text.encode(errors="surrogatepass")
