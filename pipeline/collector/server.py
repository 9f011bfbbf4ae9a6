"""The collector's HTTP server: addresses, reading with bounds, answers."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from pipeline.collector.collecting import Collecting, headers_of, refusal
from pipeline.collector.cors import answer_headers, preflight_headers
from pipeline.collector.families import Reply
from pipeline.collector.incoming import Incoming
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.reading import BusyError, Reading, SlowError, TooLargeError
from pipeline.collector.sources_file import Source

logger = logging.getLogger(__name__)
_LONGEST_LINE: Final = 65_536
_LONGEST_PATH: Final = 2_048
_METHODS: Final = ("POST", "PUT", "GET", "HEAD", "OPTIONS")


class Gate:
    """How much of one source is let in: so many at once, so many a second (a token bucket of one second)."""

    def __init__(self, most_waiting: int, rate: float) -> None:
        self.most_waiting, self.rate = most_waiting, rate
        self.waiting = 0
        self._tokens, self._at_s = max(rate, 1.0), time.monotonic()

    def refused(self) -> Reply | None:
        """Why a request is not let in; None where it is."""
        if self.waiting >= self.most_waiting:
            return refusal(503, "too many requests at once")
        if self.rate:
            now_s = time.monotonic()
            self._tokens = min(max(self.rate, 1.0), self._tokens + (now_s - self._at_s) * self.rate)
            self._at_s = now_s
            if self._tokens < 1:
                return refusal(429, "more requests a second than this source may send")
            self._tokens -= 1
        return None


class Collector:
    """Handles every request of the port that senders use."""

    def __init__(
        self,
        sources: Sequence[Source],
        collecting: Collecting,
        metrics: CollectorMetrics,
        reading: Reading | None = None,
    ) -> None:
        """``reading``: with which bounds bodies are read; None: with the usual ones."""
        self._by_path = {one.path: one for one in sources}
        self._deepest = max((one.path.count("/") for one in sources), default=0) + 1
        self._gates = {one.name: Gate(one.settings.most_waiting, one.settings.rate) for one in sources}
        self._collecting, self._metrics = collecting, metrics
        self._reading = reading or Reading()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        source, rest = self._found(request.path)
        if source is None:
            return _response(refusal(404, "no source has this address"), {})
        headers = {name.lower(): value for name, value in request.headers.items()}
        origins = source.settings.origins
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=preflight_headers(origins, headers))
        allowed = answer_headers(origins, headers)
        if request.method not in _METHODS:
            return _response(refusal(405, "POST is wanted"), allowed)
        if request.method == "HEAD":
            return web.Response(status=200, headers=allowed)  # some ask so before they send anything
        if source.family.is_in_pages and "origin" in headers and not allowed:
            return _response(refusal(403, "pages of this origin may not send"), {})
        started_s = time.monotonic()
        reply = await self._let_in(source, request, rest, headers)
        self._metrics.note_request(source.name, reply.status, time.monotonic() - started_s)
        return _response(reply, allowed)

    async def _let_in(
        self, source: Source, request: web.BaseRequest, path: str, headers: Mapping[str, str]
    ) -> Reply:
        gate = self._gates[source.name]
        # Who sends slowly keeps nobody out: only what is read counts as waiting.
        try:
            raw = await self._reading.read(request, source.settings.most_bytes)
        except TooLargeError as error:
            return refusal(413, str(error))
        except BusyError as error:
            return refusal(503, str(error))
        except (SlowError, ConnectionError):
            return refusal(408, "the body did not come in time")
        if (reply := gate.refused()) is not None:
            return reply
        gate.waiting += 1
        try:
            incoming = Incoming(
                request.method,
                path,
                request.query,
                headers,
                raw,
                time.time_ns() // 1_000_000,
                request.query_string and request.rel_url.raw_query_string,
            )
            return await self._collecting.answer(source, incoming)
        finally:
            gate.waiting -= 1

    def _found(self, path: str) -> tuple[Source | None, str]:
        """The source of the longest path that this one begins with, and what follows it."""
        if len(path) > _LONGEST_PATH:
            return None, path
        parts = path.split("/")
        for count in range(min(len(parts), self._deepest), 0, -1):
            source = self._by_path.get("/".join(parts[:count]))
            if source is not None:
                return source, path[len(source.path) :] or "/"
        return None, path


def _response(reply: Reply, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        status=reply.status,
        body=reply.body,
        content_type=reply.content_type,
        headers={"Cache-Control": "no-store", **headers, **headers_of(reply), **reply.headers},
    )


def new_server(collector: Collector) -> web.Server:
    """Bodies stay as they came: signatures are of those."""
    return web.Server(
        collector.handle,
        access_log=None,
        auto_decompress=False,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
        keepalive_timeout=75.0,
        lingering_time=2.0,
    )


def new_admin_app(
    metrics: CollectorMetrics, is_ready: Callable[[], bool], waiting: Callable[[], int]
) -> web.Application:
    """What is for operators: metrics and health, on a port of its own."""

    async def exposition(_request: web.Request) -> web.Response:
        metrics.waiting.set(waiting())
        return web.Response(body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        if await asyncio.to_thread(is_ready):
            return web.Response(text="ok\n")
        return web.Response(status=503, text="Kafka does not answer\n")

    app = web.Application()
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/healthz", healthy)
    app.router.add_get("/readyz", ready)
    return app
