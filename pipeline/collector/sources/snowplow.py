"""Snowplow's tracker protocol: ``tp2`` by POST, ``/i`` by GET; page views, e-commerce, forms, searches, errors.

Source: Snowplow's documentation of the tracker protocol and its public Iglu schemas; the trackers' own requests.
"""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import base64_json, json_of, number_of, text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.tables import TIME_IS_TRUE, Rule, Table

_SCHEMA: Final = re.compile(r"iglu:([\w.-]+)/([\w-]+)/jsonschema/(\d+)-")
_GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
#: Trackers in servers that do not say so themselves, by the beginning of their version.
_SERVERS: Final = ("py-", "node-", "java-", "rb-", "php-", "golang-", "dotnet-")
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_ACTION: Final = "snowplow_ecommerce_action"
#: Where an event's own data and its entities stand, once unpacked.
_DATA, _ENTITIES = "$data", "$entities"
_LINES: Final = {
    "value": f"{_ENTITIES}.product | lines(price)",
    "currency": f"{_ENTITIES}.product[0].currency | upper",
}
_CART: Final = {
    "value": f"{_ENTITIES}.cart[0].total_value | num",
    "currency": f"{_ENTITIES}.cart[0].currency | upper",
}
_STEP: Final = {"step": f"{_ENTITIES}.checkout_step[0].step | str"}
_PAID: Final = {
    "value": f"{_ENTITIES}.transaction[0].revenue | num",
    "currency": f"{_ENTITIES}.transaction[0].currency | upper",
    "order_id": f"{_ENTITIES}.transaction[0].transaction_id | str",
}
_REFUND: Final = {
    "value": f"{_ENTITIES}.refund[0].refund_amount | num",
    "currency": f"{_ENTITIES}.refund[0].currency | upper",
    "order_id": f"{_ENTITIES}.refund[0].transaction_id | str",
}
_LEGACY: Final = {"value": "tr_tt | num", "currency": "tr_cu | upper", "order_id": "tr_id | str"}
_FIELD: Final = {"step": f"{_DATA}.elementId | cap(64) ?? {_DATA}.formId | cap(64)"}


def _kind(native: Native) -> str:
    kind = str(native.event.get("e", ""))
    if kind != "ue":
        return kind
    name = str(native.event.get("$name", ""))
    return f"{name}:{found(native.event, (_DATA, 'type'))}" if name == _ACTION else name


def _session(native: Native) -> str | None:
    """The tracker's; servers mostly have none: then a day of whoever it is."""
    own = native.event.get("sid") or found(native.event, (_ENTITIES, "client_session", 0, "sessionId"))
    if own:
        return text_of(own)
    whose = native.event.get("duid") or native.event.get("uid")
    return f"{text_of(whose)}.{native.day}" if whose else None


def _visitor(native: Native) -> str | None:
    own = native.event.get("duid") or found(native.event, (_ENTITIES, "client_session", 0, "userId"))
    return None if own in (None, _NOBODY) else text_of(own)


def _channel(native: Native) -> str:
    return "app" if native.event.get("p") == "mob" else str(native.source.get("channel", "web"))


def _device(native: Native) -> str | None:
    agent = native.event.get("ua") or native.request.headers.get("user-agent", "")
    return None if native.event.get("p") == "srv" else device_of(str(agent))


def _time(native: Native) -> int | None:
    """The true time where one is given, else the one of creation; both in milliseconds."""
    own = native.event.get("ttm") or native.event.get("dtm")
    return int(number_of(own)) if own else None


def _is_true(native: Native) -> bool:
    return bool(native.event.get("ttm"))


def _take_apart(request: Incoming, body: Body) -> Apart:
    if body.kind is Kind.EMPTY:
        if not request.query.get("e"):
            raise NotTakenApartError("no event: neither a body nor a parameter e")
        events: Sequence[Any] = [dict(request.query)]
    else:
        data = body.content.get("data") if isinstance(body.content, dict) else None
        events = data if isinstance(data, list) else []
        if not events:
            raise NotTakenApartError('a JSON object with a list "data" is wanted')
    unpacked = [_unpacked(one, request.query if body.kind is not Kind.EMPTY else {}) for one in events]
    sent = unpacked[0].get("stm")
    is_server = unpacked[0].get("p") == "srv" or str(unpacked[0].get("tv", "")).startswith(_SERVERS)
    return Apart(unpacked, {}, _number_or_none(sent), is_server)


