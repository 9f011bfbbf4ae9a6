"""What a browser has to be told before it lets a page of another origin send.

What is asked for is mirrored: SDKs add headers when they try again, and a fixed list would lose just the retried
events; a star covers neither ``Authorization`` nor requests with credentials.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_MAX_AGE_S: Final = "3600"


def answer_headers(origins: Sequence[str], headers: Mapping[str, str]) -> dict[str, str]:
    """Of any answer, errors included; empty where the page may not send or there is none."""
    origin = headers.get("origin")
    if origin is None or not ("*" in origins or origin in origins):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }


def preflight_headers(origins: Sequence[str], headers: Mapping[str, str]) -> dict[str, str]:
    """Of the answer to a preflight; empty where the page may not send."""
    allowed = answer_headers(origins, headers)
    if not allowed:
        return {}
    return allowed | {
        "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
        "Access-Control-Allow-Headers": headers.get("access-control-request-headers", "content-type"),
        "Access-Control-Max-Age": _MAX_AGE_S,
    }
