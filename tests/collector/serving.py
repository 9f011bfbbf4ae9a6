"""A collector on a port, with Kafka in memory, for tests."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from pipeline.collector.collecting import Collecting
from pipeline.collector.identity import Seen
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.producing import Producing
from pipeline.collector.reading import Reading
from pipeline.collector.server import Collector, new_server
from pipeline.collector.sources_file import load_sources
from pipeline.kafka.memory import MemoryProducer
from pipeline.model.records import DeadLetter
from schemas.decoding import decode
from schemas.times import format_rfc3339
from schemas.touchpoint import Touchpoint
from schemas.vocabulary import CONTRACT

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
