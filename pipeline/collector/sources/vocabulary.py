"""What the e-commerce specifications of others call a touchpoint; written by hand from their public documents."""

import re
from typing import Final

from pipeline.collector.tables import Rule

_BETWEEN: Final = re.compile(r"[\s\-]+")
#: Segment's specification version 2, which RudderStack, Jitsu and many others share; also what custom events of
#: PostHog and others are usually called after.
SEGMENT: Final = {
    "products_searched": "products_searched",
    "product_viewed": "product_viewed",
    "product_added": "product_added",
    "product_removed": "product_removed",
    "cart_viewed": "cart_viewed",
    "checkout_started": "checkout_started",
    "checkout_step_viewed": "checkout_step_viewed",
    "checkout_step_completed": "checkout_step_completed",
    "payment_info_entered": "payment_info_entered",
    "order_completed": "order_completed",
    "order_cancelled": "order_cancelled",
    "order_refunded": "order_refunded",
    "coupon_denied": "coupon_denied",
    "application_crashed": "error_shown",
    "live_chat_conversation_started": "support_contact_started",
    "live_chat_conversation_ended": "support_contact_resolved",
}
#: Events that the specification does not have, under the names of our own contract.
OWN: Final = (
    "form_started",
    "form_submitted",
    "error_shown",
    "rage_clicked",
    "dead_clicked",
    "support_contact_started",
    "support_contact_resolved",
    "support_contact_left",
    "queue_joined",
    "queue_served",
    "queue_left",
)
COMMERCE: Final = {**SEGMENT, **{name: name for name in OWN}}


_TOTAL: Final = "properties.total | num ?? properties.revenue | num ?? properties.value | num"
_CURRENCY: Final = "properties.currency | upper"
_ORDER: Final = {"value": _TOTAL, "currency": _CURRENCY, "order_id": "properties.order_id | str"}
_LINE: Final = {
    "value": "properties | lines(price) ?? properties.products | lines(price)",
    "currency": _CURRENCY,
}
_OPENING: Final = {
    "value": "properties.value | num ?? properties.total | num ?? properties.revenue | num",
    "currency": _CURRENCY,
}
#: What the specification's properties are, of the touchpoints that have something of their own.
_FIELDS: Final = {
    "product_added": _LINE,
    "product_removed": _LINE,
    "checkout_started": _OPENING,
    "order_completed": _ORDER,
    "order_cancelled": _ORDER,
    "order_refunded": _ORDER,
}


def commerce_rules() -> dict[str, list[Rule]]:
    """Of all events that the specification has, and of those under our own names."""
    return {name: [Rule(type_, _FIELDS.get(type_, {}))] for name, type_ in COMMERCE.items()}


def snake_case(name: str) -> str:
    """``Product Added``, ``product-added`` and ``product_added`` are one name."""
    return _BETWEEN.sub("_", name.strip()).lower()
