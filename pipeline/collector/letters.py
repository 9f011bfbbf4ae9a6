"""What cannot be mapped: a dead letter with the request as it came, and the way back from one."""

import re
from typing import Final
from urllib.parse import parse_qsl

from pipeline.collector.incoming import Incoming
from pipeline.model.records import DeadLetter
from schemas.deadletters import COLLECTOR_TOPIC_PREFIX, place_of
from schemas.reasons import Reason, Refusal

#: Headers that say what a body is; none that proves who sent it.
_TELLING: Final = (
    "x-shopify-topic",
    "x-shopify-shop-domain",
    "x-shopify-webhook-id",
    "x-wc-webhook-topic",
    "content-encoding",
)
_SECRET: Final = re.compile(r"(?i)((?:key|secret|token|password|signature)[^=&]*=)[^&]*")
_MARK: Final = " [request: "
_REQUEST: Final = re.compile(r"([A-Z]+) (/\S*?)(?:\?(\S*))?((?: [a-z-]+='[^']*')*)\]")
_HEADER: Final = re.compile(r" ([a-z-]+)='([^']*)'")


def source_of(name: str) -> tuple[str, int]:
    """What stands in the place of topic and partition."""
    return f"{COLLECTOR_TOPIC_PREFIX}{name}", 0


def letter_of(request: Incoming, error: str, customer_key: bytes) -> DeadLetter:
    """Its payload is the body byte for byte, or the query where there is none."""
    payload = request.raw or request.query_text.encode("utf-8", "surrogatepass")
    refusal = Refusal(Reason.INVALID, f"{error}{_MARK}{_told(request)}]")
    return DeadLetter.of(place_of(payload), request.received_ms, refusal, payload, customer_key)


def _told(request: Incoming) -> str:
    # Without a body the query is the payload.
    query = "?" + _SECRET.sub(r"\1…", request.query_text) if request.query_text and request.raw else ""
    headers = "".join(f" {name}={request.headers[name]!r}" for name in _TELLING if name in request.headers)
    return f"{request.method} {request.path}{query}{headers}"


def request_of(error: str, payload: bytes, received_ms: int) -> Incoming:
    """The request of a letter, as far as it was told; where it was not, a POST to the source's own path."""
    _, mark, rest = error.rpartition(_MARK)
    match = _REQUEST.fullmatch(rest) if mark else None
    if match is None:
        return Incoming("POST", "/", {}, {}, payload, received_ms)
    method, path, query, headers = match.groups()
    if method == "GET" and query is None:
        query, payload = payload.decode("utf-8", "replace"), b""
    named = dict(_HEADER.findall(headers))
    return Incoming(method, path, dict(parse_qsl(query or "")), named, payload, received_ms, query or "")
