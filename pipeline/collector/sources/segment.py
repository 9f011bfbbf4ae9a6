"""Segment's tracking API, which RudderStack, Jitsu and many mobile SDKs speak as well.

Single events (``/v1/track``, in browsers ``/v1/t``) and batches. Sources: Segment's "HTTP tracking API" and
"E-commerce events" specifications; RudderStack's HTTP API; the SDKs' own requests.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import digest, text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.signatures import basic_user
from pipeline.collector.sources.shapes import time_or_none
from pipeline.collector.sources.vocabulary import commerce_rules, snake_case
from pipeline.collector.tables import Rule, Table

_APP: Final = re.compile(
    r"analytics-(ios|kotlin|swift|android|react-native|flutter)|rudder-(ios|android|react)", re.I
)
_SERVER: Final = re.compile(r"node|python|ruby|golang|analytics-go|java\b|php|\.net|server", re.I)
_SHORT: Final = {"t": "track", "p": "page", "s": "screen", "i": "identify", "g": "group", "a": "alias"}
_TYPES: Final = frozenset({"track", "page", "screen", "identify", "group", "alias"})
_ANSWER: Final = {
    "survey": "properties.survey | lower",
    "score": "properties.score | num",
    "scale": "properties.scale | num",
}


def _kind(native: Native) -> str:
    kind = native.event.get("type")
    if kind == "track":
        return str(native.event.get("event", ""))
    return str(kind)


def _event_id(native: Native) -> str:
    """The SDK's; without one the content stands for it, and without a time the second of its receipt."""
    event = native.event
    own = event.get("messageId")
    if own:
        return text_of(own)
    has_time = event.get("timestamp") or event.get("originalTimestamp")
    when = "" if has_time else f"{native.request.received_ms // 1_000}:{native.index}"
    return digest(f"{json.dumps(event, sort_keys=True)}{when}")


def _session(native: Native) -> str | None:
    """The SDK's session where it has one. Segment's browser SDK has none: then a visitor's UTC day."""
    event = native.event
    own, visitor = found(event, ("context", "sessionId")), event.get("anonymousId") or event.get("userId")
    if isinstance(own, str) and not own.isdigit():
        return own
    if own is not None and visitor:
        return f"{visitor}.{text_of(own)}"  # only a time: it needs whose it is
    own = found(event, ("properties", "session_id"))
    if own is not None:
        return text_of(own)
    return f"{visitor}.{native.day}" if visitor else None


def _channel(native: Native) -> str:
    library = str(found(native.event, ("context", "library", "name")) or "")
    is_app = native.event.get("channel") == "mobile" or _APP.search(library) is not None
    return "app" if is_app else str(native.source.get("channel", "web"))


def _device(native: Native) -> str | None:
    own = found(native.event, ("context", "device", "type"))
    if own is not None:
        kind = text_of(own).lower()
        return "mobile" if kind in ("ios", "android") else kind
    if found(native.event, ("context", "userAgentData", "mobile")) is True:
        return "mobile"
    return device_of(str(found(native.event, ("context", "userAgent")) or ""))


def _consent(native: Native) -> bool | None:
    given = found(native.event, ("context", "consent", "categoryPreferences"))
    if isinstance(given, Mapping):
        wanted = native.source.get("consent_categories") or given.keys()
        said = [given[one] for one in wanted if one in given]
        return all(one is True for one in said) if said else None
    denied = found(native.event, ("context", "consentManagement", "deniedConsentIds"))
    if isinstance(denied, list):
        wanted = native.source.get("consent_categories")
        return not (set(map(str, denied)) & set(wanted) if wanted else denied)
    return None


def _take_apart(request: Incoming, body: Body) -> Apart:
    if body.kind is not Kind.JSON or not isinstance(body.content, dict):
        raise NotTakenApartError('a JSON object is wanted: an event, or {"batch": […]}')
    content = body.content
    batch = content.get("batch")
    events = batch if isinstance(batch, list) else [content]
    last = request.path.rstrip("/").rpartition("/")[2]
    by_path = _SHORT.get(last, last)
    context = content.get("context") if batch is not None else None
    for event in events:
        if not isinstance(event, dict):
            raise NotTakenApartError("batch: each of it is a JSON object")
        if event.get("type") not in _TYPES and by_path in _TYPES:
            event["type"] = by_path
        if isinstance(context, dict):
            own = event.get("context")
            event["context"] = {**context, **(own if isinstance(own, dict) else {})}
    first = events[0] if events else {}
    library = str(found(first, ("context", "library", "name")) or "")
    is_server = first.get("channel") == "server" or _SERVER.search(library) is not None
    sent = content.get("sentAt") or first.get("sentAt") or request.headers.get("sentat")
    return Apart(events, content if batch is not None else {}, time_or_none(sent), is_server)


def _keys(request: Incoming, body: Body) -> list[str]:
    content = body.content if isinstance(body.content, dict) else {}
    batch = content.get("batch")
    first = batch[0] if isinstance(batch, list) and batch else content
    named = (
        basic_user(request.headers.get("authorization", ""))[0],
        request.headers.get("x-write-key"),
        request.query.get("writeKey") or request.query.get("writekey"),
        content.get("writeKey"),
        first.get("writeKey") if isinstance(first, dict) else None,
    )
    return [one for one in named if isinstance(one, str) and one]


def _hand_shake(request: Incoming, source: Mapping[str, Any]) -> Reply | None:
    """RudderStack's SDK asks for its configuration, and sends nothing without it."""
    if request.method != "GET" or not request.path.rstrip("/").endswith("/sourceConfig"):
        return None
    name, key = str(source.get("source", "")), request.query.get("writeKey", "")
    own = {
        "id": name,
        "name": name,
        "writeKey": key,
        "enabled": True,
        "workspaceId": "cx-signals",
        "config": {},
        "destinations": [],
        "dataplanes": {},
    }
    return Reply(200, json.dumps({"source": own}).encode())


TABLE: Final = Table(
    kind=_kind,
    name=snake_case,
    rules={
        "page": [Rule("page_viewed")],
        "screen": [Rule("page_viewed")],
        "survey_answered": [Rule("survey_answered", _ANSWER)],
        **commerce_rules(),
    },
    fields={
        "event_id": _event_id,
        "occurred_at": "timestamp | iso ?? originalTimestamp | iso",
        "channel": _channel,
        "session_id": _session,
        "customer_id": "userId | str",
        "visitor_id": "anonymousId | str",
        "device": _device,
        "campaign": "context.campaign.name | str ?? context.page.url | query(utm_campaign)",
        "step": "properties.step | str",
        "sku": "properties.sku | str ?? properties.product_id | str",
        "quantity": "properties.quantity | num",
    },
)


def _family(name: str, reply: Reply) -> Family:
    return Family(
        name,
        TABLE,
        _take_apart,
        reply,
        keys_of=_keys,
        hand_shake=_hand_shake,
        consent=_consent,
        user_agent="context.userAgent ?? @user-agent",
        is_in_pages=True,
    )


FAMILIES: Final = (
    _family("segment", Reply(200, b'{"success":true}')),
    _family("rudderstack", Reply(200, b'"OK"')),
    _family("jitsu", Reply(200, b'{"ok":true}')),
)
