"""The API over HTTP: addresses, answers, the stream."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp_sse import sse_response

from pipeline.web.answers import Fault, Problem
from pipeline.web.asked import StreamParameters
from pipeline.web.catalogue import Catalogue
from pipeline.web.clients import TooManyClients
from pipeline.web.listings import Listing, Listings
from pipeline.web.live import Live
from pipeline.web.openapi import API, openapi
from pipeline.web.parameters import ParameterError, parse
from pipeline.web.reads import ReadError

logger = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder().encode
_SEND_TIMEOUT_S: Final = 4.0  # shorter than what a stopping worker waits
_PING_S: Final = 15.0
_WORTH_PACKING: Final = 8_192  # bytes
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_api(app: web.Application, listings: Listings, live: Live, names: Catalogue) -> None:
    """Serve version 1 of the API."""
    document = openapi(listings.all(), names)
    for listing in listings.all():
        app.router.add_get(f"{API}/{listing.path}", _listing_handler(listing, names))
    app.router.add_get(f"{API}/stream", _stream_handler(live, names))
    app.router.add_get(f"{API}/openapi.json", _document_handler(document))
    app.router.add_get(API + "/{rest:.*}", _unknown)


def _listing_handler(listing: Listing, names: Catalogue) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return answer(await listing.find(parse(listing.parameters, request.query, names)))
        except ParameterError as error:
            return refusal(error)
        except ReadError as error:
            return unavailable(str(error))

    return handle


def _stream_handler(live: Live, names: Catalogue) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            client = live.join(parse(StreamParameters, request.query, names), request.remote or "")
        except ParameterError as error:
            return refusal(error)
        except TooManyClients as error:
            return unavailable(str(error))
        try:
            async with sse_response(request, send_timeout=_SEND_TIMEOUT_S, ping_interval=_PING_S) as response:
                while (frame := await client.next()) is not None:
                    await response.send(frame.data, event=frame.event)
        except (ConnectionResetError, TimeoutError):
            logger.debug("a client of the stream is gone")
        finally:
            live.clients.leave(client)
            if client.is_slow and request.transport is not None:
                request.transport.abort()  # what it was sent and has not read would keep it open
        return response

    return handle


def _document_handler(document: dict[str, Any]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(document)

    return handle


async def _unknown(request: web.Request) -> web.StreamResponse:
    return problem(404, "Not Found", f"no such address; {API}/openapi.json lists them all")


def answer(body: Any) -> web.Response:
    told = web.Response(body=_encode(body), content_type="application/json", headers={"Cache-Control": "no-store"})
    if told.content_length is not None and told.content_length > _WORTH_PACKING:
        told.enable_compression()  # as the client takes it; large ones in a thread
    return told


def refusal(error: ParameterError) -> web.Response:
    return problem(400, "Bad Request", str(error), error.faults)


def unavailable(detail: str) -> web.Response:
    return problem(503, "Service Unavailable", detail, headers={"Retry-After": "2"})


def problem(
    status: int, title: str, detail: str, faults: list[Fault] | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """What is wrong, as RFC 9457 has it."""
    body = Problem(title=title, status=status, detail=detail, faults=faults or [])
    return web.Response(
        status=status,
        body=body.model_dump_json().encode(),
        content_type="application/problem+json",
        headers=headers,
    )
