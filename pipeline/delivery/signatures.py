"""Signatures of webhooks, after the Standard Webhooks specification 1.0.0: who receives one can check it.

The signed text is ``id.timestamp.body``, the signature HMAC-SHA-256 in Base64 with ``v1,`` before it. Three
headers carry the id (the message's: the same at each sending), the time of sending in seconds and the signature.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from schemas.cloudevents import printable_rest

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
_VERSION: Final = "v1"
_PREFIX: Final = "whsec_"
TOLERANCE_S: Final = 300.0
"""A sending that is older (or newer) than this is taken for a replay by an attacker."""


class SignatureError(ValueError):
    """The request was not signed with this secret, or is not of now."""


def key_of(secret: str) -> bytes:
    """The key of a secret as both sides have it: Base64 after ``whsec_``, as the standard has it, or the text.

    Raises ValueError.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)


def signed_headers(secret: bytes, message_id: str, at_s: float, body: bytes) -> dict[str, str]:
    """The headers of one sending. ``at_s``: seconds since the epoch."""
    timestamp, sent_id = str(int(at_s)), printable_rest(message_id)
    return {
        ID: sent_id,
        TIMESTAMP: timestamp,
        SIGNATURE: f"{_VERSION},{_signature(secret, sent_id, timestamp, body)}",
    }


def check(secret: bytes, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Give the id of a request that is in order. Raises SignatureError.

    ``secret``: see :func:`key_of`. ``headers``: by name in lower case. Several signatures, separated by blanks,
    may stand there while a secret is changed.
    """
    try:
        message_id, timestamp, given = headers[ID], headers[TIMESTAMP], headers[SIGNATURE]
        age_s = abs(now_s - int(timestamp))
        expected = f"{_VERSION},{_signature(secret, message_id, timestamp, body)}".encode()
        signatures = [one.encode() for one in given.split()]
    except KeyError as error:
        raise SignatureError(f"there is no header {error}") from error
    except (ValueError, OverflowError) as error:
        raise SignatureError("a header is not as it should be") from error
    if age_s > TOLERANCE_S:
        raise SignatureError(f"sent {age_s:.0f} s from now")
    if not any(hmac.compare_digest(one, expected) for one in signatures):
        raise SignatureError("no signature is of this secret")
    return message_id


def _signature(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
