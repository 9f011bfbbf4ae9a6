"""Input of odd sizes, in full: very many steps in one second, and everybody in one session."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.hostile.oddities import WEB
from tests.systems import Lab

STEPS, MOST_STEPS = 95_000, 2_000
BOT_EVENTS, LATE = 100_000, 50
#: Of some minutes ago, and the same for all that is sent.
BEGIN = datetime.now(UTC) - timedelta(minutes=20)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    system = Lab.start(tmp_path_factory.mktemp("sizes"))
    try:
        yield system
    finally:
        system.stop()


def event(number: int, seconds: float, session: str, kind: str, **more: Any) -> bytes:
    at = (BEGIN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    content = {"event_id": f"{session}-{number}", "type": kind, "occurred_at": at, "channel": "web"}
    return json.dumps(content | {"session_id": session} | more).encode()


def accepted(lab: Lab) -> float:
    return lab.workers[0].metric("cx_events_total", topic=WEB, outcome="accepted")


def test_very_many_steps_in_one_second_are_counted_and_told_apart_up_to_the_cap(lab: Lab) -> None:
    """Each has 64 characters: told apart they made a message of 9 MB, which Kafka refuses."""
    sessions = [f"s{number % 1_000}" for number in range(STEPS)]
    events = [
        (session, event(number, 0.5, session, "error_shown", step=f"{number:064}"))
        for number, session in enumerate(sessions)
    ]
    lab.send(WEB, events)
    worker = lab.workers[0]
    lab.wait_for(lambda: accepted(lab) == STEPS, 300)
    lab.wait_for(lambda: worker.metric("cx_dimension_full", dimension="step") == 1)
    lab.verify()
    (named, counted), *_ = lab.sql(
        "SELECT length(groupUniqArrayArray(mapKeys(by_step))), sum(arraySum(mapValues(by_step)))"
        " FROM cx.tiles FINAL WHERE segment = 'all'"
    )
    assert (named, counted) == (MOST_STEPS + 1, STEPS)  # the rest is 'other'
    assert worker.child.process.poll() is None


def test_everybody_in_one_session_is_bounded_and_verified(lab: Lab) -> None:
    """A client that sends ``undefined`` for its session id: few later events are walked again."""
    before = accepted(lab)
    kinds = ("product_added", "page_viewed", "order_completed", "page_viewed")
    events = [event(n, n / 200, "undefined", kinds[n % 4], value=1.0) for n in range(BOT_EVENTS)]
    late = [event(BOT_EVENTS + n, n * 9 + 0.001, "undefined", "product_added", value=1.0) for n in range(LATE)]
    lab.send(WEB, [("undefined", value) for value in events])
    lab.wait_for(lambda: accepted(lab) == before + BOT_EVENTS, 300)
    lab.send(WEB, [("undefined", value) for value in late])
    worker = lab.workers[0]
    judged = before + BOT_EVENTS + LATE
    lab.wait_for(lambda: accepted(lab) + worker.metric("cx_dead_letters_total", reason="too_late") == judged)
    # Those with more than 20,000 events after them come too late; of the others all are taken.
    assert 0 < accepted(lab) - before - BOT_EVENTS < LATE
    assert worker.metric("cx_long_session_batches_total", topic=WEB) > 0
    assert "undefined" in lab.log.read_text()
    lab.verify()
