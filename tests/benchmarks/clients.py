"""Event lag while many clients use the worker's web server, against the same with none.

``python -m tests.benchmarks.clients``: starts a stack with a simulated shop, then, in turns, measures how long
an event takes from being sent to its journey being on ``cx.journeys``, idle and with 50 clients: half of them ask
the API and ``/metrics`` without pause, some listen to the stream, some open connections and say nothing.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
from confluent_kafka import Consumer, Producer

from tests.systems import Running

_PAUSE_S: Final = 0.2
ASKED: Final = (
    "/metrics",
    "/api/v1/signals/current?segment=all",
    "/api/v1/segments?signal=cart_abandonment&window=15m",
    "/api/v1/journeys?limit=100",
    "/api/v1/funnels?window=1h",
)


async def asking(web: str, path: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(web + path, timeout=aiohttp.ClientTimeout(30)) as answer:
                    await answer.read()
            await asyncio.sleep(0.01)


async def listening(web: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(web + "/api/v1/stream?window=5m") as answer:
                    async for _ in answer.content.iter_any():
                        pass
            await asyncio.sleep(1)


async def half_open(web: str) -> None:
    host, _, port = web.removeprefix("http://").partition(":")
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /metr")
            await reader.read()
            writer.close()
        await asyncio.sleep(0.1)


def clients(web: str) -> list[asyncio.Task[None]]:
    """Fifty."""
    found: list[asyncio.Task[None]] = [asyncio.create_task(asking(web, ASKED[n % len(ASKED)])) for n in range(25)]
    found += [asyncio.create_task(listening(web)) for _ in range(10)]
    return found + [asyncio.create_task(half_open(web)) for _ in range(15)]


class Lag:
    """Seconds from sending an event to reading its journey."""

    def __init__(self, servers: str) -> None:
        self._producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 0})
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "lag",
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.subscribe(["cx.journeys"])
        self._number = 0

    def measure(self, count: int) -> list[float]:
        """One after the other; blocks."""
        found = list[float]()
        while len(found) < count:
            self._number += 1
            session = f"lag-{time.time_ns()}"
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            for kind in ("product_added", "order_completed"):
                event = {
                    "event_id": kind,
                    "type": kind,
                    "occurred_at": at,
                    "channel": "web",
                    "session_id": session,
                }
                self._producer.produce("touchpoints.web", key=session, value=json.dumps(event))
            self._producer.flush()
            begun = time.monotonic()
            while time.monotonic() - begun < 10:
                message = self._consumer.poll(0.05)
                if message is not None and session.encode() in (message.value() or b""):
                    found.append(time.monotonic() - begun)
                    break
            time.sleep(_PAUSE_S)
        return found


async def measured(addresses: dict[str, str], rounds: int, count: int) -> None:
    lag = await asyncio.to_thread(Lag, addresses["kafka"])
    await asyncio.to_thread(lag.measure, 5)
    ratios = []
    for number in range(rounds):
        idle = await asyncio.to_thread(lag.measure, count)
        tasks = clients(addresses["web"])
        await asyncio.sleep(5)
        loaded = await asyncio.to_thread(lag.measure, count)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ratios.append(statistics.median(loaded) / statistics.median(idle))
        print(
            f"round {number + 1}: idle {shown(idle)}; 50 clients {shown(loaded)}; ratio {ratios[-1]:.2f}",
            flush=True,
        )
        await asyncio.sleep(5)
    print(f"worst ratio {max(ratios):.2f}, median {statistics.median(ratios):.2f}")


def shown(seconds: list[float]) -> str:
    return f"p50 {statistics.median(seconds):.3f} s, p95 {sorted(seconds)[int(0.95 * len(seconds))]:.3f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        system = Running.start(Path(folder), "--simulate", "15", "--history", "60")
        try:
            asyncio.run(measured(system.addresses, given.rounds, given.count))
        finally:
            system.stop()


if __name__ == "__main__":
    main()
