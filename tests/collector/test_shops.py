"""Shopify, its pixel, WooCommerce, Square: made from the vendors' public documents."""

from typing import Any

import pytest

from tests.collector.support import AT, AT_MS_TEXT, ignored, intake, one, request, touchpoints

ORDER = {
    "id": 5_001,
    "checkout_token": "ck1",
    "total_price": "40.98",
    "currency": "EUR",
    "source_name": "web",
    "customer": {"id": 77},
    "created_at": "2026-11-28T04:58:00+01:00",
    "processed_at": "2026-11-28T04:59:00+01:00",
    "note_attributes": [],
}


def shopify(topic: str) -> dict[str, str]:
    return {"x-shopify-topic": topic, "x-shopify-webhook-id": "w-1"}


def test_an_order_of_shopify() -> None:
    assert one("shopify", ORDER, shopify("orders/create")) == {
        "type": "order_completed",
        "channel": "web",
        "session_id": "ck1",
        "customer_id": "77",
        "value": 40.98,
        "currency": "EUR",
        "order_id": "5001",
        "occurred_at": AT_MS_TEXT,
    }


def test_the_session_is_what_the_theme_has_written_into_the_cart() -> None:
    noted = {**ORDER, "note_attributes": [{"name": "session_id", "value": "s-9"}]}
    assert one("shopify", noted, shopify("orders/create"))["session_id"] == "s-9"


def test_an_order_at_shopifys_till() -> None:
    found = one("shopify", {**ORDER, "source_name": "pos", "location_id": 12}, shopify("orders/create"))
    assert (found["type"], found["channel"], found["store_id"]) == ("sale_completed", "pos", "12")
    assert found["session_id"] == "order-5001"


def test_a_refund_of_shopify() -> None:
    refund = {
        "id": 9,
        "order_id": 5_001,
        "created_at": AT,
        "transactions": [
            {"kind": "refund", "amount": "10.50", "currency": "EUR"},
            {"kind": "refund", "amount": "1.00", "currency": "EUR"},
            {"kind": "void", "amount": "99.00", "currency": "EUR"},
        ],
    }
    found = one("shopify", refund, shopify("refunds/create"))
    assert (found["type"], found["value"], found["order_id"]) == ("order_refunded", 11.5, "5001")


def test_checkouts_of_shopify() -> None:
    checkout = {"token": "ck1", "total_price": "12.00", "currency": "EUR", "created_at": AT, "updated_at": AT}
    assert one("shopify", checkout, shopify("checkouts/create"))["type"] == "checkout_started"
    filled = {**checkout, "email": "x", "shipping_address": {"city": "y"}}
    step = touchpoints(intake("shopify"), request(filled, headers=shopify("checkouts/update")))[0]
    assert (step["type"], step["step"], step["event_id"]) == ("checkout_step_completed", "address", "ck1:address")
    assert ignored("shopify", {"id": 1}, shopify("products/update")) == ["products/update"]


PIXEL = {
    "id": "sh-1",
    "name": "checkout_completed",
    "clientId": "cl-1",
    "timestamp": AT,
    "context": {
        "document": {"location": {"href": "https://s/?utm_campaign=fall"}},
        "navigator": {"userAgent": "Mozilla/5.0 iPhone Mobile"},
    },
    "data": {
        "checkout": {
            "token": "ck1",
            "totalPrice": {"amount": 40.98, "currencyCode": "EUR"},
            "order": {"id": "5001", "customer": {"id": "77"}},
        }
    },
}


@pytest.mark.parametrize("source_name", [None, "580111", "subscription_contract", "web"])
def test_orders_of_all_sales_channels_count(source_name: str | None) -> None:
    found = one("shopify", {**ORDER, "source_name": source_name}, shopify("orders/create"))
    assert found["type"] == "order_completed"


def test_what_a_shop_says_of_a_field_stands_over_what_we_do() -> None:
    own = {"value": "subtotal_price | num"}
    source = intake("shopify", own=own)
    (found,) = touchpoints(source, request({**ORDER, "subtotal_price": "30"}, headers=shopify("orders/create")))
    assert found["value"] == 30.0


