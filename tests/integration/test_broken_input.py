"""Broken input becomes dead letters; the good events around it count; the outputs keep their contracts."""

import base64
import hashlib
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.collector.incoming import Incoming
from pipeline.collector.letters import letter_of, source_of
from schemas.deadletters import DEADLETTERS_TOPIC, DeadLetterMessage
from schemas.journeys import JOURNEYS_TOPIC, JourneyMessage
from schemas.signals import ABANDONMENT_TOPIC, SATISFACTION_TOPIC, SignalMessage
from schemas.tiles import TILES_TOPIC, TilesMessage
from schemas.times import format_rfc3339
from tests.contract.test_decoding import REFUSED
from tests.systems import System, cx

# The broker lets messages up to 1 MiB in; larger ones are refused to the producer already.
BROKEN = {name: payload for name, (payload, _) in REFUSED.items() if len(payload) < 900_000}


Output = DeadLetterMessage | JourneyMessage | SignalMessage | TilesMessage


def good(number: int, **fields: Any) -> tuple[str, bytes]:
    event = {
        "event_id": f"good-{number}",
        "type": "product_added",
        "occurred_at": format_rfc3339(int(time.time() * 1000) - 5_000 + number),
        "channel": "web",
        "session_id": f"session-{number % 5}",
        "value": 12.5,
    }
    return f"session-{number % 5}", json.dumps(event | fields).encode()


@pytest.fixture(scope="module")
def fed(running: System) -> System:
    messages = [good(0)]
    for number, payload in enumerate(BROKEN.values(), start=1):
        messages += [("x", payload), good(number)]
    running.send("touchpoints.web", messages)
    running.send("touchpoints.app", [good(900)])  # the wrong topic
    ahead = format_rfc3339(int(time.time() * 1000) + 3_600_000)
    running.send("touchpoints.web", [good(901, occurred_at=ahead)])
    # A clock that runs ahead. Apache Kafka itself refuses records over an hour ahead of its own clock.
    ahead_of_us = int(time.time() * 1000) + 1_800_000
    running.send("touchpoints.web", [good(902, occurred_at=format_rfc3339(ahead_of_us))], timestamp=ahead_of_us)
    running.send("touchpoints.web", [good(905, type="order_completed")])
    expected = len(BROKEN) + 3
    running.wait_for(lambda: running.sql("SELECT count() FROM cx.dead_letters FINAL")[0][0] >= expected)
    return running


def test_each_is_a_dead_letter_with_its_bytes_and_place(fed: System) -> None:
    rows = fed.sql(
        "SELECT topic, partition, offset, reason, error, base64Encode(payload), size, sha256 "
        "FROM cx.dead_letters FINAL"
    )
    by_payload = {base64.b64decode(row[5]): row for row in rows}
    for name, payload in BROKEN.items():
        row = by_payload[payload[:65_536]]
        assert row[0] == "touchpoints.web", name
        assert row[3] == "invalid", name
        assert row[4], name
        assert row[6:] == (len(payload), hashlib.sha256(payload).hexdigest()), name
    assert sorted(row[3] for row in rows if row[3] != "invalid") == ["in_future", "in_future", "wrong_topic"]
    at = {(m.topic(), m.partition(), m.offset()): m.value() for m in fed.messages("touchpoints.web")}
    for row in rows:
        if row[0] == "touchpoints.web":
            assert (at[row[0], row[1], row[2]] or b"")[:65_536] == base64.b64decode(row[5])


def test_the_good_events_around_them_count(fed: System) -> None:
    fed.wait_for(
        lambda: (
            fed.sql("SELECT sum(events) FROM cx.tiles FINAL WHERE segment = 'channel=web'") == [(len(BROKEN) + 2,)]
        )
    )
    verified = fed.cx("verify", "--timeout", "200", timeout=600)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_deadletters_list(fed: System) -> None:
    listed = fed.cx("deadletters", "list", "--reason", "wrong_topic")
    assert listed.returncode == 0, listed.stderr
    (line,) = listed.stdout.splitlines()
    assert json.loads(line)["topic"] == "touchpoints.app"
    assert fed.cx("deadletters", "list", "--reason", "nonsense").returncode == 2
    now = format_rfc3339(int(time.time() * 1000))
    assert fed.cx("deadletters", "list", "--since", now).stdout == ""
    until = fed.cx("deadletters", "list", "--until", now, "--limit", "3")
    assert len(until.stdout.splitlines()) == 3, until.stderr


