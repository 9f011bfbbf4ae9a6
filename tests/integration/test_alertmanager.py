"""A real Alertmanager gets our alerts and tells its receiver that they fire, and that they are over."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.process import Child, free_port, is_listening
from pipeline.model.evidence import STEP_MS
from sinks.alertmanager import Alertmanager
from sinks.base import SinkRejectedError, SinkUnavailableError
from tests.alerting import FIRST, HOURS, MONDAY, Setting, evidence
from tests.needs import need

PROGRAM = "prometheus-alertmanager"
CONFIGURATION = """
route: {{receiver: webhook, group_by: [alert_id], group_wait: 200ms, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: webhook, webhook_configs: [{{url: "http://127.0.0.1:{port}/", send_resolved: true}}]}}]
"""


class Receiver(BaseHTTPRequestHandler):
    """What a webhook is told."""

    told: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.told.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture
def told() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    found: list[dict[str, Any]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Told", (Receiver,), {"told": found}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, found
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(tmp_path: Path, told: tuple[int, list[dict[str, Any]]]) -> Iterator[str]:
    need(shutil.which(PROGRAM), f"{PROGRAM} is not installed (Debian's package has the same name)")
    configuration, port = tmp_path / "alertmanager.yml", free_port()
    configuration.write_text(CONFIGURATION.format(port=told[0]))
    command = [PROGRAM, f"--config.file={configuration}", f"--storage.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    child = Child("alertmanager", command, tmp_path / "alertmanager.log")
    try:
        wait_for(lambda: is_listening("127.0.0.1", port), (tmp_path / "alertmanager.log").read_text)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


def wait_for(what: Any, why: Any) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def test_an_outage_reaches_the_receiver_and_so_does_its_end(
    url: str, told: tuple[int, list[dict[str, Any]]]
) -> None:
    _, received = told
    # The outage is of the last minutes: Alertmanager goes by the clock on the wall.
    week = 7 * 24 * 3_600_000
    shift = (round(time.time() * 1000) - MONDAY) // week * week

    async def work() -> None:
        setting = Setting()
        setting.now_s = time.time()
        paging = setting.paging = setting.new_paging(Alertmanager(url), oldest_s=10 * week)
        try:
            start = MONDAY + shift
            await setting.take(evidence(start, HOURS * 120, 8.0))
            start += HOURS * 120 * STEP_MS
            await setting.take(evidence(start, 10, 0.0, version=FIRST + 1))
            await paging.step()
            await asyncio.to_thread(wait_for, lambda: received, lambda: "nothing received")
            assert [alert["status"] for alert in received] == ["firing"]
            assert received[0]["labels"]["alertname"] == "checkout-completions"
            await setting.take(evidence(start + 10 * STEP_MS, 60, 8.0, version=FIRST + 2))
            setting.now_s = time.time()
            await paging.step()
            await asyncio.to_thread(wait_for, lambda: len(received) > 1, lambda: "its end was not received")
        finally:
            await paging.close()
        assert [alert["status"] for alert in received] == ["firing", "resolved"]
        assert received[1]["labels"] == received[0]["labels"]
        assert received[1]["endsAt"] > received[1]["startsAt"]

    asyncio.run(asyncio.wait_for(work(), 100))


def test_what_it_refuses_and_its_absence_are_told_apart(url: str) -> None:
    async def work() -> None:
        pager, absent = Alertmanager(url), Alertmanager(f"http://127.0.0.1:{free_port()}")
        try:
            with pytest.raises(SinkRejectedError, match=r"answers 4\d\d"):
                await pager.post([{"labels": {"not a name": ""}}])
            with pytest.raises(SinkUnavailableError, match=r"127\.0\.0\.1:\d+: "):
                await absent.post([])
        finally:
            await pager.close()
            await absent.close()

    asyncio.run(asyncio.wait_for(work(), 60))
