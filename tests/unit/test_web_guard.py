"""Who may ask for what: tokens, methods, pages of others, and nothing outside the console's folder."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pipeline.tools.simulator.incidents import IncidentsFile
from pipeline.web.console import PARTS, add_console
from pipeline.web.guard import Doors, guard
from pipeline.web.login import PATH as LOGIN
from pipeline.web.login import Slowed, add_login
from pipeline.web.shop import PATH as SHOP
from pipeline.web.shop import add_shop

Ask = Callable[..., Coroutine[Any, Any, tuple[int, str]]]
TOKEN = "söme tokén"


async def well(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


def serve(
    work: Callable[[Ask], Coroutine[Any, Any, None]],
    token: str = "",
    shop: str = "",
    slowed: Slowed | None = None,
) -> None:
    async def all_of_it() -> None:
        app = web.Application()
        add_console(app, {"currency": "EUR"})
        add_shop(app, IncidentsFile(Path(shop)) if shop else None)
        app.router.add_get("/healthz", well)
        add_login(app, token, slowed or Slowed())
        guard(app, Doors(token, ("/", PARTS, LOGIN), (SHOP, LOGIN), frozenset({"cx.example"})), slowed or Slowed())
        async with TestClient(TestServer(app)) as client:

            async def ask(method: str, path: str, **more: Any) -> tuple[int, str]:
                async with client.request(method, path, **more) as answer:
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                    return answer.status, await answer.text()

            await work(ask)

    asyncio.run(asyncio.wait_for(all_of_it(), 30))


def test_without_the_token_only_health_and_the_empty_page_are_served() -> None:
    async def work(ask: Ask) -> None:
        for path in ("/healthz", "/", "/console/js/main.js"):
            assert (await ask("GET", path))[0] == 200
        assert (await ask("GET", "/api/console"))[0] == 401
        for headers in (
            {"Authorization": "Bearer wrong"},
            {"Authorization": TOKEN.encode().decode("latin-1")},
            {"Cookie": "cx_token=wrong"},
            {"Cookie": "cx_token="},
        ):
            assert (await ask("GET", "/api/console", headers=headers))[0] == 401, headers
        kept = {"Cookie": "cx_token=s%C3%B6me%20tok%C3%A9n"}
        assert (await ask("GET", "/api/console", headers=kept)) == (200, '{"currency":"EUR"}')

    serve(work, TOKEN)


@pytest.mark.parametrize("path", ["/", "/api/console", "/healthz", SHOP])
def test_nothing_can_be_written_but_incidents(path: str) -> None:
    async def work(ask: Ask) -> None:
        for method in ("PUT", "DELETE", "PATCH"):
            assert (await ask(method, path))[0] == 405
        if path != SHOP:
            assert (await ask("POST", path, json={}))[0] == 405

    serve(work)


@pytest.mark.parametrize(
    "path",
    [
        "/console/../pipeline/runtime/app.py",
        "/console/..%2f..%2fpyproject.toml",
        "/console/%2fetc/passwd",
        "/console/js",
        "/console/" + "a" * 7_000,
        "/console/%00",
        "/console/js/main.js%00",
        "/console/%0d%0ax",
    ],
)
def test_only_the_consoles_own_files_are_served(path: str) -> None:
    async def work(ask: Ask) -> None:
        assert (await ask("GET", path))[0] == 404

    serve(work)


def test_incidents_are_ordered_and_mended(tmp_path: Path) -> None:
    file = tmp_path / "incidents.json"

    async def work(ask: Ask) -> None:
        status, text = await ask("POST", SHOP, json={"name": "slow-till", "minutes": 5})
        assert status == 200
        assert '"name":"slow-till"' in text
        (incident,) = IncidentsFile(file).read()
        assert (incident.name, incident.until_ms - incident.from_ms) == ("slow-till", 300_000)
        assert (await ask("POST", SHOP, json={"name": "slow-till", "minutes": 0}))[0] == 200
        assert '"until":' not in (await ask("GET", SHOP))[1].replace('"until":null', "")

    serve(work, shop=str(file))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "fire"}, "there are: payment-mobile, slow-till, search-broken"),
        ({"name": "slow-till", "minutes": -1}, "minutes"),
        ({"name": "slow-till", "minutes": 5, "more": 1}, "more"),
        ([], "body"),
    ],
)
def test_an_order_that_is_none_says_why(body: Any, said: str, tmp_path: Path) -> None:
    async def work(ask: Ask) -> None:
        status, text = await ask("POST", SHOP, json=body)
        assert status == 400
        assert said in text

    serve(work, shop=str(tmp_path / "incidents.json"))


def test_a_page_of_somebody_else_cannot_order(tmp_path: Path) -> None:
    file = tmp_path / "incidents.json"

    async def work(ask: Ask) -> None:
        order = {"name": "slow-till"}
        assert (await ask("POST", SHOP, json=order, headers={"Origin": "http://evil.example"}))[0] == 403
        assert (await ask("POST", SHOP, data='{"name": "slow-till"}', headers={"Content-Type": "text/plain"}))[
            0
        ] == 403
        assert not file.exists()

    serve(work, shop=str(file))


def test_without_a_shop_there_is_nothing_to_break() -> None:
    async def work(ask: Ask) -> None:
        assert await ask("GET", SHOP) == (200, '{"incidents":[]}')
        assert (await ask("POST", SHOP, json={"name": "slow-till"}))[0] == 404

    serve(work)


def test_a_token_is_given_once_for_a_cookie_that_no_script_reads() -> None:
    async def work(ask: Ask) -> None:
        status, _ = await ask("POST", LOGIN, json={"token": TOKEN})
        assert status == 204
        # The client keeps the cookie, as a browser does.
        assert (await ask("GET", "/api/console"))[0] == 200

    serve(work, TOKEN)


def test_the_cookie_is_for_this_server_and_not_for_scripts() -> None:
    async def all_of_it() -> str:
        app = web.Application()
        add_login(app, TOKEN, Slowed())
        async with (
            TestClient(TestServer(app)) as client,
            client.post(LOGIN, json={"token": TOKEN}) as answer,
        ):
            return answer.headers["Set-Cookie"]

    cookie = asyncio.run(all_of_it())
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/"))


@pytest.mark.parametrize("body", ["{", "[]", '{"token": 5}', "", "x" * 100_000, '{"token": "a", "b": 1}'])
def test_what_is_no_login_is_said_to_be_none(body: str) -> None:
    async def work(ask: Ask) -> None:
        headers = {"Content-Type": "application/json"}
        assert (await ask("POST", LOGIN, data=body, headers=headers))[0] == 400

    serve(work, TOKEN)


def test_whoever_tries_tokens_is_slowed_by_either_way() -> None:
    now = [0.0]

    async def work(ask: Ask) -> None:
        assert (await ask("POST", LOGIN, json={"token": "x"}))[0] == 401
        wrong = {"Authorization": "Bearer wrong"}
        assert (await ask("GET", "/api/console", headers=wrong))[0] == 401
        assert (await ask("GET", "/api/console", headers=wrong))[0] == 429
        assert (await ask("POST", LOGIN, json={"token": TOKEN}))[0] == 429
        assert (await ask("GET", "/api/console", headers={"Authorization": f"Bearer {TOKEN}"}))[0] == 200
        now[0] = 61.0
        assert (await ask("POST", LOGIN, json={"token": TOKEN}))[0] == 204

    serve(work, TOKEN, slowed=Slowed(most=2, clock=lambda: now[0]))


def test_a_name_that_others_point_at_us_is_not_answered_to() -> None:
    async def work(ask: Ask) -> None:
        for host in ("127.0.0.1:6066", "localhost", "LOCALHOST:80", "[::1]:6066", "cx.example", "localhost."):
            assert (await ask("GET", "/api/console", headers={"Host": host}))[0] == 200, host
        for host in (
            "evil.example",
            "evil.example:6066",
            "127.0.0.1.evil.example",
            "127.0.0.1:x",
            "",
            "[::1]evil",
        ):
            assert (await ask("GET", "/api/console", headers={"Host": host}))[0] == 403, host
        assert (await ask("GET", "/healthz", headers={"Host": "evil.example"}))[0] == 200

    serve(work)
