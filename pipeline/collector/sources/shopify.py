"""Shopify: webhooks of checkouts, orders and refunds, and a Web Pixel that sends on what it is told.

Source: Shopify's documentation of webhooks and of the Web Pixels API. Pixel and webhook tell of the same orders:
give both sources the same ``shop``.
"""

from collections.abc import Mapping
from typing import Final

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import json_object
from pipeline.collector.tables import ANYTHING, Not, Rule, Table

_TOTAL: Final = {"value": "total_price | num", "currency": "currency | upper"}
_ORDER: Final = {**_TOTAL, "order_id": "id | str"}
_TILL: Final = {
    **_ORDER,
    "channel": "'pos'",
    "session_id": "id | prefix(order-)",
    "store_id": "location_id | str",
    "visitor_id": "",
}
_PIXEL_TOTAL: Final = {
    "value": "data.checkout.totalPrice.amount | num",
    "currency": "data.checkout.totalPrice.currencyCode | upper",
    "customer_id": "data.checkout.order.customer.id | str",
}
_PIXEL_LINE: Final = {
    "value": "data.cartLine.cost.totalAmount.amount | num",
    "currency": "data.cartLine.cost.totalAmount.currencyCode | upper",
}


def _webhook_id(native: Native) -> str | None:
    """The header is the same at each sending of a webhook."""
    own = native.request.headers.get("x-shopify-webhook-id")
    kind = native.request.headers.get("x-shopify-topic", "")
    return own or f"{kind}:{native.event.get('id') or native.event.get('token')}"


def _session(native: Native) -> str | None:
    """What the shop's theme has written into the cart, else the checkout; of a refund the order."""
    for note in native.event.get("note_attributes") or ():
        if isinstance(note, Mapping) and note.get("name") == "session_id" and note.get("value"):
            return text_of(note["value"])
    for name in ("checkout_token", "token", "cart_token"):
        if native.event.get(name):
            return text_of(native.event[name])
    order = native.event.get("order_id") or native.event.get("id")
    return f"order-{text_of(order)}" if order else None


def _section(native: Native) -> str | None:
    """The last part of a checkout that is filled in."""
    checkout = native.event
    for name, step in (("shipping_lines", "shipping"), ("shipping_address", "address"), ("email", "contact")):
        if checkout.get(name):
            return step
    return None


def _step_id(native: Native) -> str | None:
    token = native.event.get("token")
    return f"{token}:{_section(native)}" if token else None


def _refunded(native: Native) -> float | None:
    amounts = [
        float(one["amount"])
        for one in native.event.get("transactions") or ()
        if isinstance(one, Mapping) and one.get("kind") == "refund" and one.get("status") in (None, "success")
    ]
    return sum(amounts) if amounts else None


def _pixel(_request: Incoming, body: Body) -> Apart:
    content = body.content
    events = content if isinstance(content, list) else [content]
    if body.kind is not Kind.JSON or not all(isinstance(one, dict) for one in events):
        raise NotTakenApartError("the pixel's event is wanted: a JSON object, or a list of them")
    return Apart(events)


def _pixel_keys(request: Incoming, _body: Body) -> list[str]:
    """The pixel's frame has no origin to know it by; the key stands in the address."""
    key = request.query.get("key") or request.path.strip("/")
    return [key] if key else []


WEBHOOKS: Final = Table(
    kind="@x-shopify-topic",
    rules={
        "checkouts/create": [Rule("checkout_started", _TOTAL)],
        "checkouts/update": [
            Rule(
                "checkout_step_completed",
                {"event_id": _step_id, "step": _section, "occurred_at": "updated_at | iso"},
                {_section: ANYTHING},
            )
        ],
        "orders/create": [
            Rule("sale_completed", _TILL, {"source_name": "pos"}),
            Rule("order_completed", _ORDER, {"source_name": Not("pos")}),
        ],
        "orders/cancelled": [
            Rule("order_cancelled", {**_ORDER, "occurred_at": "cancelled_at | iso ?? updated_at | iso"})
        ],
        "refunds/create": [
            Rule(
                "order_refunded",
                {
                    "value": _refunded,
                    "currency": "transactions[0].currency | upper",
                    "order_id": "order_id | str",
                    "session_id": "order_id | prefix(order-)",
                    "occurred_at": "created_at | iso",
                },
            )
        ],
    },
    fields={
        "event_id": _webhook_id,
        "occurred_at": "processed_at | iso ?? created_at | iso",
        "channel": lambda native: str(native.source.get("channel", "web")),
        "session_id": _session,
        "customer_id": "customer.id | str",
        "device": lambda native: device_of(str(found(native.event, ("client_details", "user_agent")) or "")),
    },
)
PIXEL: Final = Table(
    kind="name",
    rules={
        "page_viewed": [Rule("page_viewed")],
        "search_submitted": [Rule("products_searched")],
        "product_viewed": [Rule("product_viewed")],
        "product_added_to_cart": [Rule("product_added", _PIXEL_LINE)],
        "product_removed_from_cart": [Rule("product_removed", _PIXEL_LINE)],
        "cart_viewed": [Rule("cart_viewed")],
        "checkout_started": [Rule("checkout_started", _PIXEL_TOTAL)],
        "checkout_contact_info_submitted": [Rule("checkout_step_completed", {"step": "'contact'"})],
        "checkout_address_info_submitted": [Rule("checkout_step_completed", {"step": "'address'"})],
        "checkout_shipping_info_submitted": [Rule("checkout_step_completed", {"step": "'shipping'"})],
        "payment_info_submitted": [Rule("payment_info_entered", {"step": "'payment'"})],
        "checkout_completed": [
            Rule("order_completed", {**_PIXEL_TOTAL, "order_id": "data.checkout.order.id | str"})
        ],
        "form_submitted": [Rule("form_submitted")],
        "alert_displayed": [Rule("error_shown", {"step": "data.alert.target | cap(64)"})],
        "ui_extension_errored": [Rule("error_shown")],
    },
    fields={
        "event_id": "id | str",
        "occurred_at": "timestamp | iso",
        "channel": lambda native: str(native.source.get("channel", "web")),
        "session_id": "'{clientId}.{%day}'",
        "visitor_id": "clientId | str",
        "device": lambda native: device_of(str(found(native.event, ("context", "navigator", "userAgent")) or "")),
        "campaign": "context.document.location.href | query(utm_campaign)",
    },
)
FAMILIES: Final = (
    Family("shopify", WEBHOOKS, json_object, Reply(200), scheme="shopify", user_agent="''"),
    Family(
        "shopify_pixel",
        PIXEL,
        _pixel,
        keys_of=_pixel_keys,
        user_agent="context.navigator.userAgent ?? @user-agent",
        is_in_pages=True,
    ),
)
