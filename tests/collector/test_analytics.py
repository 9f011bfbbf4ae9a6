"""What analytics SDKs' captures do not show: odd times and hits, agents, GA4's export, AEM's data layer."""

from pipeline.collector.agents import device_of, is_bot
from tests.collector.support import AT, AT_MS_TEXT, NOW_MS, intake, one, problem, request, touchpoints


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
