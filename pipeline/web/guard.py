"""Who may ask the worker's web server, and for what."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote, unquote

from aiohttp.web import (
    Application,
    HTTPException,
    HTTPForbidden,
    HTTPMethodNotAllowed,
    HTTPUnauthorized,
    Request,
    StreamResponse,
    middleware,
)

from schemas.api import Problem

COOKIE: Final = "cx_token"
"""Where the console keeps the token: a browser's stream cannot send a header."""
_OPEN: Final = ("/healthz", "/readyz")
_READING: Final = ("GET", "HEAD")
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


def guard(app: Application, token: str, open_paths: tuple[str, ...] = (), writable: tuple[str, ...] = ()) -> None:
    """Serve nothing but health without the token, a bearer token or a cookie; with an empty one all is open.

    ``open_paths``: what is served without, too: pages that hold no data, those that end in ``/`` with all below
    them. ``writable``: the only addresses that take POST.
    """

    def refuse(request: Request) -> None:
        methods = (*_READING, "POST") if request.path in writable else _READING
        if request.method not in methods:
            raise HTTPMethodNotAllowed(request.method, methods)
        if request.method == "POST" and _is_from_elsewhere(request):
            raise HTTPForbidden(text="asked for by a page of somebody else's\n")
        if token and not _is_open(request.path, (*_OPEN, *open_paths)) and not _is_known(request, token):
            detail = Problem(title="Unauthorized", status=401, detail="a bearer token is needed (CX_WEB__TOKEN)")
            raise HTTPUnauthorized(
                text=detail.model_dump_json(),
                content_type="application/problem+json",
                headers={"WWW-Authenticate": "Bearer"},
            )

    @middleware
    async def check(request: Request, handler: Callable[[Request], Awaitable[StreamResponse]]) -> StreamResponse:
        try:
            refuse(request)
            response = await handler(request)
        except HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    app.middlewares.append(check)


def _is_open(path: str, paths: tuple[str, ...]) -> bool:
    return any(path == one or (one.endswith("/") and one != "/" and path.startswith(one)) for one in paths)


def _is_known(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    kept = unquote(request.cookies.get(COOKIE, ""))
    by_header = scheme.lower() == "bearer" and hmac.compare_digest(_bytes(given), _bytes(token))
    return by_header or hmac.compare_digest(_bytes(kept), _bytes(token))


def cookie_value(token: str) -> str:
    """The token as the cookie holds it."""
    return quote(token, safe="")


def _is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another origin has its browser ask."""
    if request.content_type != "application/json":
        return True
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
