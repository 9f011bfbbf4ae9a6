"""The collector beside a bare server that only reads a body and produces it: CPU a request, requests a second of
one core, and how long an answer takes at half of that.

    python -m tests.benchmarks.collector --rounds 3

Single events as Segment's SDK for browsers sends them, and batches of 50. Both servers are the same aiohttp with
the same producer; each answers when Kafka, the embedded broker, has acknowledged. CPU is of the whole process.
"""

import argparse
import asyncio
import base64
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.embedded.kafka import Kafka
from deploy.embedded.process import free_port
from pipeline.collector.collecting import Collecting
from pipeline.collector.finishing import Finished
from pipeline.collector.identity import Seen
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.producing import Producing
from pipeline.collector.server import Collector, new_server
from pipeline.collector.sources_file import load_sources
from pipeline.kafka.clients import new_producer
from pipeline.settings import KafkaSettings
from schemas.events import CHANNELS, TOUCHPOINT_TOPICS
from schemas.times import format_rfc3339
from schemas.vocabulary import CONTRACT
from tests.benchmarks.whole_job import cpu_seconds

_CONNECTIONS: Final = 32
_BATCH: Final = 50
_AUTHORIZATION: Final = "Basic " + base64.b64encode(b"WK:").decode()
_SOURCES: Final = '[sources.web]\nkind = "segment"\nkeys = ["WK"]\n'
_USER_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140 Safari/537.36"
)


def event(number: int) -> dict[str, object]:
    """About 900 bytes, as a browser sends it."""
    page = {"path": "/p", "referrer": "", "search": "", "title": "Shop", "url": "https://shop.example/p"}
    names = ("Product Viewed", "Product Added", "Products Searched", "Checkout Started", "Cart Viewed")
    return {
        "timestamp": format_rfc3339(time.time_ns() // 1_000_000),
        "integrations": {},
        "event": names[number % len(names)],
        "type": "track",
        "properties": {"product_id": "507", "sku": "G-32", "price": 18.99, "quantity": 2, "currency": "EUR"},
        "context": {
            "page": page,
            "userAgent": _USER_AGENT,
            "locale": "en-US",
            "library": {"name": "analytics.js", "version": "next-1.84.3"},
            "timezone": "UTC",
        },
        "messageId": f"ajs-next-{uuid.uuid4()}",
        "anonymousId": str(uuid.UUID(int=number % 5_000)),
        "writeKey": "WK",
        "userId": None,
        "sentAt": format_rfc3339(time.time_ns() // 1_000_000),
    }


def body(number: int, batch: int) -> bytes:
    if batch == 1:
        return json.dumps(event(number)).encode()
    events = [event(number * batch + one) for one in range(batch)]
    return json.dumps({"batch": events, "writeKey": "WK", "sentAt": events[0]["sentAt"]}).encode()


async def serve(kind: str, port: int, brokers: str) -> None:
    """Until it is killed."""
    producer = new_producer(KafkaSettings(bootstrap_servers=brokers), 5)
    producing = Producing(producer, Seen(), 10.0, lambda: time.time_ns() // 1_000_000)
    producing.start()
    if kind == "bare":

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            raw = await request.read()
            key = uuid.uuid4().bytes
            one = Finished("web", "s", "", 0, raw, key, b"", "")
            await producing.send([one], [], time.time_ns() // 1_000_000)
            return web.Response(body=b'{"success":true}', content_type="application/json")

        server = web.Server(handle, access_log=None, auto_decompress=False)
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(_SOURCES)
            file.flush()
            sources = load_sources(file.name, CONTRACT, time.time)
        metrics = CollectorMetrics()
        lateness = dict.fromkeys(CHANNELS, 3_600_000)
        server = new_server(Collector(sources, Collecting(producing, metrics, lambda *_: None, lateness), metrics))
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def load(port: int, batch: int, seconds: float, rate: float = 0.0) -> list[float]:
    """Seconds that each answer took. ``rate``: requests a second in all; 0: as many as are answered."""
    took: list[float] = []
    numbers = iter(range(1 << 40))
    until_s = time.perf_counter() + seconds
    headers = {"Authorization": _AUTHORIZATION, "Content-Type": "text/plain", "Origin": "https://shop.example"}
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)

    async def client(session: aiohttp.ClientSession, first_s: float) -> None:
        due_s = first_s
        while (now_s := time.perf_counter()) < until_s:
            if rate:
                due_s += _CONNECTIONS / rate
                await asyncio.sleep(max(0.0, due_s - now_s))
            data = body(next(numbers), batch)
            started_s = time.perf_counter()
            async with session.post(f"http://127.0.0.1:{port}/web/v1/t", data=data, headers=headers) as answer:
                await answer.read()
                assert answer.status == 200, answer.status
            took.append(time.perf_counter() - started_s)

    async with aiohttp.ClientSession(connector=connector) as session:
        start_s = time.perf_counter()
        stagger_s = 1 / rate if rate else 0.0
        await asyncio.gather(*(client(session, start_s + one * stagger_s) for one in range(_CONNECTIONS)))
    return took


def measure(kind: str, batch: int, brokers: str, seconds: float) -> tuple[float, float]:
    """CPU seconds a request, and the 99th percentile of an answer at half of what one core could do."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.collector", "--serve", kind]
    child = subprocess.Popen([*command, "--port", str(port), "--brokers", brokers])
    try:
        _wait(port)
        asyncio.run(load(port, batch, 2.0))
        before = cpu_seconds(child.pid)
        took = asyncio.run(load(port, batch, seconds))
        each = (cpu_seconds(child.pid) - before) / len(took)
        paced = sorted(asyncio.run(load(port, batch, seconds, rate=0.5 / each)))
        return each, paced[int(len(paced) * 0.99)]
    finally:
        child.kill()
        child.wait()


def _wait(port: int) -> None:
    async def tried() -> None:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/none") as answer:
            await answer.read()

    for _ in range(100):
        try:
            asyncio.run(tried())
        except aiohttp.ClientError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--serve", choices=("bare", "full"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--brokers", default="")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, options.port, options.brokers))
        return
    with tempfile.TemporaryDirectory() as folder:
        kafka = Kafka(Path(folder) / "kafka", free_port(), Path(folder) / "kafka.log", "")
        broker = kafka.start()
        try:
            admin = AdminClient({"bootstrap.servers": kafka.address})
            for made in admin.create_topics([NewTopic(one, 4, 1) for one in TOUCHPOINT_TOPICS]).values():
                made.result(30)
            for batch in (1, _BATCH):
                _compare(batch, kafka.address, options.rounds, options.seconds)
        finally:
            broker.stop()


def _compare(batch: int, brokers: str, rounds: int, seconds: float) -> None:
    shares, answers = [], []
    for _ in range(rounds):
        bare, _ = measure("bare", batch, brokers, seconds)
        full, p99 = measure("full", batch, brokers, seconds)
        shares.append(bare / full)
        answers.append(p99)
        print(
            f"  batches of {batch}: bare {1e6 * bare:.0f} us a request, collector {1e6 * full:.0f} us "
            f"({1 / full:,.0f} requests/s, {batch / full:,.0f} events/s of one core), {bare / full:.0%} of bare; "
            f"p99 at half load {1e3 * p99:.0f} ms"
        )
    print(
        f"batches of {batch}: {min(shares):.0%} to {max(shares):.0%} of the bare server, median "
        f"{statistics.median(shares):.0%}; p99 at half load at most {1e3 * max(answers):.0f} ms"
    )


if __name__ == "__main__":
    main()
