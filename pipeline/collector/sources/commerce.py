"""WooCommerce and Square: webhooks of orders, payments and refunds.

Sources: WooCommerce's REST documentation of webhooks and orders; Square's of webhooks, payments and refunds.
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.collector.bodies import Body
from pipeline.collector.converters import digest, number_of, text_of
from pipeline.collector.families import Family, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import json_object
from pipeline.collector.tables import Rule, Table

_GUEST: Final = "0"
_WOO_ORDER: Final = {
    "value": "total | num",
    "currency": "currency | upper",
    "order_id": "id | str",
}
_CHANGED: Final = "date_modified_gmt | iso_naive"
_PAID: Final = ("processing", "completed")
_PAYMENT: Final = "data.object.payment"
_REFUND: Final = "data.object.refund"


def _woo(request: Incoming, body: Body) -> Apart:
    """The order as it stands, and each of its refunds."""
    apart = json_object(request, body)
    order = apart.events[0]
    refunds = [one for one in order.get("refunds") or () if isinstance(one, dict)]
    return Apart([order, *({**order, "$refund": one} for one in refunds)], is_trusted=True)


def _woo_kind(native: Native) -> str:
    """Both order.created and order.updated are sent for one order: what counts is its status."""
    if "$refund" in native.event:
        return "refund"
    topic = native.request.headers.get("x-wc-webhook-topic", "")
    is_order = topic in ("order.created", "order.updated")
    return f"order {native.event.get('status')}" if is_order else topic


def _woo_id(native: Native) -> str:
    refund = native.event.get("$refund")
    if refund is not None:
        return digest(f"{native.event.get('id')}:refund:{refund.get('id')}")
    return digest(f"{native.event.get('id')}:{native.event.get('status')}")


def _woo_customer(native: Native) -> str | None:
    own = native.event.get("customer_id")
    return None if own is None or text_of(own) == _GUEST else text_of(own)


def _woo_session(native: Native) -> str | None:
    """What the shop has written into the order, else the order."""
    for meta in native.event.get("meta_data") or ():
        if isinstance(meta, Mapping) and meta.get("key") == "session_id" and meta.get("value"):
            return text_of(meta["value"])
    own = native.event.get("id")
    return f"order-{text_of(own)}" if own is not None else None


def _woo_refunded(native: Native) -> float:
    """Refunds are negative there."""
    return abs(number_of(native.event["$refund"].get("total")))


def _woo_ping(request: Incoming, _source: Mapping[str, Any]) -> Reply | None:
    """The first thing that is sent to a new address is a form, unsigned."""
    is_ping = request.raw.startswith(b"webhook_id=")
    return Reply(200) if is_ping else None


def _square_kind(native: Native) -> str:
    kind = str(native.event.get("type", ""))
    inner = found(native.event, ("data", "object", kind.partition(".")[0]))
    status = inner.get("status") if isinstance(inner, Mapping) else None
    return f"{kind} {status}"


def _square_id(native: Native) -> str:
    """A payment is told several times with one status."""
    kind = str(native.event.get("type", "")).partition(".")[0]
    inner = found(native.event, ("data", "object", kind))
    whose = inner.get("id") if isinstance(inner, Mapping) else native.event.get("event_id")
    return digest(f"{whose}:{_square_kind(native)}")


_WOO_OFF: Final = {**_WOO_ORDER, "occurred_at": _CHANGED}
WOOCOMMERCE: Final = Table(
    kind=_woo_kind,
    rules={
        **{f"order {status}": [Rule("order_completed", _WOO_ORDER)] for status in _PAID},
        **{f"order {status}": [Rule("order_cancelled", _WOO_OFF)] for status in ("cancelled", "failed")},
        "refund": [Rule("order_refunded", {**_WOO_OFF, "value": _woo_refunded})],
    },
    fields={
        "event_id": _woo_id,
        "occurred_at": "date_paid_gmt | iso_naive ?? date_created_gmt | iso_naive",
        "channel": lambda native: str(native.source.get("channel", "web")),
        "session_id": _woo_session,
        "customer_id": _woo_customer,
    },
)
_SALE: Final = {
    "value": f"{_PAYMENT}.total_money.amount | minor({_PAYMENT}.total_money.currency)",
    "currency": f"{_PAYMENT}.total_money.currency | upper",
    # Several payments may make one order: each is a purchase.
    "order_id": f"{_PAYMENT}.id | str",
}
SQUARE: Final = Table(
    kind=_square_kind,
    rules={
        "payment.updated COMPLETED": [Rule("sale_completed", _SALE)],
        "payment.updated CANCELED": [Rule("basket_voided")],
        "payment.updated FAILED": [Rule("basket_voided")],
        "refund.updated COMPLETED": [
            Rule(
                "order_refunded",
                {
                    "value": f"{_REFUND}.amount_money.amount | minor({_REFUND}.amount_money.currency)",
                    "currency": f"{_REFUND}.amount_money.currency | upper",
                    "order_id": f"{_REFUND}.payment_id | str",
                    "session_id": f"{_REFUND}.order_id | str ?? {_REFUND}.payment_id | str",
                    "store_id": f"{_REFUND}.location_id | str",
                    "occurred_at": f"{_REFUND}.created_at | iso ?? {_REFUND}.updated_at | iso",
                },
            )
        ],
    },
    fields={
        "event_id": _square_id,
        "occurred_at": f"{_PAYMENT}.created_at | iso ?? {_PAYMENT}.updated_at | iso",
        "channel": "'pos'",
        "session_id": f"{_PAYMENT}.order_id | str ?? {_PAYMENT}.id | str",
        "customer_id": f"{_PAYMENT}.customer_id | str",
        "store_id": f"{_PAYMENT}.location_id | str",
    },
)
FAMILIES: Final = (
    Family(
        "woocommerce",
        WOOCOMMERCE,
        _woo,
        Reply(200),
        scheme="woocommerce",
        hand_shake=_woo_ping,
        user_agent="''",
    ),
    Family("square", SQUARE, json_object, Reply(200), scheme="square", user_agent="''"),
)
