"""Receivers that are broken or mean no good: nothing of theirs ends us, fills memory or does harm in a log."""

import asyncio
import resource
import time
import zlib
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from sinks.base import SinkError, SinkRejectedError, SinkUnavailableError
from sinks.http import HttpPoster, origin

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MEBIBYTE = 1 << 20


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(10 * _MEBIBYTE)) for _ in range(100)) + packer.flush()


async def posted(answer: Answer, headers: dict[str, str] | None = None, timeout_s: float = 2.0) -> None:
    app = web.Application()
    app.router.add_post("/secretpath", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined] # of asyncio's own server
    poster = HttpPoster(timeout_s)
    try:
        await poster.post(f"http://user:SECRET@127.0.0.1:{port}/secretpath?token=SECRET", b"{}", headers or {})
    finally:
        await poster.close()
        await runner.cleanup()


def error_of(answer: Answer, headers: dict[str, str] | None = None) -> SinkError:
    with pytest.raises(SinkError) as raised:
        asyncio.run(posted(answer, headers))
    text = str(raised.value)
    assert "SECRET" not in text
    assert "secretpath" not in text
    assert text.isprintable()
    assert len(text) < 500
    return raised.value


def fixed(status: int = 500, body: bytes = b"", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def test_a_bomb_is_not_unpacked() -> None:
    answer = fixed(body=bomb(), Content_Encoding="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert isinstance(error_of(answer), SinkUnavailableError)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


def test_an_answer_without_an_end_is_read_for_a_little() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        for _ in range(200):
            await response.write(b"x" * _MEBIBYTE)
        return response

    started = time.monotonic()
    assert isinstance(error_of(endless), SinkUnavailableError)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("charset", ["hex", "rot13", "base64", "idna", "punycode", "nonsense", "undefined"])
def test_no_charset_is_asked_for_its_opinion(charset: str) -> None:
    body = b"\xff\xfe\x1b[2J\r\nERROR: false\xc2\x9b\xe2\x80\xae"
    error = error_of(fixed(400, body, Content_Type=f"text/plain; charset={charset}"))
    assert isinstance(error, SinkRejectedError)
    assert "\\x1b[2J" in str(error)


@pytest.mark.parametrize(
    ("asked", "given_s"),
    [
        ("7", 7),
        ("99999999999999999999", 120),
        ("-1", 0),
        ("soon", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 120),
        ("", 0),
    ],
)
def test_patience_is_asked_for_in_seconds_or_by_a_date_and_has_a_bound(asked: str, given_s: float) -> None:
    error = error_of(fixed(429, Retry_After=asked))
    assert isinstance(error, SinkUnavailableError)
    assert error.retry_after_s == given_s


def test_a_header_that_cannot_be_sent_is_refused_and_not_tried_again() -> None:
    assert isinstance(error_of(fixed(200), headers={"webhook-id": "a\r\nb"}), SinkRejectedError)


def test_a_receiver_that_says_nothing_is_given_up_in_time() -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    assert isinstance(error_of(silent), SinkUnavailableError)


@pytest.mark.parametrize("url", ["http://[::1/", "http://a:b:c/", "http://h:99999999/x?SECRET", "//SECRET", ""])
def test_an_address_that_is_none_is_told_without_its_secrets(url: str) -> None:
    assert "SECRET" not in origin(url) or url == "//SECRET"
