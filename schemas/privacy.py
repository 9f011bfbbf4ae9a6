"""Customer ids as pseudonyms: a keyed HMAC in their place, before anything is stored.

The same customer has the same pseudonym as long as the key is the same, so journeys can be counted by
customer; without the key nobody can tell or try out whose it is. HMAC-SHA-256 (RFC 2104), cut to 128 bits.
"""

import hmac
import json
import re
from typing import Final

_FIELD: Final = "customer_id"
# A string that never closes (the message was cut) counts up to the end, and so does what is no plain value.
_IN_JSON: Final = re.compile(rb'("customer_id"\s*:\s*)("(?:[^"\\]++|\\.)*+"?|[\[{].*|[^\s,}\]"]+)', re.DOTALL)
_FOUND: Final = re.compile(r"\bfound .*", re.DOTALL)
_MOST_KEPT: Final = 100_000


def pseudonym(key: bytes, customer_id: str) -> str:
    """32 hexadecimal digits."""
    return hmac.digest(key, customer_id.encode(), "sha256")[:16].hex()


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
        """A message that may be no JSON at all, its customer ids replaced wherever the field's name stands."""
        return _IN_JSON.sub(self._replaced, payload)

    def in_error(self, error: str) -> str:
        """An error that may say what was found in the field, or in a message that is no event, without it."""
        may_tell = _FIELD in error or error.startswith("message:")
        return _FOUND.sub("found what is not shown", error) if may_tell else error

    def _replaced(self, found: re.Match[bytes]) -> bytes:
        text = found[2].decode(errors="replace")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if value is None:
            return found[0]
        return found[1] + b'"' + self.of(value if isinstance(value, str) else text).encode() + b'"'
