"""Webhooks of shops, tills, surveys and contact centres: made from the vendors' public documents."""

import re
from typing import Any

import pytest

from pipeline.collector.agents import device_of, is_bot
from tests.collector.support import NOW_MS, intake, request, touchpoints

AT = "2026-11-28T03:59:00Z"
AT_MS_TEXT = "2026-11-28T03:59:00.000Z"


def one(
    family: str, body: Any, headers: dict[str, str] | None = None, path: str = "/", **told: Any
) -> dict[str, Any]:
    found = touchpoints(intake(family, **told), request(body, path, headers=headers))
    assert len(found) == 1, found
    return {name: value for name, value in found[0].items() if name != "event_id"}


def ignored(family: str, body: Any, headers: dict[str, str] | None = None, **told: Any) -> list[str]:
    taken = intake(family, **told).take(request(body, headers=headers))
    assert not taken.finished
    assert not taken.problems, taken.error
    return list(taken.ignored)


def problem(family: str, body: Any, headers: dict[str, str] | None = None, **told: Any) -> str:
    taken = intake(family, **told).take(request(body, headers=headers))
    assert not taken.finished
    return taken.error


# --- Shopify ---

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


def test_an_absurd_time_is_one_events_problem() -> None:
    good = {"e": "pv", "eid": "1", "sid": "s", "dtm": str(NOW_MS), "aid": "a"}
    data = [good, {**good, "eid": "2", "sid": None, "duid": "d", "dtm": "-100000000000000000000"}]
    taken = intake("snowplow").take(request({"data": data}))
    assert len(taken.finished) == len(taken.problems) == 1


def test_the_same_thing_done_twice_without_a_time_counts_twice() -> None:
    body = {"client_id": "c", "events": [{"name": "add_to_cart", "params": {"session_id": "1"}}]}
    first = touchpoints(intake("ga4"), request(body, received_ms=NOW_MS))[0]
    later = touchpoints(intake("ga4"), request(body, received_ms=NOW_MS + 60_000))[0]
    assert first["event_id"] != later["event_id"]


def test_the_tags_wire_of_ga4_with_several_hits_and_a_currency() -> None:
    path = "/g/collect?v=2&tid=G-1&cid=c&sid=5&_p=1&cu=JPY"
    body = b"en=add_to_cart&_s=1&epn.value=100\r\nen=purchase&_s=2&epn.value=100&ep.transaction_id=o1"
    found = touchpoints(intake("ga4"), request(body, path))
    assert [(event["type"], event["currency"], event["value"]) for event in found] == [
        ("product_added", "JPY", 100.0),
        ("order_completed", "JPY", 100.0),
    ]


def test_agents() -> None:
    assert is_bot("Mozilla/5.0 (compatible; Googlebot/2.1)")
    assert not is_bot("Mozilla/5.0 (Linux; Android 9; CUBOT_P20) Chrome/99 Mobile")
    assert device_of("Mozilla/5.0 (Linux; Android 9; SM-T510) Chrome/99") == "tablet"
    assert device_of("Mozilla/5.0 (Linux; Android 9) Chrome/99 Mobile") == "mobile"
    assert device_of("android" * 600_000 + "mobile") == "tablet"  # at once: only its beginning is looked at


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


# --- WooCommerce, Square ---

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


# --- tills ---

POSLOG = """<?xml version="1.0"?>
<POSLog xmlns="http://www.nrf-arts.org/IXRetail/namespace/" xmlns:acs="urn:x"><Transaction>
 <RetailStoreID>17</RetailStoreID><WorkstationID>3</WorkstationID><SequenceNumber>42</SequenceNumber>
 <BusinessDayDate>2026-11-28</BusinessDayDate><OperatorID>Jane</OperatorID><CurrencyCode>EUR</CurrencyCode>
 <BeginDateTime>2026-11-28T04:58:00</BeginDateTime><EndDateTime>2026-11-28T04:59:00</EndDateTime>
 <RetailTransaction TransactionStatus="Finished">
  <LineItem><acs:SequenceNumber>1</acs:SequenceNumber><Sale><ItemID>1</ItemID><ExtendedAmount>2.50</ExtendedAmount></Sale></LineItem>
  <LineItem VoidFlag="true"><Sale><ItemID>2</ItemID><ExtendedAmount>7.00</ExtendedAmount></Sale></LineItem>
  <LineItem><Tender><Amount>2.50</Amount></Tender></LineItem>
  <LineItem><LoyaltyReward><LoyaltyID>L-5</LoyaltyID></LoyaltyReward></LineItem>
  <Total TotalType="TransactionGrandAmount">2.50</Total>
 </RetailTransaction></Transaction>
 <Transaction><ControlTransaction/></Transaction></POSLog>"""


