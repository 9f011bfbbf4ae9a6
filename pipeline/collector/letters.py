"""What cannot be mapped: a dead letter with the request as it came, and the way back from one."""

import re
from collections.abc import Container, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from pipeline.collector.incoming import Incoming
from pipeline.collector.intake import EVERY
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
    "sentat",
    "user-agent",
)
_SECRET: Final = re.compile(r"(?i)((?:key|secret|token|password|signature)[^=&]*=)[^&]*")
_MARK: Final = " [request: "
_REQUEST: Final = re.compile(r"([A-Z]+) (/\S*?)(\?\S*)?((?: [a-z-]+=\S*)*)\]")
_LONGEST_TOLD: Final = 300
_EVENTS: Final = "events"


class Kept(NamedTuple):
    """What a letter leads back to."""

    request: Incoming
    only: Container[int]
    """Which events of it had failed."""


def source_of(name: str) -> tuple[str, int]:
    """What stands in the place of topic and partition."""
    return f"{COLLECTOR_TOPIC_PREFIX}{name}", 0


def letter_of(request: Incoming, error: str, customer_key: bytes, places: Sequence[int] = ()) -> DeadLetter:
    """Its payload is the body byte for byte, or the query where there is none, without what is secret in it.

    ``places``: which events of the request had failed; none: the request as a whole.
    """
    payload = request.raw or _SECRET.sub(r"\1…", request.query_text).encode("utf-8", "surrogatepass")
    refusal = Refusal(Reason.INVALID, f"{error}{_MARK}{_told(request, places, bool(customer_key))}]")
    return DeadLetter.of(place_of(payload), request.received_ms, refusal, payload, customer_key)


def _told(request: Incoming, places: Sequence[int], is_private: bool) -> str:
    # A question mark alone: the query is the payload. Under a key for customers nothing of it is told.
    query = "" if is_private or not request.query_text else _SECRET.sub(r"\1…", request.query_text)
    mark = f"?{query}" if query and request.raw else "" if request.raw else "?"
    told = {name: request.headers[name][:_LONGEST_TOLD] for name in _TELLING if name in request.headers}
    if places:
        told[_EVENTS] = ",".join(map(str, places))
    return f"{request.method} {request.path}{mark}" + "".join(
        f" {name}={quote(value, safe='/,;:()+.')}" for name, value in told.items()
    )


def error_of_the_rest(error: str, problems: str, places: Sequence[int]) -> str:
    """The error of a letter of which only these events fail still; ``problems``: why."""
    _, mark, rest = error.rpartition(_MARK)
    told = re.sub(f" {_EVENTS}=[0-9,]*", "", rest.removesuffix("]")) if mark else "POST /"
    return f"{problems}{_MARK}{told} {_EVENTS}={','.join(map(str, places))}]"


def request_of(error: str, payload: bytes, received_ms: int) -> Kept:
    """The request of a letter, as far as it was told; where it was not, a POST to the source's own path."""
    _, mark, rest = error.rpartition(_MARK)
    match = _REQUEST.fullmatch(rest) if mark else None
    if match is None:
        return Kept(Incoming("POST", "/", {}, {}, payload, received_ms), EVERY)
    method, path, query, headers = match.groups()
    named = {name: unquote(value) for name, _, value in (one.partition("=") for one in headers.split())}
    places = named.pop(_EVENTS, "")
    only: Container[int] = {int(one) for one in places.split(",") if one.isdigit()} if places else EVERY
    text = (query or "").removeprefix("?")
    if query == "?":
        text, payload = payload.decode("utf-8", "replace"), b""
    return Kept(Incoming(method, path, dict(parse_qsl(text)), named, payload, received_ms, text), only)
