"""What the e-commerce specifications of others call a touchpoint; written by hand from their public documents."""

import re
from typing import Final

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


def snake_case(name: str) -> str:
    """``Product Added``, ``product-added`` and ``product_added`` are one name."""
    return _BETWEEN.sub("_", name.strip()).lower()