def test_the_web_pixel() -> None:
    assert one("shopify_pixel", PIXEL) == {
        "type": "order_completed",
        "channel": "web",
        "session_id": "cl-1.20261128",
        "visitor_id": "cl-1",
        "customer_id": "77",
        "device": "mobile",
        "campaign": "fall",
        "value": 40.98,
        "currency": "EUR",
        "order_id": "5001",
        "occurred_at": AT_MS_TEXT,
    }
    line = {"quantity": 2, "cost": {"totalAmount": {"amount": 9, "currencyCode": "EUR"}}}
    added = {**PIXEL, "name": "product_added_to_cart", "data": {"cartLine": line}}
    assert one("shopify_pixel", added)["value"] == 9.0


def test_pixel_and_webhook_of_one_shop_tell_one_order() -> None:
    both = [
        *intake("shopify", shop="x").take(request(ORDER, headers=shopify("orders/create"))).finished,
        *intake("shopify_pixel", shop="x").take(request(PIXEL)).finished,
    ]
    assert both[0].order == both[1].order != b""
    other = intake("shopify_pixel", shop="y").take(request(PIXEL)).finished[0]
    assert other.order != both[0].order


WOO = {
    "id": 12,
    "status": "processing",
    "total": "19.90",
    "currency": "EUR",
    "customer_id": 0,
    "date_created_gmt": "2026-11-28T03:59:00",
    "date_modified_gmt": "2026-11-28T03:59:30",
    "meta_data": [],
}


def test_orders_of_woocommerce() -> None:
    topic = {"x-wc-webhook-topic": "order.updated"}
    found = one("woocommerce", WOO, topic)
    assert found == {
        "type": "order_completed",
        "channel": "web",
        "session_id": "order-12",
        "value": 19.9,
        "currency": "EUR",
        "order_id": "12",
        "occurred_at": AT_MS_TEXT,
    }
    assert one("woocommerce", {**WOO, "status": "cancelled"}, topic)["type"] == "order_cancelled"
    refunded = one("woocommerce", {**WOO, "status": "refunded", "refunds": [{"id": 3, "total": "-5.00"}]}, topic)
    assert (refunded["type"], refunded["value"]) == ("order_refunded", 5.0)
    assert ignored("woocommerce", {**WOO, "status": "pending"}, topic) == ["order pending"]
    ping = intake("woocommerce").hand_shake(request(b"webhook_id=7"))
    assert ping is not None
    assert ping.status == 200


def test_created_and_updated_of_one_order_are_one() -> None:
    created, updated = (
        intake("woocommerce").take(request(WOO, headers={"x-wc-webhook-topic": topic})).finished[0]
        for topic in ("order.created", "order.updated")
    )
    assert created.payload == updated.payload


def square(kind: str, **inner: Any) -> dict[str, Any]:
    name = kind.partition(".")[0]
    return {"type": kind, "event_id": "e", "created_at": AT, "data": {"type": name, "object": {name: inner}}}


def test_payments_and_refunds_of_square() -> None:
    payment = square(
        "payment.updated",
        id="p1",
        status="COMPLETED",
        order_id="o1",
        location_id="L1",
        total_money={"amount": 1234, "currency": "JPY"},
        updated_at=AT,
    )
    assert one("square", payment) == {
        "type": "sale_completed",
        "channel": "pos",
        "session_id": "o1",
        "store_id": "L1",
        "value": 1234.0,
        "currency": "JPY",
        "order_id": "p1",
        "occurred_at": AT_MS_TEXT,
    }
    refund = square(
        "refund.updated",
        id="r1",
        status="COMPLETED",
        payment_id="p1",
        location_id="L1",
        amount_money={"amount": 1234, "currency": "EUR"},
        updated_at=AT,
    )
    found = one("square", refund)
    assert (found["type"], found["value"], found["session_id"]) == ("order_refunded", 12.34, "p1")
    assert ignored("square", square("payment.updated", id="p1", status="APPROVED")) == ["payment.updated APPROVED"]
