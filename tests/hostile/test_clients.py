"""Clients that ask for nonsense, for everything at once, slowly, or not to the end: the pipeline does not mind."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.systems import Lab, Worker

MOST_CONNECTIONS = 60
NONSENSE = (
    b"GET /console/" + b"x" * 7_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /console/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /console/..%2f..%2fREADME.md HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/v1/journeys?after=" + b"9" * 40 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/v1/signals/current?segment=%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"POST /console/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"\x00" * 4_000,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    limits = {"CX_WEB__CONNECTIONS": str(MOST_CONNECTIONS), "CX_WEB__CLIENTS": "10", "CX_WEB__CLIENTS_EACH": "5"}
    system = Lab.start(tmp_path_factory.mktemp("clients"), limits)
    try:
        yield system
    finally:
        system.stop()


def opened(worker: Worker) -> socket.socket:
    return socket.create_connection(("127.0.0.1", worker.port), timeout=20)


def answer(worker: Worker, request: bytes) -> bytes:
    """Status and headers; nothing where the connection was closed without."""
    with contextlib.suppress(OSError), opened(worker) as client:
        client.sendall(request)
        found = b""
        while b"\r\n\r\n" not in found and (more := client.recv(65_536)):
            found += more
        return found
    return b""


def send(lab: Lab, name: str) -> None:
    at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="milliseconds")

    def event(number: int) -> dict[str, Any]:
        given = {"event_id": f"{name}-{number}", "type": "page_viewed", "occurred_at": at}
        return given | {"channel": "web", "session_id": f"{name}-{number}"}

    lab.send("touchpoints.web", [(f"{name}-{n}", json.dumps(event(n)).encode()) for n in range(500)])


def test_nonsense_is_answered_shortly_and_leaves_no_tracebacks(lab: Lab) -> None:
    (worker,) = lab.workers
    before = lab.log.stat().st_size
    for request in NONSENSE * 5:
        found = answer(worker, request)
        assert not found.startswith(b"HTTP/1.1 5"), (request[:60], found[:200])
        assert not found.startswith(b"HTTP/1.1 2"), (request[:60], found[:200])
        if found.startswith(b"HTTP/1.1 404"):
            assert b"X-Content-Type-Options" in found
    said = lab.log.read_text()[before:]
    assert "Traceback" not in said
    assert len(said) < 20_000


def test_half_open_slow_and_greedy_clients_hold_nothing_up(lab: Lab) -> None:
    (worker,) = lab.workers
    counted, memory = worker.processed(), worker.megabytes()
    clients = []
    for number in range(3 * MOST_CONNECTIONS):
        with contextlib.suppress(OSError):
            client = opened(worker)
            clients.append(client)
            # Some say nothing, some begin, some ask for the stream and read none of it.
            half = (b"", b"GET /metr", b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")[number % 3]
            client.sendall(half)
    try:
        for number in range(5):
            send(lab, f"greedy-{number}")
        # Its own page may have no room for us: what was stored tells.
        lab.wait_for(lambda: stored(lab) == 5 * 500, 60)
    finally:
        for client in clients:
            client.close()
    lab.wait_for(lambda: worker.processed() >= counted + 5 * 500)
    assert worker.megabytes() < memory + 150
    assert lab.workers == [worker]


def stored(lab: Lab) -> int:
    """Events counted so far."""
    ((count,),) = lab.sql("SELECT sum(events) FROM cx.tiles FINAL WHERE segment = 'all'")
    return int(count)


def test_who_begins_and_does_not_go_on_is_let_go(lab: Lab) -> None:
    (worker,) = lab.workers
    with opened(worker) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        client.settimeout(60)
        begun = time.monotonic()
        assert not client.recv(1_000).startswith(b"HTTP/1.1 2")
        assert time.monotonic() - begun < 45