def test_dead_letters_are_sent_again_once_and_only_those_that_would_count(fed: System) -> None:
    def replay(*options: str) -> Counter[str]:
        done = fed.cx("deadletters", "replay", *options)
        assert done.returncode == 0, done.stderr
        return Counter(json.loads(line)["verdict"] for line in done.stdout.splitlines())

    dry = replay()
    # The event of the wrong topic, and the one whose record had a clock that ran ahead, if time has come.
    assert dry["still_refused"] >= len(BROKEN)
    assert dry["send"] == 1
    assert replay() == dry  # nothing was done
    assert replay("--reason", "wrong_topic", "--send") == {"send": 1}
    assert replay("--reason", "wrong_topic", "--send") == {}
    counted = "SELECT sum(events) FROM cx.tiles FINAL WHERE segment = 'channel=web'"
    fed.wait_for(lambda: fed.sql(counted) == [(len(BROKEN) + 3,)])
    fed.verify()


def test_what_is_good_in_a_letter_of_the_collector_is_sent_and_the_rest_stays(fed: System, tmp_path: Path) -> None:
    """Two events of a batch had failed; the file of sources has been mended for one of them."""
    sources = tmp_path / "sources.toml"
    sources.write_text('[sources.web]\nkind = "segment"\nkeys = ["k"]\n')
    now = format_rfc3339(int(time.time() * 1000))
    same = {"type": "track", "anonymousId": "a-visitor", "timestamp": now, "originalTimestamp": now}
    batch = [
        same | {"messageId": "mended", "event": "Product Added", "properties": {"price": 5, "quantity": 1}},
        same
        | {"messageId": "broken", "event": "Order Completed", "properties": {"order_id": "1", "total": "much"}},
        same | {"messageId": "taken then", "event": "Product Added"},
    ]
    body = json.dumps({"batch": batch, "writeKey": "k"}).encode()
    request = Incoming("POST", "/v1/batch", {}, {"user-agent": "a b"}, body, int(time.time() * 1000))
    letter = letter_of(request, "event 0: as it was", b"", [0, 1])
    topic, partition = source_of("web")
    columns = "received_at, topic, partition, offset, reason, error, payload, size, sha256"
    row = (datetime.now(UTC), topic, partition, letter.offset, letter.reason, letter.error)
    fed.sql(f"INSERT INTO cx.dead_letters ({columns}) VALUES", [(*row, letter.payload, len(body), letter.sha256)])

    def replay(*options: str) -> dict[str, Any]:
        environ = fed.environ | {"CX_COLLECTOR__SOURCES": str(sources)}
        done = cx("deadletters", "replay", "--topic", topic, *options, environ=environ)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        return dict(json.loads(line))

    def added() -> Any:
        return fed.sql("SELECT sum(events) FROM cx.tiles FINAL WHERE segment = 'channel=web'")[0][0]

    before = added()
    assert replay("--send")["verdict"] == "send"
    fed.wait_for(lambda: added() == before + 1)
    again = replay("--send")
    assert again["verdict"] == "still_refused"
    assert "no" in again["detail"]
    ((error,),) = fed.sql(f"SELECT error FROM cx.dead_letters FINAL WHERE topic = '{topic}'")
    assert error.endswith("[request: POST /v1/batch user-agent=a%20b events=1]")


def test_every_output_message_keeps_its_contract_and_is_a_cloudevent(fed: System) -> None:
    models: dict[str, type[Output]] = {
        DEADLETTERS_TOPIC: DeadLetterMessage,
        JOURNEYS_TOPIC: JourneyMessage,
        SATISFACTION_TOPIC: SignalMessage,
        ABANDONMENT_TOPIC: SignalMessage,
        TILES_TOPIC: TilesMessage,
    }
    fed.wait_for(lambda: all(fed.messages(topic) for topic in models))
    for topic, model in models.items():
        seen = set()
        for message in fed.messages(topic):
            body = model.model_validate_json(message.value() or b"", strict=False)
            headers = dict(message.headers() or [])
            assert headers["ce_specversion"] == b"1.0"
            assert headers["content-type"] == b"application/json"
            if not isinstance(body, TilesMessage):
                assert headers["ce_id"] == body.id.encode()
            seen.add(headers["ce_id"])
            key = message.key()
            if isinstance(body, SignalMessage):
                assert key == body.segment.encode()
            elif isinstance(body, JourneyMessage):
                assert key == body.session_id.encode()
        assert seen


def test_tail_shows_messages_as_json_lines(fed: System) -> None:
    shown = fed.cx(
        "tail", "cx.signals.satisfaction", "--from-beginning", "--no-follow", "--segment", "channel=web"
    )
    assert shown.returncode == 0, shown.stderr
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert rows
    assert {row["value"]["segment"] for row in rows} == {"channel=web"}


def test_a_difference_is_found_and_shown(fed: System) -> None:
    """verify can fail: a row put beside the pipeline is reported, and the exit status is 1."""
    fed.sql(
        "INSERT INTO cx.dead_letters (received_at, topic, partition, offset, reason) VALUES",
        [(0, "touchpoints.web", 0, 0, "too_late")],
    )
    verified = fed.cx("verify", "--timeout", "200", timeout=600)
    assert verified.returncode == 1
    assert "waiting for the pipeline to have stored" in verified.stderr, "before it is said"
    assert "('touchpoints.web', 0, 0)" in verified.stdout