def _unpacked(event: Any, query: Mapping[str, str]) -> dict[str, Any]:
    """With the self-describing event and the entities by name. Parameters of the address win."""
    if not isinstance(event, dict):
        raise NotTakenApartError("data: each of it is a JSON object")
    event = {**event, **query}
    inner = _self_describing(event, "ue_pr", "ue_px")
    own = inner.get("data") if isinstance(inner, Mapping) else None
    if isinstance(own, Mapping):
        event["$name"], event[_DATA] = _name(own.get("schema")), own.get("data")
    entities: dict[str, list[Any]] = {}
    outer = _self_describing(event, "co", "cx")
    several = outer.get("data") if isinstance(outer, Mapping) else None
    for one in several if isinstance(several, list) else ():
        if isinstance(one, Mapping):
            entities.setdefault(_name(one.get("schema")), []).append(one.get("data"))
    event[_ENTITIES] = entities
    unpacked: dict[str, Any] = event
    return unpacked


def _self_describing(event: Mapping[str, Any], plain: str, packed: str) -> Any:
    try:
        if event.get(plain):
            return json_of(event[plain])
        return base64_json(event[packed]) if event.get(packed) else None
    except ValueError as error:
        raise NotTakenApartError(f"{plain} or {packed}: {error}") from error


def _name(schema: Any) -> str:
    """The name alone: of its version only the first number may change what it means."""
    match = _SCHEMA.match(schema) if isinstance(schema, str) else None
    return match[2] if match is not None and match[1].startswith("com.snowplowanalytics.") else str(schema)


def _number_or_none(value: Any) -> int | None:
    try:
        return int(number_of(value)) if value else None
    except ValueError:
        return None


def _keys(request: Incoming, body: Body) -> list[str]:
    named = [request.query.get("aid")]
    content = body.content if isinstance(body.content, dict) else {}
    data = content.get("data")
    named += [one.get("aid") for one in data[:1] if isinstance(one, dict)] if isinstance(data, list) else []
    return [one for one in named if isinstance(one, str) and one]


TABLE: Final = Table(
    kind=_kind,
    rules={
        "pv": [Rule("page_viewed")],
        "screen_view": [Rule("page_viewed")],
        "site_search": [Rule("products_searched")],
        "focus_form": [Rule("form_started", _FIELD)],
        "submit_form": [Rule("form_submitted", {"step": f"{_DATA}.formId | cap(64)"})],
        "application_error": [Rule("error_shown")],
        "tr": [Rule("order_completed", _LEGACY)],
        f"{_ACTION}:product_view": [Rule("product_viewed")],
        f"{_ACTION}:add_to_cart": [Rule("product_added", _LINES)],
        f"{_ACTION}:remove_from_cart": [Rule("product_removed", _LINES)],
        f"{_ACTION}:checkout_step": [
            Rule("checkout_started", _CART, {f"{_ENTITIES}.checkout_step[0].step | str": "1"}),
            Rule("checkout_step_viewed", _STEP),
        ],
        f"{_ACTION}:transaction": [Rule("order_completed", _PAID)],
        f"{_ACTION}:refund": [Rule("order_refunded", _REFUND)],
        f"{_ACTION}:trns_error": [
            Rule("error_shown", {"step": f"{_ENTITIES}.transaction_error[0].error_code | cap(64)"})
        ],
    },
    fields={
        "event_id": "eid | str",
        "occurred_at": _time,
        TIME_IS_TRUE: _is_true,
        "channel": _channel,
        "session_id": _session,
        "customer_id": "uid | str",
        "visitor_id": _visitor,
        "device": _device,
        "campaign": "url | query(utm_campaign)",
        "sku": f"{_ENTITIES}.product[0].id | str",
        "quantity": f"{_ENTITIES}.product[0].quantity | num",
    },
)


def _reply_to(request: Incoming, _source: Mapping[str, Any]) -> Reply:
    return Reply(200, _GIF, "image/gif") if request.method == "GET" else Reply(200, b"ok", "text/plain")


FAMILIES: Final = (
    Family(
        "snowplow",
        TABLE,
        _take_apart,
        _reply_to,
        keys_of=_keys,
        user_agent="ua ?? @user-agent",
        is_in_pages=True,
    ),
)
