"""What cannot be mapped: letters, the way back from them, and rows of what sources have sent."""

import json
from pathlib import Path

import pytest

from pipeline.collector.incoming import Incoming
from pipeline.collector.letters import error_of_the_rest, letter_of, request_of, source_of
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.rows import CollectorRows
from sinks.memory import MemorySink
from tests.collector.serving import run, running, sale


def test_what_cannot_be_mapped_is_a_letter_and_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            body = json.dumps([sale(1), sale(2, total="much"), sale(3, store=None)]).encode()
            status, _, _ = await one.post("/in/till", body)
            assert status == 200
            assert [event.event_id for event in one.events()] == ["s1"]
            ((place, letter),) = one.kept
            assert place == source_of("till")
            assert letter.payload == body
            assert "event 1: value: no number: 'much'" in letter.error
            assert "event 2: event: store_id is required" in letter.error
            (message,) = [one for one in one.producer.produced if one.topic == "cx.deadletters"]
            assert json.loads(message.value or b"")["topic"] == "collector:till"
            assert one.outcomes() == {"mapped": 1.0, "invalid": 2.0}

    run(scenario())


def test_a_letter_leads_back_to_its_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            await one.post("/in/till/a/b?x=1&api_key=hidden", {"id": 1})
            ((_, letter),) = one.kept
            assert "hidden" not in letter.error
            again = request_of(letter.error, letter.payload, letter.received_ms).request
            assert (again.method, again.path, again.query["x"], again.raw) == ("POST", "/a/b", "1", b'{"id": 1}')

    run(scenario())


@pytest.mark.parametrize("body", [b"", b'{"batch": [{"type": 1}'])
def test_a_letter_of_a_query_and_its_events_lead_back(body: bytes) -> None:
    query = "en=purchase&api_secret=hidden&cid=a%20b"
    asked = Incoming("POST", "/g/collect", {}, {"user-agent": "A 'b' [c]", "x-other": "y"}, body, 5, query)
    letter = letter_of(asked, "event 3: value: no number: 'x]'", b"", [3, 7])
    assert b"hidden" not in letter.payload
    assert "hidden" not in letter.error
    kept = request_of(letter.error, letter.payload, letter.received_ms)
    assert kept.request.raw == body
    assert (kept.request.query["en"], kept.request.query["cid"]) == ("purchase", "a b")
    assert kept.request.headers == {"user-agent": "A 'b' [c]"}
    assert [number for number in range(10) if number in kept.only] == [3, 7]
    rest = request_of(error_of_the_rest(letter.error, "value: [still]", [7]), letter.payload, letter.received_ms)
    assert rest.request == kept.request
    assert [number for number in range(10) if number in rest.only] == [7]


def test_what_sources_have_sent_is_a_row_and_so_is_each_letter() -> None:
    async def scenario() -> None:
        sink, metrics = MemorySink(), CollectorMetrics()
        rows = CollectorRows(sink, metrics, {"web": "segment", "till": "json"}, "host:1", lambda: 7_000)
        rows.start()
        metrics.note_request("web", 200, 0.1)
        metrics.note_sent("web", 3, 2, 1)
        metrics.note_newest("web", 5_000)
        rows.tell()
        rows.tell()  # nothing new
        metrics.note_request("web", 200, 0.1)
        metrics.note_time("web", "too_late")
        rows.keep(source_of("till"), letter_of(Incoming("POST", "/", {}, {}, b"x", 5), "wrong", b""))
        await rows.close()
        names = ("source", "at", "requests", "mapped", "copies", "orders_again", "too_late", "newest_at")
        told = [tuple(row[name] for name in names) for row in sink.tables["sources"]]
        assert told == [("web", 7_000, 1, 3, 2, 1, 0, 5_000), ("web", 7_000, 1, 0, 0, 0, 1, 5_000)]
        assert [row["topic"] for row in sink.tables["dead_letters"]] == ["collector:till"]

    run(scenario())
