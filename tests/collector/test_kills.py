"""Killed under load, the collector and Kafka: what was answered 2xx is in the topics, and nothing of it twice."""

import asyncio
import json
import sys
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from deploy.embedded.process import Child, free_port
from schemas.times import format_rfc3339
from tests.systems import Lab, clean

#: With its systems' start, its sleeps and verify.
pytestmark = pytest.mark.timeout(900)
SOURCES = '[sources.web]\nkind = "segment"\nkeys = ["WK"]\n'
_SENDERS = 8


class Senders:
    """As SDKs do: what is not answered 2xx comes again, under its id."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/web/v1/track"
        self._is_over = threading.Event()
        self.answered: set[str] = set()
        self.again = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client:
            await asyncio.gather(*(self._send(client, number) for number in range(_SENDERS)))

    async def _send(self, client: aiohttp.ClientSession, sender: int) -> None:
        while not self._is_over.is_set():
            event = self._event(sender)
            while not await self._is_taken(client, event):
                self.again += 1
                await asyncio.sleep(0.05)
            self.answered.add(str(event["messageId"]))
            await asyncio.sleep(0.005)

    async def _is_taken(self, client: aiohttp.ClientSession, event: dict[str, object]) -> bool:
        try:
            async with client.post(self._url, json=event, headers={"x-write-key": "WK"}) as answer:
                await answer.read()
                assert answer.status in (200, 503), answer.status
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _event(self, sender: int) -> dict[str, object]:
        return {
            "type": "track",
            "event": "Product Added",
            "messageId": uuid.uuid4().hex,
            "anonymousId": f"a{sender}-{int(time.time()) % 20}",
            "timestamp": format_rfc3339(time.time_ns() // 1_000_000),
            "properties": {"price": 1.5, "quantity": 1},
        }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab.start(tmp_path_factory.mktemp("kills"))
    yield made
    made.stop()


class Collector:
    def __init__(self, lab: Lab, folder: Path) -> None:
        (folder / "sources.toml").write_text(SOURCES)
        self.port, self._admin = free_port(), free_port()
        self._lab, self._log = lab, folder / "collector.log"
        self._environ = {
            "CX_COLLECTOR__SOURCES": str(folder / "sources.toml"),
            "CX_COLLECTOR__PORT": str(self.port),
            "CX_COLLECTOR__METRICS_PORT": str(self._admin),
            "CX_COLLECTOR__MEMORY_DIR": str(folder / "memory"),
            "CX_COLLECTOR__ANSWER_S": "2",
        }
        self.child = self.start()

    def start(self) -> Child:
        command = [sys.executable, "-m", "pipeline", "collect"]
        self.child = Child("collector", command, self._log, clean(self._lab.environ | self._environ))
        self.child.wait_until(self._is_up, 60)
        return self.child

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def test_nothing_that_was_answered_is_lost(lab: Lab, tmp_path: Path) -> None:
    collector = Collector(lab, tmp_path)
    senders = Senders(collector.port)
    try:
        for _ in range(3):
            time.sleep(2)
            collector.child.kill()
            time.sleep(0.3)
            collector.start()
        time.sleep(2)
        lab.broker.kill()
        time.sleep(4)
        lab.broker.start()
        deadline = time.monotonic() + 90
        while len(senders.answered) <= 300:
            assert time.monotonic() < deadline, len(senders.answered)
            time.sleep(0.5)
        time.sleep(4)
    finally:
        senders.stop()
        collector.child.stop(30)
    assert collector.child.process.returncode == 0
    told = Counter(
        json.loads(message.value() or b"{}").get("event_id") for message in lab.messages("touchpoints.web")
    )
    assert len(senders.answered) > 300
    assert senders.again > 3
    assert senders.answered <= told.keys()
    lab.verify()
