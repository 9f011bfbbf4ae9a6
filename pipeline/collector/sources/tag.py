"""A tag of our own for pages that have none: the script that is served, and what it sends."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, Kind
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.sources.shapes import time_or_none
from pipeline.collector.tables import Rule, Table
from schemas.events import EVENT_TYPES

_SCRIPT: Final = Path(__file__).parents[1] / "tag.js"


@lru_cache(maxsize=1)
def script() -> tuple[bytes, str]:
    """The tag and what tells its version: its entity tag (RFC 9110)."""
    content = _SCRIPT.read_bytes()
    return content, f'"{sha256(content).hexdigest()[:16]}"'


def _hand_shake(request: Incoming, _source: Mapping[str, Any]) -> Reply | None:
    if request.method != "GET":
        return None
    if not request.path.endswith("/tag.js"):
        return Reply(404, b'{"error":"the script is at tag.js"}')
    content, tag = script()
    headers = {"ETag": tag, "Cache-Control": "public, max-age=300"}
    if tag in request.headers.get("if-none-match", ""):
        return Reply(304, headers=headers)
    return Reply(200, content, "text/javascript", headers)


def _take_apart(_request: Incoming, body: Body) -> Apart:
    content = body.content
    events = content.get("events") if isinstance(content, dict) else None
    is_list = body.kind is Kind.JSON and isinstance(events, list)
    if not is_list or not all(isinstance(one, dict) for one in events or ()):
        raise NotTakenApartError('the tag\'s JSON is wanted: a key and a list "events"')
    return Apart(events or [], content, time_or_none(content.get("sent_at")))


def _keys(_request: Incoming, body: Body) -> list[str]:
    key = body.content.get("key") if isinstance(body.content, dict) else None
    return [key] if isinstance(key, str) else []


def _consent(native: Native) -> bool | None:
    said = native.event.get("consent")
    return said if isinstance(said, bool) else None


_ANSWER: Final = {"survey": "survey | lower", "score": "score | num", "scale": "scale | num"}
TABLE: Final = Table(
    kind="type",
    rules={name: [Rule(name, _ANSWER if name == "survey_answered" else {})] for name in EVENT_TYPES},
    fields={
        "event_id": "event_id | str",
        "occurred_at": "occurred_at | iso",
        "channel": lambda native: str(native.source.get("channel", "web")),
        "session_id": "session_id | str",
        "customer_id": "customer_id | str",
        "visitor_id": "visitor_id | str",
        "order_id": "order_id | str",
        "device": lambda native: device_of(native.request.headers.get("user-agent", "")),
        "campaign": "campaign | str",
        "value": "value | num",
        "currency": "currency | upper",
        "step": "step | str",
        "sku": "sku | str",
        "quantity": "quantity | num",
        "region": "region | str",
        "store_id": "store_id | str",
    },
)
FAMILIES: Final = (
    Family(
        "tag",
        TABLE,
        _take_apart,
        Reply(200, b"{}"),
        keys_of=_keys,
        hand_shake=_hand_shake,
        consent=_consent,
        has_own_sessions=True,
        is_in_pages=True,
    ),
)
