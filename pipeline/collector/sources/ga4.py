"""Google Analytics 4: the Measurement Protocol, the wire of its tag, and rows of its BigQuery export.

Source: Google's documentation of the Measurement Protocol and of the export's schema. How lists of items are
written on the tag's wire is not documented, so they are not read there: an event's value is what it says itself.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import digest, number_of, text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.tables import Rule, Table

_VALUE: Final = {
    "value": "params.value | num ?? params.items | lines(price)",
    "currency": "params.currency | upper",
}
_ORDER: Final = {**_VALUE, "order_id": "params.transaction_id | str"}
_RULES: Final = {
    "page_view": [Rule("page_viewed")],
    "screen_view": [Rule("page_viewed")],
    "search": [Rule("products_searched")],
    "view_search_results": [Rule("products_searched")],
    "view_item": [Rule("product_viewed")],
    "add_to_cart": [Rule("product_added", _VALUE)],
    "remove_from_cart": [Rule("product_removed", _VALUE)],
    "view_cart": [Rule("cart_viewed")],
    "begin_checkout": [Rule("checkout_started", _VALUE)],
    "add_shipping_info": [Rule("checkout_step_completed", {"step": "'shipping'"})],
    "add_payment_info": [Rule("payment_info_entered", {"step": "'payment'"})],
    "purchase": [Rule("order_completed", _ORDER)],
    "refund": [Rule("order_refunded", _ORDER)],
    "form_start": [Rule("form_started", {"step": "params.form_id | cap(64)"})],
    "form_submit": [Rule("form_submitted", {"step": "params.form_id | cap(64)"})],
    "exception": [Rule("error_shown")],
}
_ROW_ID: Final = (
    "stream_id",
    "user_pseudo_id",
    "event_timestamp",
    "event_name",
    "batch_page_id",
    "batch_ordering_id",
    "batch_event_index",
)
_FIELDS: Final = {
    "session_id": "'{client_id}.{params.session_id}'",
    "customer_id": "user_id | str",
    "visitor_id": "client_id | str",
    "sku": "params.items[0].item_id | str",
    "quantity": "params.items[0].quantity | num",
}


def _protocol_id(native: Native) -> str:
    """There is none: what an event says stands for it, with its time, or without one the second of its receipt:
    the same thing may well be done twice.
    """
    event = native.event
    place = event.get("timestamp_micros") or f"{native.request.received_ms // 1_000}:{native.index}"
    content = msgspec.json.encode(event.get("params"), order="deterministic").decode()
    return str(event.get("$id") or digest(f"{event.get('client_id')}:{event.get('name')}:{place}:{content}"))


def _protocol_time(native: Native) -> int | None:
    own = native.event.get("timestamp_micros")
    return int(number_of(own)) // 1_000 if own else None


def _channel(native: Native) -> str:
    is_app = bool(native.event.get("app_instance_id"))
    return "app" if is_app else str(native.source.get("channel", "web"))


def _take_apart(request: Incoming, body: Body) -> Apart:
    if body.kind is Kind.JSON and isinstance(body.content, dict):
        content = body.content
        events = content.get("events")
        if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
            raise NotTakenApartError("events: a list of JSON objects is wanted")
        whose = {
            "client_id": content.get("client_id") or content.get("app_instance_id"),
            "app_instance_id": content.get("app_instance_id"),
            "user_id": content.get("user_id"),
            "timestamp_micros": content.get("timestamp_micros"),
        }
        return Apart([{**whose, **one} for one in events], content, is_trusted=True)
    # Several hits are a line each, and share what the address says.
    hits = [dict(parse_qsl(line)) for line in _lines(body, request)] or [{}]
    if all({**request.query, **hit}.get("en") for hit in hits):
        return Apart([_from_wire({**request.query, **hit}) for hit in hits])
    raise NotTakenApartError('JSON with a list "events" is wanted, or a parameter en')


def _lines(body: Body, request: Incoming) -> list[str]:
    return request.raw.decode("utf-8", "replace").splitlines() if body.kind is Kind.FORM else []


def _from_wire(query: Mapping[str, str]) -> dict[str, Any]:
    params: dict[str, Any] = {"session_id": query.get("sid")}
    if query.get("cu"):
        params["currency"] = query["cu"]
    for name, value in query.items():
        if name.startswith(("ep.", "epn.")):
            params[name.partition(".")[2]] = value
    return {
        "name": query["en"],
        "client_id": query.get("cid"),
        "user_id": query.get("uid"),
        "params": params,
        "page": query.get("dl"),
        # The page's load and the hit's number in it tell hits apart; both are sent again as they were.
        "$id": digest(":".join((query.get("cid", ""), query.get("_p", ""), query.get("_s", ""), query["en"]))),
    }


def _consent(native: Native) -> bool | None:
    """``gcs``: the fourth letter is about analytics, 1 or 0."""
    state = native.request.query.get("gcs", "")
    return {"1": True, "0": False}.get(state[3:4])


def _keys(request: Incoming, _body: Body) -> list[str]:
    named = (request.query.get(name) for name in ("measurement_id", "firebase_app_id", "tid"))
    return [one for one in named if one]


def _row_id(native: Native) -> str:
    row = native.event
    return digest(":".join(str(row.get(name, "")) for name in _ROW_ID))


def _row(_request: Incoming, body: Body) -> Apart:
    """A row of the export: its parameters are a list of names with values of four types."""
    row = body.content
    if body.kind is not Kind.JSON or not isinstance(row, dict) or "event_name" not in row:
        raise NotTakenApartError("a row of the export is wanted: a JSON object with event_name")
    params: dict[str, Any] = {}
    for one in row.get("event_params") or ():
        if isinstance(one, Mapping) and isinstance(one.get("value"), Mapping):
            given = [one["value"].get(f"{kind}_value") for kind in ("string", "int", "float", "double")]
            params[str(one.get("key"))] = next((value for value in given if value is not None), None)
    params["items"] = row.get("items") or None
    session = params.get("ga_session_id")
    if session is not None:
        params["session_id"] = text_of(session)
    told = found(row, ("ecommerce", "purchase_revenue")) or found(row, ("ecommerce", "refund_value"))
    if told is not None:
        params["value"] = told
    order = found(row, ("ecommerce", "transaction_id"))
    if order not in (None, "(not set)"):
        params["transaction_id"] = order
    return Apart(
        [{**row, "name": row["event_name"], "client_id": row.get("user_pseudo_id"), "params": params}],
        is_trusted=True,
    )


def _row_channel(native: Native) -> str:
    return (
        "app" if native.event.get("platform") in ("IOS", "ANDROID") else str(native.source.get("channel", "web"))
    )


FAMILIES: Final = (
    Family(
        "ga4",
        Table(
            kind="name",
            rules=_RULES,
            fields={
                "event_id": _protocol_id,
                "occurred_at": _protocol_time,
                "channel": _channel,
                **_FIELDS,
                "device": lambda native: device_of(native.request.headers.get("user-agent", "")),
                "campaign": "page | query(utm_campaign)",
            },
        ),
        _take_apart,
        Reply(204),
        keys_of=_keys,
        secret_of=lambda request: request.query.get("api_secret", ""),
        consent=_consent,
        is_in_pages=True,
    ),
    Family(
        "ga4_export",
        Table(
            kind="name",
            rules=_RULES,
            fields={
                "event_id": _row_id,
                "occurred_at": "event_timestamp | epoch_us",
                "channel": _row_channel,
                **_FIELDS,
                "device": "device.category | lower",
                "region": "geo.region | cap(64)",
                "campaign": "collected_traffic_source.manual_campaign_name | cap(64)",
            },
        ),
        _row,
    ),
)