def test_a_ticket_of_a_till() -> None:
    found = touchpoints(intake("poslog", time_zone="Europe/Berlin"), request(POSLOG.encode()))
    assert [(event["type"], event["occurred_at"], event.get("value")) for event in found] == [
        ("basket_opened", "2026-11-28T03:58:00.000Z", None),
        ("product_added", "2026-11-28T03:58:00.001Z", 2.5),
        ("product_removed", "2026-11-28T03:58:00.002Z", 7.0),
        ("sale_completed", "2026-11-28T03:59:00.000Z", 2.5),
    ]
    assert {event["session_id"] for event in found} == {"17:3:2026-11-28:42"}
    assert {event["store_id"] for event in found} == {"17"}
    assert {event["customer_id"] for event in found} == {"L-5"}
    assert "Jane" not in str(found)


def test_the_zone_of_a_store() -> None:
    zones = {"17": "America/New_York"}
    found = touchpoints(intake("poslog", store_zones=zones), request(POSLOG.encode()))
    assert found[-1]["occurred_at"] == "2026-11-28T09:59:00.000Z"


@pytest.mark.parametrize(
    ("before", "after", "types"),
    [
        (
            'Status="Finished"',
            'Status="Voided"',
            ["basket_opened", "product_added", "product_removed", "basket_voided"],
        ),
        (
            "<Transaction>\n",
            '<Transaction CancelFlag="true">\n',
            ["basket_opened", "product_added", "product_removed", "basket_voided"],
        ),
        ("<Transaction>\n", '<Transaction TrainingModeFlag="true">\n', []),
        ('Status="Finished"', 'Status="Suspended"', []),
        (
            "<BeginDateTime>2026-11-28T04:58:00</BeginDateTime>",
            "",
            ["product_added", "product_removed", "sale_completed"],
        ),
    ],
)
def test_how_a_ticket_ends(before: str, after: str, types: list[str]) -> None:
    assert before in POSLOG
    found = touchpoints(intake("poslog"), request(POSLOG.replace(before, after, 1).encode()))
    assert [event["type"] for event in found] == types


RETURN = "<LineItem{}><Return><ExtendedAmount>-3.00</ExtendedAmount></Return></LineItem><Total"


def told_by_till(xml: str) -> list[tuple[str, float | None]]:
    found = touchpoints(intake("poslog"), request(xml.encode()))
    return [(event["type"], event.get("value")) for event in found if not event["type"].startswith("product")]


def test_a_mixed_ticket_is_a_refund_and_a_sale() -> None:
    mixed = POSLOG.replace("<Total", RETURN.format(""), 1).replace(">2.50</Total>", ">-0.50</Total>")
    assert told_by_till(mixed) == [("order_refunded", 3.0), ("basket_opened", None), ("sale_completed", 2.5)]
    voided = POSLOG.replace("<Total", RETURN.format(' VoidFlag="true"'), 1)
    assert told_by_till(voided) == [("basket_opened", None), ("sale_completed", 2.5)]
    off = mixed.replace('Status="Finished"', 'Status="Voided"')
    assert told_by_till(off) == [("basket_opened", None), ("basket_voided", None)]


def test_who_only_brings_something_back_has_no_basket() -> None:
    back = re.sub(r"<LineItem[ >].*</LineItem>", RETURN.format("")[:-6], POSLOG, flags=re.DOTALL)
    assert told_by_till(back) == [("order_refunded", 3.0)]


def test_a_ticket_without_a_number_of_its_own_is_refused() -> None:
    nameless = POSLOG.replace("<SequenceNumber>42</SequenceNumber>", "", 1)
    assert "session_id" in problem("poslog", nameless.encode())
    named = nameless.replace("<CurrencyCode>", "<TransactionID>T9</TransactionID><CurrencyCode>", 1)
    assert touchpoints(intake("poslog"), request(named.encode()))[0]["session_id"] == "17:T9"


