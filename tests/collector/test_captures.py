"""Requests of the real SDKs, recorded: each gives exactly the touchpoints written down for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.collector.sources import FAMILIES
from tests.collector.support import CAPTURES, captured, intake

EXPECTED = Path(__file__).with_name("expected")
#: Of the first part of a capture's name.
OF_NAME = {
    "adobe": "adobe",
    "minimal-analytics": "ga4",
    "posthog-js": "posthog",
    "posthog-node": "posthog",
    "rudderstack": "rudderstack",
    "segment": "segment",
    "snowplow": "snowplow",
}
#: A tracker that was told neither of a session nor of anybody: it must not become a session of its own.
NOBODYS = {
    "python_sdks_segment-2.4.0_rudder-2.1.9_snowplow-1.1.0_posthog-7.91.1": [
        "session_id: the event names neither a session nor a visitor or customer to have one"
    ]
}
NAMES = sorted(path.stem for path in CAPTURES.glob("*.ndjson"))
CONFIGURED: dict[str, dict[str, Any]] = {"adobe": {"organisation": "ORG@AdobeOrg"}}


def family_of(capture: str, path: str) -> str:
    """Of captures with several SDKs the path tells whose request it is."""
    if capture.startswith(("python_sdks", "retry_node")):
        if "snowplow" in path:
            return "snowplow"
        return "posthog" if path.startswith("/batch") else "segment"
    first = capture.removeprefix("retry_").split("_")[0]
    return OF_NAME[first]


def outcome(capture: str, path: str, request: Any) -> dict[str, Any]:
    source = intake(family_of(capture, path), **CONFIGURED.get(family_of(capture, path), {}))
    if (reply := source.hand_shake(request)) is not None:
        return {"hand_shake": reply.status}
    taken = source.take(request)
    return {
        "touchpoints": [json.loads(one.payload) for one in taken.finished],
        "ignored": dict(taken.ignored),
        "problems": taken.problems,
    }


@pytest.mark.parametrize("capture", NAMES)
def test_each_request_becomes_what_is_written_down(capture: str) -> None:
    found = {
        str(number): outcome(capture, told["path"], request)
        for number, told, request in captured(CAPTURES / f"{capture}.ndjson")
    }
    expected = json.loads((EXPECTED / f"{capture}.json").read_text())
    assert found == expected
    problems = [problem for one in found.values() for problem in one.get("problems", ())]
    assert problems == NOBODYS.get(capture, [])


def test_all_captures_are_looked_at() -> None:
    assert len(NAMES) == 24
    events = sum(
        len(one.get("touchpoints", ()))
        for path in EXPECTED.glob("*.json")
        for one in json.loads(path.read_text()).values()
    )
    assert events > 150


@pytest.mark.parametrize("capture", [name for name in NAMES if name.startswith("retry_")])
def test_a_retried_event_is_the_same_to_the_last_byte(capture: str) -> None:
    """The identity of a touchpoint holds its time: a copy that differed would count twice."""
    told: dict[bytes, bytes] = {}
    copies = 0
    for _, told_request, request in captured(CAPTURES / f"{capture}.ndjson"):
        source = intake(family_of(capture, told_request["path"]))
        if source.hand_shake(request) is None:
            for one in source.take(request).finished:
                copies += one.native in told
                assert told.setdefault(one.native, one.payload) == one.payload
    assert copies


def test_every_family_of_the_captures_is_one_of_ours() -> None:
    assert set(OF_NAME.values()) <= set(FAMILIES)
