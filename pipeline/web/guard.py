"""Who may ask the worker's web server, and for what."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote

from aiohttp.web import (
    Application,
    HTTPBadRequest,
    HTTPForbidden,
    HTTPMethodNotAllowed,
    HTTPTooManyRequests,
    HTTPUnauthorized,
    Request,
    RequestPayloadError,
    StreamResponse,
    middleware,
)

from pipeline.web.answers import Problem

COOKIE: Final = "cx_token"
"""Where the console keeps the token: a browser's stream cannot send a header."""
client: ContextVar[str] = ContextVar("client", default="")
"""Whose request is being worked on: their address; empty where it is ours."""
_OPEN: Final = ("/healthz", "/readyz")
_READING: Final = ("GET", "HEAD")
_PAYLOAD_ERRORS: Final = (RequestPayloadError, UnicodeDecodeError)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


class Failures(Protocol):
    """Slows those who try tokens."""

    def is_slowed(self, who: str) -> bool: ...
    def note_failure(self, who: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Doors:
    """What is open to whom."""

    token: str
    """Empty: all is open to whoever reaches the server by an address or a name of ``hosts``."""
    open_paths: tuple[str, ...] = ()
    """Served without it, too: pages that hold no data; those that end in ``/`` with all below them."""
    writable: tuple[str, ...] = ()
    """The only addresses that take POST."""
    hosts: frozenset[str] = frozenset()
    """Names that this server is called by, besides localhost and addresses."""


def guard(app: Application, doors: Doors, failures: Failures) -> None:
    """Serve nothing but health without the token, a bearer token or a cookie."""

    @middleware
    async def check(request: Request, handler: Callable[[Request], Awaitable[StreamResponse]]) -> StreamResponse:
        _refuse(request, doors, failures)
        client.set(request.remote or "")
        try:
            return await handler(request)
        except _PAYLOAD_ERRORS:
            raise HTTPBadRequest(text="the body cannot be read\n") from None

    async def prepare(_request: Request, response: StreamResponse) -> None:
        response.headers.update(HEADERS)

    app.middlewares.append(check)
    app.on_response_prepare.append(prepare)  # of every answer: errors and streams as well


def _refuse(request: Request, doors: Doors, failures: Failures) -> None:
    """Raise what answers a request that is not let through."""
    methods = (*_READING, "POST") if request.path in doors.writable else _READING
    if request.method not in methods:
        raise HTTPMethodNotAllowed(request.method, methods)
    if request.method == "POST" and _is_from_elsewhere(request):
        raise HTTPForbidden(text="asked for by a page of another site\n")
    if request.path in _OPEN:
        return
    if not doors.token:
        if not _is_our_name(request.headers.get("Host", ""), doors.hosts):
            raise HTTPForbidden(text="this server is not called that; name it in CX_WEB__HOSTS\n")
    elif not _is_open(request.path, doors.open_paths):
        _require_token(request, doors.token, failures)


def _require_token(request: Request, token: str, failures: Failures) -> None:
    who = request.remote or ""
    if _is_known(request, token):
        return
    if "Authorization" in request.headers or COOKIE in request.cookies:
        if failures.is_slowed(who):
            raise HTTPTooManyRequests(text="too many wrong tokens; wait a minute\n", headers={"Retry-After": "60"})
        failures.note_failure(who)
    detail = Problem(title="Unauthorized", status=401, detail="a bearer token is needed (CX_WEB__TOKEN)")
    raise HTTPUnauthorized(
        text=detail.model_dump_json(),
        content_type="application/problem+json",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _is_our_name(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header names us: an address, localhost, or one of these.

    A foreign name may lead to us too (DNS rebinding): a page under that name would then read what we serve.
    """
    text = host.strip().lower()
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else ""
        is_sound = not rest or rest.startswith(":")
    else:
        name, _, port = text.partition(":")
        is_sound = True
    if not name or not is_sound or (port and not port.isdigit()):
        return False
    name = name.removesuffix(".")
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_open(path: str, paths: tuple[str, ...]) -> bool:
    return any(path == one or (one.endswith("/") and one != "/" and path.startswith(one)) for one in paths)


def _is_known(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    kept = unquote(request.cookies.get(COOKIE, ""))
    by_header = scheme.lower() == "bearer" and hmac.compare_digest(_bytes(given), _bytes(token))
    return by_header or hmac.compare_digest(_bytes(kept), _bytes(token))


def _is_from_elsewhere(request: Request) -> bool:
    """Whether a page of another origin has its browser ask."""
    if request.content_type != "application/json":
        return True
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
