"""Support desks and contact centres: made from the vendors' public documents."""

from typing import Any

from tests.collector.support import AT, NOW_MS, ignored, intake, one, request, touchpoints


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
