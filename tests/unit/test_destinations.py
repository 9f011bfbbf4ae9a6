"""Messages in the words of vendors: local receivers check each vendor's documented rules."""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.delivery.destinations import DESTINATIONS, OPTIONS
from pipeline.delivery.hooks import Hook, HooksError, load_hooks
from pipeline.delivery.run import delivery
from schemas.alerts import AlertMessage
from schemas.journeys import JourneyMessage
from schemas.moments import MomentMessage
from schemas.recoveries import RecoveryMessage
from sinks.base import SinkUnavailableError
from sinks.http import MemoryPoster

KEY = "0123456789abcdef0123456789abcdef"
ALERT = AlertMessage(
    schema_version="2.0",
    id="al-1/7",
    alert_id="al-1",
    rule="checkout",
    signal="checkout_abandonment",
    segment="device=mobile",
    status="firing",
    severity="critical",
    opened_at="2026-11-28T04:00:00.000Z",
    updated_at="2026-11-28T04:05:00.000Z",
    resolved_at=None,
    observed=0.9,
    expected=0.1,
    n=120,
    window_s=300,
    has_data=True,
    causes=[],
    missing=90.0,
    at_stake=4_085.0,
    currency="EUR",
    explanation="Paying fails on mobile. " * 100,
    version=7,
)
JOURNEY = JourneyMessage(
    schema_version="2.0",
    id="web/s1/cart%3Ae1/1/7",
    journey_id="cart:e1",
    funnel="cart",
    session_id="s1",
    customer_id="c1",
    visitor_id="v1",
    channel="web",
    store_id=None,
    region=None,
    device="mobile",
    entered_at="2026-11-28T04:00:00.000Z",
    ended_at="2026-11-28T04:30:00.000Z",
    outcome="abandoned",
    reason="timeout",
    last_step=None,
    value=40.98,
    version=7,
)
RECOVERY = RecoveryMessage(
    schema_version="2.0",
    id="c:c1/web/s1/cart%3Ae1/1/8",
    person="c:c1",
    funnel="cart",
    channel="web",
    session_id="s1",
    journey_id="cart:e1",
    entered_at="2026-11-28T04:00:00.000Z",
    ended_at="2026-11-28T04:30:00.000Z",
    value=40.98,
    status="completed_elsewhere",
    recovered_at="2026-11-28T04:20:00.000Z",
    recovered_channel="pos",
    recovered_session="till",
    recovered_value=40.98,
    store_id=None,
    region=None,
    device=None,
    version=8,
)
MOMENT = MomentMessage(
    schema_version="2.0",
    id="second-contact:c:c1:e9/web/s1/1/9",
    moment_id="second-contact:c:c1:e9",
    rule="second-contact",
    person="c:c1",
    channel="web",
    session_id="s1",
    at="2026-11-28T04:31:00.000Z",
    status="fired",
    events=["e1", "e9"],
    store_id=None,
    region=None,
    device="mobile",
    version=9,
)
BY_KIND = {"alerts": ALERT, "journeys": JOURNEY, "recoveries": RECOVERY, "moments": MOMENT}
Headers = Mapping[str, str]


def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def segment(body: Any, headers: Headers) -> None:
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"{KEY}:"
    (event,) = body["batch"]
    assert event["type"] == "track"
    assert event["event"]
    assert event.get("userId") or event.get("anonymousId")
    assert len(event["messageId"]) <= 100
    assert is_time(event["timestamp"])
    assert len(json.dumps(event)) <= 32_768


def slack(body: Any, headers: Headers) -> None:
    assert body["text"]
    assert all(len(block["text"]["text"]) <= 3_000 for block in body["blocks"])
    assert "Authorization" not in headers