def test_poslog_as_json() -> None:
    ticket = {
        "BusinessUnit": {"UnitID": "17"},
        "BusinessDayDate": "2026-11-28",
        "WorkstationID": "3",
        "SequenceNumber": 42,
        "EndDateTime": "2026-11-28T03:59:00Z",
        "RetailTransaction": {
            "LineItem": [{"Sale": {"ExtendedAmount": {"#": "2.50"}}}],
            "Total": {"@TotalType": "TransactionNetAmount", "#": "2.50"},
        },
    }
    found = touchpoints(intake("poslog"), request({"Transaction": [ticket]}))
    assert [event["type"] for event in found] == ["product_added", "sale_completed"]


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY b "x">]><POSLog>&b;</POSLog>',
        b"<POSLog><Transaction></POSLog>",
        b"<Other/>",
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Transaction>&b;</Transaction>',
    ],
)
def test_entities_and_other_xml_are_refused(xml: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML|Transaction"):
        intake("poslog").take(request(xml))


# --- surveys ---

SURVEYS = {
    "q1": {"survey": "nps", "scale": None, "rescale": False},
    "q2": {"survey": "ces", "scale": 5, "rescale": True},
}


def typeform(*answers: dict[str, Any]) -> dict[str, Any]:
    response = {"token": "t1", "submitted_at": AT, "hidden": {"session_id": "s1"}, "answers": [*answers]}
    return {"event_id": "e", "event_type": "form_response", "form_response": response}


def test_answers_of_typeform() -> None:
    body = typeform(
        {"type": "number", "number": 9, "field": {"id": "x", "ref": "q1"}},
        {"type": "number", "number": 5, "field": {"id": "y", "ref": "q2"}},
        {"type": "text", "text": "nice", "field": {"id": "z", "ref": "q3"}},
    )
    source = intake("typeform", surveys=SURVEYS)
    taken = source.take(request(body))
    assert taken.ignored == {"another question": 1}
    found = touchpoints(source, request(body))
    assert [(event["survey"], event["score"], event.get("scale")) for event in found] == [
        ("nps", 9.0, None),
        ("ces", 7.0, None),
    ]
    assert {event["session_id"] for event in found} == {"s1"}
    assert len({event["event_id"] for event in found}) == 2


def test_an_effort_score_of_five_points_is_refused_unless_it_is_to_be_spread() -> None:
    strict = {"q2": {"survey": "ces", "scale": 5, "rescale": False}}
    body = typeform({"type": "number", "number": 5, "field": {"ref": "q2"}})
    assert "scale" in problem("typeform", body, surveys=strict)


def test_qualtrics() -> None:
    body = {
        "response_id": "R_1",
        "survey_id": "q1",
        "score": "9",
        "recorded_at": "2026-11-28 03:59:00",
        "session_id": "s1",
    }
    found = one("qualtrics", body, surveys=SURVEYS)
    assert (found["survey"], found["score"], found["occurred_at"]) == ("nps", 9.0, AT_MS_TEXT)
    form = b"Topic=t&Status=Complete&SurveyID=SV_1&ResponseID=R_1"
    assert ignored("qualtrics", form) == ["completedResponse without its answer"]
    assert "no [sources.NAME.surveys" in problem("qualtrics", {**body, "survey_id": "SV_9"}, surveys=SURVEYS)


def test_delighted() -> None:
    data = {
        "id": "d1",
        "survey_type": "nps",
        "score": 10,
        "created_at": NOW_MS // 1_000 - 60,
        "person_properties": {},
    }
    surveys = {"nps": SURVEYS["q1"]}
    found = one("delighted", {"event_type": "survey_response.created", "event_data": data}, surveys=surveys)
    assert (found["score"], found["session_id"], found["occurred_at"]) == (10.0, "dl-d1", AT_MS_TEXT)
    changed = {"event_type": "survey_response.updated", "event_data": data}
    assert ignored("delighted", changed, surveys=surveys) == ["survey_response.updated"]


def test_a_survey_of_posthog() -> None:
    properties = {"$survey_id": "q1", "$survey_response": "9", "$session_id": "s1", "$survey_submission_id": "u1"}
    event = {"event": "survey sent", "uuid": "x", "timestamp": AT, "distinct_id": "d", "properties": properties}
    assert one("posthog", event, surveys=SURVEYS)["score"] == 9.0
    assert "surveys" in problem("posthog", event)


# --- support ---


def zendesk(kind: str, via: str = "chat", **event: Any) -> dict[str, Any]:
    detail = {"id": "35", "via": {"channel": via}, "external_id": "c9"}
    return {
        "type": f"zen:event-type:{kind}",
        "id": "z1",
        "time": "2026-11-28T03:59:00.123456789Z",
        "detail": detail,
        "event": event,
    }


def test_zendesk() -> None:
    found = one("zendesk", zendesk("ticket.created"))
    assert found == {
        "type": "support_contact_started",
        "channel": "web",
        "session_id": "zd-35",
        "customer_id": "c9",
        "occurred_at": "2026-11-28T03:59:00.123Z",
    }
    assert one("zendesk", zendesk("ticket.status_changed", current="SOLVED"))["type"] == "support_contact_resolved"
    assert ignored("zendesk", zendesk("ticket.status_changed", current="OPEN")) == ["ticket.status_changed OPEN"]
    assert ignored("zendesk", zendesk("ticket.created", via="email")) == ["ticket.created (ticket)"]
    assert one("zendesk", zendesk("ticket.created", via="email"), tickets=True)["session_id"] == "zd-35"


def test_a_satisfaction_rating_of_zendesk() -> None:
    rating = {"ticket_id": 35, "rating": "good", "updated_at": AT}
    found = one("zendesk", rating)
    assert (found["survey"], found["score"], found["scale"]) == ("csat", 1.0, 1.0)
    assert one("zendesk", {**rating, "rating": "bad"})["score"] == 0.0
    assert ignored("zendesk", {**rating, "rating": "offered"}) == ["rating"]


def test_intercom() -> None:
    told = {
        "type": "notification_event",
        "id": "n1",
        "topic": "conversation.user.created",
        "created_at": NOW_MS // 1_000,
        "data": {"item": {"id": "7"}},
    }
    assert one("intercom", told)["session_id"] == "ic-7"
    assert ignored("intercom", {**told, "topic": "ping"}) == ["ping"]


def test_zoho_desk() -> None:
    events = [
        {
            "eventType": "Ticket_Add",
            "orgId": "1",
            "eventTime": str(NOW_MS),
            "payload": {"id": "9", "channel": "Chat"},
        },
        {
            "eventType": "Ticket_Update",
            "orgId": "1",
            "eventTime": str(NOW_MS + 1),
            "payload": {"id": "9", "channel": "Chat", "statusType": "Closed"},
            "prevState": {"statusType": "Open"},
        },
        {
            "eventType": "Ticket_Add",
            "orgId": "1",
            "eventTime": str(NOW_MS),
            "payload": {"id": "10", "channel": "Email"},
        },
    ]
    taken = intake("zoho_desk").take(request(events))
    assert [one.type for one in taken.finished] == ["support_contact_started", "support_contact_resolved"]
    assert taken.ignored == {"Ticket_Add (ticket)": 1}


def test_a_zoho_ticket_that_is_updated_after_it_was_closed_is_closed_once() -> None:
    """A webhook that does not tell the state before tells of a closed ticket at each update of it."""

    def update(at_ms: int, closed: str) -> dict[str, Any]:
        ticket = {"id": "9", "channel": "Chat", "statusType": "Closed", "closedTime": closed}
        return {"eventType": "Ticket_Update", "orgId": "1", "eventTime": str(at_ms), "payload": ticket}

    first, second = "2026-11-28T03:58:00.000Z", "2026-11-28T03:59:00.000Z"
    events = [update(NOW_MS, first), update(NOW_MS + 5_000, first), update(NOW_MS + 9_000, second)]
    taken = intake("zoho_desk").take(request(events))
    assert [one.type for one in taken.finished] == ["support_contact_resolved"] * 3
    closed, again, reopened = (one.native for one in taken.finished)
    assert closed == again != reopened


def connect(kind: str, **detail: Any) -> dict[str, Any]:
    told = {
        "eventType": kind,
        "contactId": "c2",
        "initialContactId": "c1",
        "initiationMethod": "INBOUND",
        **detail,
    }
    return {"id": f"e-{kind}", "detail-type": "Amazon Connect Contact Event", "time": AT, "detail": told}


def test_amazon_connect() -> None:
    assert one("amazon_connect", connect("INITIATED"))["type"] == "support_contact_started"
    queued = connect("QUEUED", QueueInfo={"enqueueTimestamp": "2026-11-28T03:58:00Z", "queueArn": "q"})
    assert one("amazon_connect", queued)["occurred_at"] == "2026-11-28T03:58:00.000Z"
    served = connect("DISCONNECTED", AgentInfo={"agentArn": "a"})
    assert one("amazon_connect", served)["type"] == "support_contact_resolved"
    left = touchpoints(intake("amazon_connect"), request(connect("DISCONNECTED", queueInfo={"queueArn": "q"})))
    assert [event["type"] for event in left] == ["support_contact_left", "queue_left"]
    assert len({event["event_id"] for event in left}) == 2
    assert ignored("amazon_connect", connect("INITIATED", initiationMethod="OUTBOUND")) == ["INITIATED (outbound)"]


def test_genesys() -> None:
    def told(kind: str, **body: Any) -> dict[str, Any]:
        inner = {"conversationId": "g1", "eventTime": NOW_MS, **body}
        return {
            "id": "x",
            "detail-type": f"v2.detail.events.conversation.g1.{kind}",
            "detail": {"eventBody": inner},
        }

    assert one("genesys", told("customer.start"))["session_id"] == "g1"
    found = touchpoints(intake("genesys"), request(told("acd.end", outcome="ABANDON")))
    assert [event["type"] for event in found] == ["queue_left", "support_contact_left"]
    assert ignored("genesys", told("acd.end", outcome="OTHER")) == ["acd.end OTHER"]


# --- GA4's export ---


def test_a_row_of_ga4s_export() -> None:
    row = {
        "event_timestamp": (NOW_MS - 60_000) * 1_000,
        "event_name": "purchase",
        "user_pseudo_id": "u.1",
        "user_id": "c1",
        "platform": "WEB",
        "event_params": [
            {"key": "ga_session_id", "value": {"int_value": 1_795_838_000}},
            {"key": "currency", "value": {"string_value": "EUR"}},
        ],
        "ecommerce": {"transaction_id": "o1", "purchase_revenue": 40.98},
        "device": {"category": "mobile"},
        "geo": {"region": "Bavaria"},
    }
    assert one("ga4_export", row) == {
        "type": "order_completed",
        "channel": "web",
        "session_id": "u.1.1795838000",
        "customer_id": "c1",
        "visitor_id": "u.1",
        "device": "mobile",
        "region": "Bavaria",
        "value": 40.98,
        "currency": "EUR",
        "order_id": "o1",
        "occurred_at": AT_MS_TEXT,
    }
    denied = {**row, "user_pseudo_id": None, "event_params": []}
    assert "session_id" in problem("ga4_export", denied)


def test_the_measurement_protocol() -> None:
    params = {"session_id": "5", "currency": "EUR", "items": [{"price": 2, "quantity": 3}]}
    body = {
        "client_id": "c.1",
        "timestamp_micros": (NOW_MS - 60_000) * 1_000,
        "events": [{"name": "add_to_cart", "params": params}],
    }
    found = one("ga4", body)
    assert (found["value"], found["session_id"], found["occurred_at"]) == (6.0, "c.1.5", AT_MS_TEXT)


def test_data_of_aem() -> None:
    event = {
        "event": "cif:placeOrder",
        "id": "a1",
        "timestamp": AT,
        "session": "s1",
        "visitor": "v1",
        "eventInfo": {"xdm:priceTotal": 5, "xdm:currencyCode": "EUR", "xdm:purchaseOrderNumber": "o9"},
    }
    found = one("adobe", {"events": [event]})
    assert (found["type"], found["value"], found["order_id"], found["session_id"]) == (
        "order_completed",
        5.0,
        "o9",
        "s1",
    )
