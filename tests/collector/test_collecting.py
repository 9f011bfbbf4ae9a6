"""A request to its answer: what is in Kafka when it is 2xx, what senders are told; letters; the sources' file."""

import asyncio
import base64
import contextlib
import gzip
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pipeline.collector.collecting import Collecting
from pipeline.collector.identity import Seen
from pipeline.collector.incoming import Incoming
from pipeline.collector.letters import error_of_the_rest, letter_of, request_of, source_of
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.producing import Producing
from pipeline.collector.reading import Reading
from pipeline.collector.rows import CollectorRows
from pipeline.collector.server import Collector, new_admin_app, new_server
from pipeline.collector.sources_file import load_sources
from pipeline.kafka.memory import MemoryProducer
from pipeline.model.records import DeadLetter
from pipeline.settings import SettingsError
from schemas.decoding import decode
from schemas.times import format_rfc3339
from schemas.touchpoint import Touchpoint
from schemas.vocabulary import CONTRACT
from sinks.memory import MemorySink

SOURCES = """
[sources.web]
kind = "segment"
keys = ["WK"]
origins = ["https://shop.example"]
shop = "x"

[sources.till]
kind = "json"
path = "/in/till"
auth = "none"
shop = "x"
most_bytes = 2048
most_events = 3
most_waiting = 20

[sources.till.events."*"]
type = "sale_completed"

[sources.till.fields]
event_id = "id"
occurred_at = "at | iso"
channel = "'pos'"
session_id = "ticket"
store_id = "store"
value = "total | num"
order_id = "order"
"""
_SHOP = """
[sources.a]
kind = "json"
auth = "none"

[sources.a.events."*"]
type = "sale_completed"

[sources.a.fields]
event_id = "id"
occurred_at = "at | iso"
channel = "'pos'"
session_id = "ticket"
store_id = "store"
order_id = "order"
"""
SOURCES += _SHOP + _SHOP.replace("sources.a", "sources.b")
LATENESS = dict.fromkeys(("web", "app", "pos"), 3_600_000)
KEY = {"Authorization": "Basic " + base64.b64encode(b"WK:").decode(), "Origin": "https://shop.example"}


class Running:
    def __init__(
        self, base: str, producer: MemoryProducer, metrics: CollectorMetrics, producing: Producing
    ) -> None:
        self.base, self.producer, self.metrics, self.producing = base, producer, metrics, producing
        self.kept: list[tuple[Any, DeadLetter]] = []
        self.client = aiohttp.ClientSession(auto_decompress=True)

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(self.base + path, data=data, headers=headers) as response:
            return response.status, await response.read(), response.headers

    def events(self) -> list[Touchpoint]:
        found = [decode(one.value) for one in self.producer.produced if one.topic.startswith("touchpoints.")]
        assert all(isinstance(one, Touchpoint) for one in found)
        return found  # type: ignore[return-value] # seen to be touchpoints

    def outcomes(self) -> dict[str, float]:
        return {
            sample.labels["outcome"]: sample.value
            for metric in self.metrics.events.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }


@asynccontextmanager
async def running(
    tmp_path: Path,
    producer: MemoryProducer | None = None,
    wait_s: float = 2.0,
    seen: Seen | None = None,
    reading: Reading | None = None,
) -> AsyncIterator[Running]:
    path = tmp_path / "sources.toml"
    path.write_text(SOURCES)
    made, metrics = producer or MemoryProducer(), CollectorMetrics()
    producing = Producing(made, Seen() if seen is None else seen, wait_s, lambda: time.time_ns() // 1_000_000)
    sources = load_sources(str(path), CONTRACT, time.time)
    found: list[Running] = []
    collecting = Collecting(producing, metrics, lambda *letter: found[0].kept.append(letter), LATENESS)
    runner = web.ServerRunner(new_server(Collector(sources, collecting, metrics, reading)))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    producing.start()
    address = runner.addresses[0]
    found.append(Running(f"http://127.0.0.1:{address[1]}", made, metrics, producing))
    try:
        yield found[0]
    finally:
        await found[0].client.close()
        await runner.cleanup()
        producing.close()


def track(event: str, number: int = 1, **properties: Any) -> dict[str, Any]:
    now = format_rfc3339(time.time_ns() // 1_000_000 - 1_000)
    base = {"type": "track", "event": event, "messageId": f"m{number}", "anonymousId": "a", "timestamp": now}
    return {**base, "properties": properties}


def sale(number: int = 1, **more: Any) -> dict[str, Any]:
    now = format_rfc3339(time.time_ns() // 1_000_000 - 1_000)
    return {"id": f"s{number}", "at": now, "ticket": f"t{number}", "store": "17", "total": 5, **more}


def run(coroutine: Any) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30))


def test_what_is_answered_well_is_in_kafka(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            status, body, headers = await one.post("/web/v1/t", track("Product Added", price=2, quantity=3), **KEY)
            assert (status, body) == (200, b'{"success":true}')
            assert headers["Access-Control-Allow-Origin"] == "https://shop.example"
            (event,) = one.events()
            assert (event.type, event.amount, event.visitor_id) == ("product_added", 60_000, "a")
            assert one.outcomes() == {"mapped": 1.0}

    run(scenario())


def test_a_copy_is_sent_once_and_answered_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            for _ in range(3):
                status, _, _ = await one.post("/web/v1/t", track("Product Added"), **KEY)
                assert status == 200
            assert len(one.events()) == 1
            assert one.outcomes() == {"mapped": 1.0, "copy": 2.0}

    run(scenario())


def test_an_order_is_told_once_whichever_source_tells_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            await one.post("/web/v1/t", track("Order Completed", 1, order_id="o1", total=9), **KEY)
            await one.post("/web/v1/t", track("Order Completed", 2, order_id="o1", total=9), **KEY)
            await one.post("/web/v1/t", track("Order Completed", 3, order_id="o2", total=9), **KEY)
            assert [event.order_id for event in one.events()] == ["o1", "o2"]
            assert one.outcomes()["order_again"] == 1.0

    run(scenario())


def test_copies_under_way_wait_for_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        producer = MemoryProducer(delivers=False)
        async with running(tmp_path, producer) as one:
            body = track("Product Added")
            posting = [asyncio.ensure_future(one.post("/web/v1/t", body, **KEY)) for _ in range(5)]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in posting)
            producer.delivers = True
            assert [status for status, _, _ in await asyncio.gather(*posting)] == [200] * 5
            assert len(one.events()) == 1

    run(scenario())


def test_what_kafka_does_not_take_in_time_is_to_come_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        producer = MemoryProducer(delivers=False)
        async with running(tmp_path, producer, wait_s=0.2) as one:
            body = track("Product Added")
            status, _, headers = await one.post("/web/v1/t", body, **KEY)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert headers["Access-Control-Allow-Origin"] == "https://shop.example"  # on errors too
            status, _, _ = await one.post("/web/v1/t", body, **KEY)
            assert status == 503  # it is under way still, and not sent a second time
            producer.delivers = True
            for _ in range(20):
                status, _, _ = await one.post("/web/v1/t", body, **KEY)
                if status == 200:
                    break
            assert status == 200
            assert len(one.events()) == 1

    run(scenario())


def test_a_full_queue_is_to_come_again_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        producer = MemoryProducer(delivers=False, room=1)
        async with running(tmp_path, producer, wait_s=0.2) as one:
            batch = {"batch": [track("Product Added", number) for number in range(3)], "writeKey": "WK"}
            assert (await one.post("/web/v1/batch", batch))[0] == 503
            producer.delivers, producer.room = True, 100
            for _ in range(20):
                if (await one.post("/web/v1/batch", batch))[0] == 200:
                    break
            assert {event.event_id for event in one.events()} == {"m0", "m1", "m2"}

    run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/web/v1/t", track("Product Added"), {"Authorization": "Basic bm9wZTo="}, 401),
        ("/web/v1/t", track("Product Added"), {}, 401),
        ("/web/v1/t", b"{", {}, 401),  # a stranger's rubbish is no letter
        ("/nowhere", {}, {}, 404),
        ("/in", {}, {}, 404),
        ("/in/till", b"x" * 3_000, {}, 413),
        ("/in/till", gzip.compress(b"0" * 100_000, mtime=0), {}, 413),
        ("/in/till", [sale(number) for number in range(4)], {}, 400),
        ("/in/till", b"{", {}, 400),
        ("/in/till", b"<a/>", {}, 400),
    ],
)
def test_what_must_not_come_again(
    tmp_path: Path, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            found, answer, _ = await one.post(path, body, **headers)
            assert found == status
            assert json.loads(answer)["error"]
            assert not one.events()
            assert len(one.kept) == (status == 400)

    run(scenario())


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


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "seen"
    seen = Seen(folder=folder)

    async def scenario() -> None:
        async with running(tmp_path, seen=seen) as one:
            shutil.rmtree(folder)
            for _ in range(2):
                assert (await one.post("/web/v1/t", track("Product Added"), **KEY))[0] == 200
            assert one.producing.waiting == 0
            assert len(one.events()) == 1

    run(scenario())
    assert "copies cannot be remembered on disk" in caplog.text
    seen.close()


def test_orders_of_two_shops_are_two(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            for path in ("/a", "/b"):
                assert (await one.post(path, sale(1, order="1001")))[0] == 200
            assert len(one.events()) == 2

    run(scenario())


def test_a_page_of_another_origin_may_not_send(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            status, _, _ = await one.post("/web/v1/t", track("Product Added"), **KEY | {"Origin": "https://x"})
            assert status == 403
            assert one.events() == []

    run(scenario())


def test_what_vendors_call_their_events_cannot_break_the_metrics() -> None:
    metrics = CollectorMetrics()
    metrics.note_ignored("web", "\ud800" + "x" * 500, 1)
    metrics.note_invalid("web", "a field that nobody knows")
    assert b'field="other"' in metrics.exposition()


def test_a_preflight_is_mirrored_for_pages_that_may_send(tmp_path: Path) -> None:
    asked = {
        "Access-Control-Request-Headers": "authorization,x-retry-count",
        "Access-Control-Request-Method": "POST",
    }

    async def scenario() -> None:
        async with running(tmp_path) as one:
            for origin, allowed in (
                ("https://shop.example", asked["Access-Control-Request-Headers"]),
                ("https://x", None),
            ):
                async with one.client.options(
                    f"{one.base}/web/v1/t", headers={**asked, "Origin": origin}
                ) as response:
                    assert response.status == 204
                    assert response.headers.get("Access-Control-Allow-Headers") == allowed

    run(scenario())


def test_a_slow_body_ends(tmp_path: Path) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" "
            await asyncio.sleep(0.1)

    async def scenario() -> None:
        async with running(tmp_path, reading=Reading(read_s=0.3)) as one:
            with contextlib.suppress(aiohttp.ClientError):
                async with one.client.post(f"{one.base}/in/till", data=slowly()) as response:
                    assert response.status == 408
            assert (await one.post("/in/till", sale()))[0] == 200

    run(scenario())


def test_who_sends_slowly_or_goes_away_keeps_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    head = b"POST /in/till HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"

    async def scenario() -> None:
        async with running(tmp_path) as one:
            port = int(one.base.rpartition(":")[2])
            half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
            for _, writer in half:
                writer.write(head)
            await asyncio.sleep(0.5)
            assert (await one.post("/in/till", sale()))[0] == 200
            for _, writer in half:
                writer.transport.abort()
            await asyncio.sleep(0.5)
            assert (await one.post("/in/till", sale(2)))[0] == 200

    run(scenario())
    assert not caplog.records


def test_what_is_on_its_way_together_is_bounded(tmp_path: Path) -> None:
    head = b"POST /in/till HTTP/1.1\r\nHost: x\r\nContent-Length: 1900\r\n\r\n" + b" " * 1_600

    async def scenario() -> None:
        async with running(tmp_path, reading=Reading(read_s=5.0, most_together=3_000)) as one:
            port = int(one.base.rpartition(":")[2])
            first = await asyncio.open_connection("127.0.0.1", port)
            second = await asyncio.open_connection("127.0.0.1", port)
            for _, writer in (first, second):
                writer.write(head)
                await asyncio.sleep(0.2)
            assert (await second[0].read(12)) == b"HTTP/1.1 503"
            first[1].write(b" " * 300)
            assert (await first[0].read(12)) == b"HTTP/1.1 400"

    run(scenario())


def test_health_and_metrics_are_on_a_port_of_their_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        metrics = CollectorMetrics()
        metrics.note_ignored("web", "identify", 2)
        for number in range(200):
            metrics.note_ignored("web", f"k{number}", 1)
        is_ready = True
        app = new_admin_app(metrics, lambda: is_ready, lambda: 7)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{base}/metrics") as response:
                text = await response.text()
            assert 'cx_collector_ignored_total{kind="identify",source="web"} 2.0' in text
            assert "cx_collector_unacknowledged 7.0" in text
            assert text.count("cx_collector_ignored_total{") < 60
            async with client.get(f"{base}/readyz") as response:
                assert response.status == 200
            is_ready = False
            async with client.get(f"{base}/readyz") as response:
                assert response.status == 503
        await runner.cleanup()

    run(scenario())


# --- the file of sources ---


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "there is no [sources.NAME]"),
        ("[other]", "line 1: other: only [sources.NAME]"),
        ('[sources.A]\nkind="segment"', "line 1: sources.A: a source's name"),
        (
            '[sources.a]\nkind="segmint"',
            "line 2: sources.a.kind: no such kind of source: 'segmint', did you mean segment",
        ),
        ('[sources.a]\nkind="segment"', "keys: the public keys"),
        ('[sources.a]\nkind="segment"\nkey=["x"]', "line 3: sources.a.key: Extra inputs"),
        ('[sources.a]\nkind="shopify"', "secret_files or secret_envs"),
        (
            '[sources.a]\nkind="shopify"\nsecret_files=["none"]',
            "line 3: sources.a.secret_files: none cannot be read",
        ),
        ('[sources.a]\nkind="shopify"\nsecret_envs=["CX_NONE"]', "the environment has no CX_NONE"),
        ('[sources.a]\nkind="square"\nsecret_files=["k"]', "public_url"),
        ('[sources.a]\nkind="segment"\nkeys=["x"]\npath="x/"', "line 4: sources.a.path: a path such as"),
        ('[sources.a]\nkind="segment"\nkeys=["x"]\n[sources.a.fields]\nstep="a |"', "sources.a.fields: 'a |'"),
        ('[sources.a]\nkind="json"\nauth="none"', "events: of kind 'json'"),
        (
            '[sources.a]\nkind="json"\nauth="magic"\n[sources.a.events."*"]\ntype="page_viewed"',
            "line 3: sources.a.auth",
        ),
        (
            '[sources.a]\nkind="segment"\nkeys=["x"]\npath="/p"\n[sources.b]\nkind="segment"\nkeys=["y"]\npath="/p"',
            "line 8: sources.b.path: /p is the path of 'a' already",
        ),
        ("[sources", "sources.toml: Expected"),
    ],
)
def test_an_error_in_the_file_names_its_line(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(content)
    (tmp_path / "k").write_text("secret\n")
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(SettingsError) as raised:
        load_sources(str(path), CONTRACT, time.time)
    assert error in str(raised.value)


def test_a_type_that_is_none_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text('[sources.a]\nkind="segment"\nkeys=["x"]\n[sources.a.events.Signup]\ntype="signed_up"')
    with pytest.raises(
        SettingsError, match=r"line 5: sources.a.events.Signup.type: no such event type: .signed_up."
    ):
        load_sources(str(path), CONTRACT, time.time)


def test_a_field_that_is_none_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text('[sources.a]\nkind="segment"\nkeys=["x"]\n[sources.a.fields]\nstoreid="b"')
    with pytest.raises(SettingsError, match=r"line 5: sources.a.fields.storeid: no such field.*store_id"):
        load_sources(str(path), CONTRACT, time.time)


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