def teams(body: Any, headers: Headers) -> None:
    assert body["type"] == "message"
    (attached,) = body["attachments"]
    assert attached["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attached["content"]["type"] == "AdaptiveCard"
    assert len(json.dumps(body)) <= 28_000
    assert "Authorization" not in headers


def pagerduty(body: Any, _headers: Headers) -> None:
    assert len(body["routing_key"]) == 32
    assert body["event_action"] in ("trigger", "acknowledge", "resolve")
    assert 0 < len(body["dedup_key"]) <= 255
    payload = body["payload"]
    assert 0 < len(payload["summary"]) <= 1_024
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert payload["source"]
    assert is_time(payload["timestamp"])


def klaviyo(body: Any, headers: Headers) -> None:
    assert headers["Authorization"] == f"Klaviyo-API-Key {KEY}"
    assert datetime.strptime(headers["revision"], "%Y-%m-%d")
    assert headers["Content-Type"] == "application/vnd.api+json"
    attributes = body["data"]["attributes"]
    assert body["data"]["type"] == "event"
    assert attributes["metric"]["data"]["attributes"]["name"]
    assert attributes["profile"]["data"]["attributes"]["external_id"] == "c1"
    assert attributes["unique_id"]
    assert isinstance(attributes["value"], float)
    assert is_time(attributes["time"])


def braze(body: Any, headers: Headers) -> None:
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert 1 <= len(body["events"]) <= 75
    for event in body["events"]:
        assert event["external_id"] == "c1"
        assert 0 < len(event["name"]) <= 255
        assert is_time(event["time"])


def hubspot(body: Any, headers: Headers) -> None:
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["eventName"] == "pe1_cart"
    assert body["utk"] == "v1"
    assert is_time(body["occurredAt"])
    assert all(isinstance(value, str) for value in body["properties"].values())


RULES: dict[str, Callable[[Any, Headers], None]] = {
    "segment": segment,
    "slack": slack,
    "teams": teams,
    "pagerduty": pagerduty,
    "klaviyo": klaviyo,
    "braze": braze,
    "hubspot": hubspot,
}
PAIRS = [(name, kind) for name, one in DESTINATIONS.items() for kind in one.messages]


def hook_of(name: str, kind: str, folder: Path) -> Hook:
    (folder / "key").write_text(KEY)
    (folder / "key").chmod(0o600)
    given: dict[str, Any] = {"name": name, "destination": name, "messages": kind}
    if not DESTINATIONS[name].address:
        given["url"] = "https://receiver.example/x"
    if DESTINATIONS[name].needs_key:
        given["secret_file"] = str(folder / "key")
    if name in OPTIONS:
        given["options"] = dict.fromkeys(OPTIONS[name], "pe1_cart")
    return Hook.model_validate(given)


def posted(hook: Hook, message: Any) -> list[tuple[str, Any, Headers]]:
    poster = MemoryPoster()
    asyncio.run(delivery(hook, poster).deliver(message.id, message.model_dump_json().encode()))
    return [(url, json.loads(body), headers) for url, body, headers in poster.posts]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_post_keeps_to_the_vendors_rules(name: str, kind: str, tmp_path: Path) -> None:
    ((url, body, headers),) = posted(hook_of(name, kind, tmp_path), BY_KIND[kind])
    assert url.startswith("https://")
    RULES[name](body, headers)
    assert "webhook-signature" not in headers


def test_an_incident_is_triggered_once_and_resolved_under_the_same_key(tmp_path: Path) -> None:
    hook = hook_of("pagerduty", "alerts", tmp_path)
    assert posted(hook, ALERT.model_copy(update={"status": "pending"})) == []
    ((_, begun, _),) = posted(hook, ALERT)
    ((_, ended, _),) = posted(hook, ALERT.model_copy(update={"status": "resolved"}))
    assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert begun["dedup_key"] == ended["dedup_key"] == "al-1"


@pytest.mark.parametrize("name", ["klaviyo", "braze"])
def test_nobody_is_written_to_who_is_not_a_customer(name: str, tmp_path: Path) -> None:
    assert posted(hook_of(name, "journeys", tmp_path), JOURNEY.model_copy(update={"customer_id": None})) == []
    assert posted(hook_of(name, "recoveries", tmp_path), RECOVERY.model_copy(update={"person": "v:d1"})) == []


def test_what_comes_again_is_the_same(tmp_path: Path) -> None:
    hook = hook_of("segment", "journeys", tmp_path)
    assert posted(hook, JOURNEY) == posted(hook, JOURNEY)
    assert posted(hook, JOURNEY)[0][1]["batch"][0]["event"] == "CX Journey Abandoned"


def test_a_vendors_pace_is_kept(tmp_path: Path) -> None:
    waited: list[float] = []
    now = [0.0]

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    one = delivery(hook_of("slack", "journeys", tmp_path), MemoryPoster())
    one._clock, one._sleep = lambda: now[0], sleep

    async def scenario() -> None:
        for _ in range(4):
            await one.deliver(JOURNEY.id, JOURNEY.model_dump_json().encode())

    asyncio.run(scenario())
    assert waited == pytest.approx([1.0, 1.0, 1.0])


def test_a_vendor_that_is_away_is_tried_again(tmp_path: Path) -> None:
    poster = MemoryPoster()
    poster.failures = [SinkUnavailableError("503")]

    async def at_once(_seconds: float) -> None:
        return None

    one = delivery(hook_of("braze", "journeys", tmp_path), poster)
    one._sleep = at_once
    asyncio.run(one.deliver(JOURNEY.id, JOURNEY.model_dump_json().encode()))
    assert len(poster.posts) == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('destination = "slak"\nurl = "https://x"\nmessages = "alerts"', "no 'slak'; there are segment"),
        ('destination = "pagerduty"\nmessages = "journeys"\nsecret_file = "k"', "pagerduty takes alerts"),
        ('destination = "slack"\nmessages = "alerts"', "url: where it is posted to"),
        ('destination = "braze"\nurl = "https://x"\nmessages = "journeys"', "secret_file: the secret"),
        ('destination = "hubspot"\nmessages = "journeys"\nsecret_file = "k"', "options: hubspot has event_name"),
        ('destination = "slack"\nmessages = "alerts"\nurl_file = "/none"', "url_file cannot be read"),
        ('url = "https://x"\nmessages = "alerts"', "secret_file: the secret"),
    ],
)
def test_an_error_in_the_file_says_what_is_missing(content: str, error: str, tmp_path: Path) -> None:
    path = tmp_path / "hooks.toml"
    path.write_text(f'[[webhook]]\nname = "x"\n{content}\n')
    with pytest.raises(HooksError) as raised:
        load_hooks(str(path))
    assert error in str(raised.value)


def test_an_address_that_is_a_secret_is_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("https://hooks.example/secret\n")
    (tmp_path / "address").chmod(0o600)
    hook = Hook(name="x", destination="slack", messages="alerts", url_file=str(tmp_path / "address"))
    assert hook.url == "https://hooks.example/secret"
