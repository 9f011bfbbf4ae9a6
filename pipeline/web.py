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
        given = request.headers.get("Authorization", "")
        if (
            token
            and request.path not in _OPEN
            and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
        ):
            raise HTTPUnauthorized(
                text="a bearer token is needed (CX_WEB__TOKEN)\n", headers={"WWW-Authenticate": "Bearer"}
            )
        return await handler(request)

    app.web.web_app.middlewares.append(check)


def add_pages(app: faust.App, metrics: Metrics, ownership: Ownership, measure: Callable[[], None]) -> None:
    """Add /healthz, /readyz and /metrics to the worker's web server; ``measure`` refreshes gauges."""

    async def healthz(self: Any, request: Any) -> Any:
        return self.text("ok\n")

    async def readyz(self: Any, request: Any) -> Any:
        owned = len(ownership.partitions) + len(ownership.windows)
        if not owned:
            return self.text("no partitions yet\n", status=503)
        return self.text(f"{owned} partitions\n")

    async def exposition(self: Any, request: Any) -> Any:
        measure()
        return self.bytes(metrics.exposition(), content_type="text/plain; version=0.0.4")

    app.page("/healthz", name="healthz")(healthz)
    app.page("/readyz", name="readyz")(readyz)
    app.page("/metrics", name="metrics")(exposition)
