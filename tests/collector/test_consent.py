"""Consent at the collector: what is sent on of whom it must not be kept who it is."""

import json
from typing import Any

import pytest

from pipeline.collector.intake import NO_CONSENT, Policy
from tests.collector.support import AT, intake, request, touchpoints

SEGMENT = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "timestamp": AT,
    "anonymousId": "browser-7",
    "userId": "anna",
    "properties": {"order_id": "o-1", "total": 20.0, "currency": "EUR"},
}
WHO = {"customer_id", "visitor_id", "order_id"}


def segment(policy: str, said: dict[str, bool] | None, **more: Any) -> dict[str, Any]:
    context = {} if said is None else {"context": {"consent": {"categoryPreferences": said}}}
    (found,) = touchpoints(intake("segment", Policy(consent=policy)), request({**SEGMENT, **context, **more}))
    return found


@pytest.mark.parametrize(
    ("policy", "said", "is_known"),
    [
        ("require", {"ads": True}, True),
        ("require", None, False),
        ("require", {"ads": False}, False),
        ("honour", None, True),
        ("honour", {"ads": False}, False),
        ("ignore", {"ads": False}, True),
    ],
)
def test_who_may_be_known(policy: str, said: dict[str, bool] | None, is_known: bool) -> None:
    found = segment(policy, said)
    assert (found.keys() >= WHO) is is_known
    assert found.get("consent") is (None if is_known else False)
    assert found["value"] == 20.0


def test_nothing_of_who_it_was_is_left_and_the_session_stays_one() -> None:
    no = {"ads": False}
    first = segment("honour", no, messageId="browser-7/1", event="Product Viewed")
    again = segment("honour", no, messageId="browser-7/2", event="Product Viewed")
    for found in (first, again):
        assert "browser-7" not in json.dumps(found)
        assert "anna" not in json.dumps(found)
    assert again["session_id"] == first["session_id"] != segment("honour", None)["session_id"]
    assert again["event_id"] != first["event_id"]


def test_an_order_told_by_the_shops_system_as_well_is_one() -> None:
    assert segment("honour", {"ads": False})["event_id"] == segment("honour", None, messageId="m-2")["event_id"]


def test_what_has_no_id_at_all_is_dropped_and_counted() -> None:
    hit = "/g/collect?v=2&tid=G-1&en=page_view&gcs=G100&_p=1&_s=1"
    taken = intake("ga4").take(request(b"", hit))
    assert (taken.finished, dict(taken.ignored)) == ([], {NO_CONSENT: 1})
    assert not taken.problems


@pytest.mark.parametrize(("said", "is_known"), [("yes", True), ("Denied", False), (True, True), (0, False)])
def test_a_field_of_ones_own(said: Any, is_known: bool) -> None:
    own = {
        "type": "'page_viewed'",
        "event_id": "id",
        "occurred_at": "at | iso",
        "channel": "'web'",
        "session_id": "session",
        "customer_id": "who",
        "consent": "agreed | flag",
    }
    source = intake("segment", own=own)
    event = {**SEGMENT, "id": "1", "at": AT, "session": "s", "who": "anna", "agreed": said}
    (found,) = touchpoints(source, request(event))
    assert ("customer_id" in found) is is_known


def test_a_word_that_is_neither_is_told() -> None:
    source = intake("segment", own={"consent": "userId"})
    assert source.take(request(SEGMENT)).error == (
        "consent: true or false is wanted, not 'anna'; see the converter 'flag'"
    )
    source = intake("segment", own={"consent": "userId | flag"})
    assert "yes or no is wanted, not 'anna'" in source.take(request(SEGMENT)).error
