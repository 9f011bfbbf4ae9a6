"""The port that senders use and the one for metrics: who may send, slow and large bodies, health."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.reading import Reading
from pipeline.collector.server import new_admin_app
from tests.collector.serving import KEY, run, running, sale, track


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
        async with running(tmp_path, reading=Reading(read_s=30.0, most_together=3_000)) as one:
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
