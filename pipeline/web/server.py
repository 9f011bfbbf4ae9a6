"""The worker's web server, bounded: connections, the time to ask, what goes into the log, who is asked as whom."""

import asyncio
import logging
import time
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from pipeline.logs import Notes
from pipeline.web.guard import HEADERS

logger = logging.getLogger(__name__)
#: Within so long a connection must have asked for something, whole. aiohttp counts both as keeping it alive.
_ASKED_S: Final = 15.0
_SERVER_ERROR: Final = 500
_NO_ROOM: Final = "socket.accept() out of system resource"
_MINUTE_S: Final = 60.0


class _Connection(RequestHandler):
    """A connection; one too many is closed at once."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        manager = self._manager
        if isinstance(manager, _Bounded) and len(manager.connections) > manager.most:
            manager.notes.warn("full", f"{manager.most} connections are open; more are closed at once")
            self.force_close()

    def handle_error(
        self,
        request: Any,
        status: int = _SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status < _SERVER_ERROR:  # what came is no HTTP: nothing of ours to be traced
            response: web.StreamResponse = web.Response(status=status, text="not understood\n")
            response.force_close()
        else:
            response = super().handle_error(request, status, exc, None)
        response.headers.update(HEADERS)
        return response

    def log_exception(self, *args: Any, **more: Any) -> None:
        manager = self._manager
        error = more.get("exc_info")
        if isinstance(manager, _Bounded):
            what = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(args[:1])
            manager.notes.warn(what[:80], f"a request failed: {what}")


class _Bounded(Server):
    """Makes no more than so many connections."""

    most: int = 0
    notes: Notes

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs the application within these bounds. Whoever goes away while they wait is not worked for any more."""

    def __init__(self, app: web.Application, most_connections: int) -> None:
        super().__init__(
            app, access_log=None, keepalive_timeout=_ASKED_S, handler_cancellation=True, shutdown_timeout=2.0
        )
        self._most = most_connections

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        bounded = _Bounded(made.request_handler, request_factory=made.request_factory, **made._kwargs)
        bounded.most, bounded.notes = self._most, Notes()
        _say_once_that_there_is_no_room(asyncio.get_running_loop())
        return bounded


def _say_once_that_there_is_no_room(loop: asyncio.AbstractEventLoop) -> None:
    """Without file descriptors left asyncio tells of every connection that it could not take: hundreds a
    second.
    """
    before, told = loop.get_exception_handler(), [-_MINUTE_S]

    def handle(where: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not str(context.get("message", "")).startswith(_NO_ROOM):
            (before or _by_default)(where, context)
        elif time.monotonic() - told[0] >= _MINUTE_S:
            told[0] = time.monotonic()
            logger.error("no further connection can be taken: %s", context.get("exception"))

    loop.set_exception_handler(handle)


def _by_default(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)
