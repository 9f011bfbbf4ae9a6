"""The worker's own pages: health, readiness, metrics."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from aiohttp.web import HTTPMethodNotAllowed, HTTPUnauthorized, Request, StreamResponse, middleware

from pipeline.agents.ownership import Ownership
from pipeline.metrics import Metrics

_OPEN: Final = ("/healthz", "/readyz")


def guard(app: faust.App, token: str) -> None:
    """Serve nothing but health without the bearer token; with an empty token all is open, as Faust has it.

    Only reading is served in either case.
    """

    @middleware
    async def check(request: Request, handler: Callable[[Request], Awaitable[StreamResponse]]) -> StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise HTTPMethodNotAllowed(request.method, ("GET", "HEAD"))
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        is_known = scheme.lower() == "bearer" and hmac.compare_digest(_bytes(given), _bytes(token))
        if token and request.path not in _OPEN and not is_known:
            raise HTTPUnauthorized(
                text="a bearer token is needed (CX_WEB__TOKEN)\n", headers={"WWW-Authenticate": "Bearer"}
            )
        return await handler(request)

    app.web.web_app.middlewares.append(check)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def add_pages(
    app: faust.App,
    metrics: Metrics,
    ownership: Ownership,
    measure: Callable[[], None],
    is_without: Callable[[], bool],
) -> None:
    """Add /healthz, /readyz and /metrics to the worker's web server.

    ``measure`` refreshes gauges; ``is_without``: whether the group has given this worker no partitions.
    """

    async def healthz(self: Any, request: Any) -> Any:
        return self.text("ok\n")

    async def readyz(self: Any, request: Any) -> Any:
        owned = len(ownership.partitions) + len(ownership.windows)
        if not owned and not (app.consumer_generation_id > 0 and is_without()):
            return self.text("no partitions yet\n", status=503)
        return self.text(f"{owned} partitions\n")

    async def exposition(self: Any, request: Any) -> Any:
        measure()
        return self.bytes(metrics.exposition(), content_type="text/plain; version=0.0.4")

    app.page("/healthz", name="healthz")(healthz)
    app.page("/readyz", name="readyz")(readyz)
    app.page("/metrics", name="metrics")(exposition)
