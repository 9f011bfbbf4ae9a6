"""What sending a dead letter again would come to; and the watch over a flood of them."""

import hashlib
import logging

import pytest

from pipeline.metrics import Metrics
from pipeline.stages.floods import FloodWatch
from pipeline.tools.deadletters import Judge, Judged, Letter, Verdict
from schemas.deadletters import KEPT_PAYLOAD_BYTES
from tests.support import START_MS, event_json

TOPICS = {"touchpoints.web": 1, "touchpoints.app": 1, "touchpoints.pos": 1}
CUTOFFS = {("touchpoints.web", 0): START_MS}


def letter(payload: bytes, topic: str = "touchpoints.web", offset: int = 0) -> Letter:
    digest = hashlib.sha256(payload).hexdigest()
    return Letter(topic, 0, offset, "any", payload[:KEPT_PAYLOAD_BYTES], len(payload), digest)


def judge(one: Letter, whole: bytes | None = None, sent: tuple[str, ...] = ()) -> Judged:
    return Judge(TOPICS, CUTOFFS, sent, START_MS + 60_000, lambda _: whole).judge(one)


def test_an_event_of_the_wrong_topic_goes_to_its_own() -> None:
    judged = judge(letter(event_json(5), "touchpoints.app"))
    assert (judged.verdict, judged.detail) == (Verdict.SEND, "touchpoints.web")
    assert [one.payload for one in judged.ready] == [event_json(5)]


@pytest.mark.parametrize(
    ("payload", "verdict", "detail"),
    [
        (b"{}", Verdict.STILL_REFUSED, "invalid: "),
        (event_json(-1), Verdict.TOO_LATE, "by 0.001 s"),
        (event_json(0), Verdict.SEND, "touchpoints.web"),
        (event_json(60_000 + 300_000), Verdict.SEND, "touchpoints.web"),
        (event_json(60_000 + 300_001), Verdict.STILL_REFUSED, "in_future: "),
    ],
)
def test_what_would_be_refused_again_is_not_sent(payload: bytes, verdict: Verdict, detail: str) -> None:
    judged = judge(letter(payload))
    assert judged.verdict is verdict
    assert judged.detail.startswith(detail)


def test_the_same_bytes_are_sent_once() -> None:
    twice = Judge(TOPICS, {}, (), START_MS, lambda _: None)
    assert twice.judge(letter(event_json(0), offset=1)).verdict is Verdict.SEND
    assert twice.judge(letter(event_json(0), offset=2)).verdict is Verdict.SENT_BEFORE
    before = letter(event_json(0))
    assert judge(before, sent=(before.sha256,)).verdict is Verdict.SENT_BEFORE


def test_a_long_payload_is_taken_from_its_topic_or_said_to_be_gone() -> None:
    payload = event_json(0, unknown="x" * 100_000)
    assert judge(letter(payload), whole=payload).ready[0].payload == payload
    assert judge(letter(payload)).verdict is Verdict.PAYLOAD_GONE
    assert judge(letter(payload), whole=event_json(1)).verdict is Verdict.PAYLOAD_GONE


def test_a_row_of_ours_is_no_input() -> None:
    assert judge(letter(event_json(0), "clickhouse:signals")).verdict is Verdict.NO_INPUT


def test_a_flood_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    metrics, now = Metrics(), [0.0]
    watch = FloodWatch(metrics, 0.1, lambda: now[0])

    def gauge() -> float | None:
        return metrics.registry.get_sample_value("cx_dead_letter_flood", {"topic": "t"})

    with caplog.at_level(logging.WARNING):
        watch.count("t", 50, 90)  # too few records to say anything
        assert gauge() == 0
        watch.count("t", 0, 410)
        assert gauge() == 0  # 10 %, not over it
        watch.count("t", 1, 1)
        watch.count("t", 1, 1)
        assert gauge() == 1
        assert len(caplog.records) == 1
        assert "deadletters list --topic t" in caplog.text
        now[0] = 61.0
        watch.count("t", 0, 200)
        assert gauge() == 0
        assert len(caplog.records) == 2
