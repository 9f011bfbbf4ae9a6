"""WooCommerce and Square: webhooks of orders, payments and refunds.

Sources: WooCommerce's REST documentation of webhooks and orders; Square's of webhooks, payments and refunds.
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.collector.converters import digest, text_of
from pipeline.collector.families import Family, Reply
from pipeline.collector.incoming import Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import json_object
from pipeline.collector.tables import Rule, Table

_GUEST: Final = "0"
_WOO_ORDER: Final = {
    "value": "total | num",
    "currency": "currency | upper",
    "order_id": "id | str",
}
_PAID: Final = ("processing", "completed")
_PAYMENT: Final = "data.object.payment"
_REFUND: Final = "data.object.refund"


def _woo_kind(native: Native) -> str:
    """Both order.created and order.updated are sent for one order: what counts is its status."""
    topic = native.request.headers.get("x-wc-webhook-topic", "")
    is_order = topic in ("order.created", "order.updated")
    return f"order {native.event.get('status')}" if is_order else topic


def _woo_id(native: Native) -> str:
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


def _woo_refunded(native: Native) -> float | None:
    """Refunds are negative there."""
    totals = [abs(float(one["total"])) for one in native.event.get("refunds") or () if isinstance(one, Mapping)]
    return sum(totals) if totals else None


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


WOOCOMMERCE: Final = Table(
    kind=_woo_kind,
    rules={
        **{f"order {status}": [Rule("order_completed", _WOO_ORDER)] for status in _PAID},
        **{f"order {status}": [Rule("order_cancelled", _WOO_ORDER)] for status in ("cancelled", "failed")},
        "order refunded": [
            Rule(
                "order_refunded",
                {**_WOO_ORDER, "value": _woo_refunded, "occurred_at": "date_modified_gmt | iso_naive"},
            )
        ],
    },
    fields={
        "event_id": _woo_id,
        "occurred_at": "date_created_gmt | iso_naive",
        "channel": lambda native: str(native.source.get("channel", "web")),
        "session_id": _woo_session,
        "customer_id": _woo_customer,
    },
)
_SALE: Final = {
    "value": f"{_PAYMENT}.total_money.amount | minor({_PAYMENT}.total_money.currency)",
    "currency": f"{_PAYMENT}.total_money.currency | upper",
    "order_id": f"{_PAYMENT}.order_id | str",
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
                    "order_id": f"{_REFUND}.order_id | str",
                    "session_id": f"{_REFUND}.order_id | str ?? {_REFUND}.payment_id | str",
                    "store_id": f"{_REFUND}.location_id | str",
                    "occurred_at": f"{_REFUND}.updated_at | iso",
                },
            )
        ],
    },
    fields={
        "event_id": _square_id,
        "occurred_at": f"{_PAYMENT}.updated_at | iso",
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
        json_object,
        Reply(200),
        scheme="woocommerce",
        hand_shake=_woo_ping,
        user_agent="''",
    ),
    Family("square", SQUARE, json_object, Reply(200), scheme="square", user_agent="''"),
)
