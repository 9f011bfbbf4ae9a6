"""The console's files: packed where that is wanted, not sent twice, small, and every page the same one."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pipeline.web.console import PAGES, PARTS, add_console

CONSOLE = Path(__file__).parents[2] / "dashboards/console"
FILES = sorted(path for path in CONSOLE.rglob("*") if path.is_file())
MOST_PACKED = 200_000
Client = TestClient[web.Request, web.Application]


def serve(work: Callable[[Client], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        app = web.Application()
        add_console(app, {})
        async with TestClient(TestServer(app), auto_decompress=False) as client:
            await work(client)

    asyncio.run(all_of_it())


def test_every_page_is_the_one_document() -> None:
    async def work(client: Client) -> None:
        for path in PAGES:
            async with client.get(path, headers={"Accept-Encoding": "identity"}) as answer:
                assert answer.status == 200
                assert answer.content_type == "text/html"
                assert await answer.read() == (CONSOLE / "index.html").read_bytes()

    serve(work)


def test_files_are_packed_for_who_takes_it_and_whole_for_who_does_not() -> None:
    async def work(client: Client) -> None:
        for path in FILES:
            name = PARTS + path.relative_to(CONSOLE).as_posix()
            async with client.get(name, headers={"Accept-Encoding": "identity"}) as answer:
                assert "Content-Encoding" not in answer.headers
                assert await answer.read() == path.read_bytes()
            async with client.get(name, headers={"Accept-Encoding": "br, gzip"}) as answer:
                assert answer.headers["Vary"] == "Accept-Encoding"
                body = await answer.read()
                is_packed = answer.headers.get("Content-Encoding") == "gzip"
                assert (gzip.decompress(body) if is_packed else body) == path.read_bytes()
                assert is_packed == (path.suffix in {".html", ".css", ".js", ".mjs", ".svg"})

    serve(work)


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}'])
def test_what_a_browser_has_is_not_sent_again(known: str) -> None:
    async def work(client: Client) -> None:
        name = PARTS + "js/main.js"
        async with client.get(name) as first:
            tag = first.headers["ETag"]
            assert first.headers["Cache-Control"] == "no-cache"  # asked for each time
        async with client.get(name, headers={"If-None-Match": known.format(tag)}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with client.get(name, headers={"If-None-Match": '"another"'}) as answer:
            assert answer.status == 200

    serve(work)


def test_all_of_it_together_is_small() -> None:
    assert sum(len(gzip.compress(path.read_bytes())) for path in FILES if path.name != "LICENSE") < MOST_PACKED


def test_what_the_document_names_is_there() -> None:
    """Also what scripts import, for a missing one is a blank page."""
    text = (CONSOLE / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="/console/([^"]+)"', text))
    assert len(named) > 8
    assert {name for name in named if not (CONSOLE / name).is_file()} == set()
    for path in (CONSOLE / "js").rglob("*.js"):
        for name in re.findall(r'from "(\.[^"]+)"', path.read_text()):
            assert (path.parent / name).is_file(), (path.name, name)
