"""The real SDKs, in Chromium, Node and Python: what is bought in a page is a row in ClickHouse, once.

Everything they send goes through a proxy that forwards the first requests and then answers 503 all the same: the
worst that can happen to a sender, for what it sends again was taken already.
"""

import asyncio
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.sync_api import Browser, Route

from tests.console.conftest import browser  # noqa: F401 - a fixture
from tests.node import node_modules, script
from tests.systems import Running

SDKS = Path(__file__).with_name("sdks")
SOURCES = """
[sources.web]
kind = "segment"
keys = ["WK"]

[sources.rudder]
kind = "rudderstack"
keys = ["WKWKWKWKWKWKWKWKWKWKWKWKWKW"]

[sources.snow]
kind = "snowplow"
keys = ["shop"]

[sources.hog]
kind = "posthog"
keys = ["phc_x"]

[sources.adobe]
kind = "adobe"
keys = ["ds-1"]
organisation = "ORG@AdobeOrg"
customer_namespace = "CRM"
"""
#: Of the first test: setting up, starting a system.
pytestmark = pytest.mark.timeout(600)
PAGES = ["segment", "segment?batching", "rudderstack", "snowplow", "posthog", "alloy"]
#: What a page tells; the Web SDK of Adobe has no event for a page that is looked at by itself.
TOLD = ("product_viewed", "product_added", "checkout_started", "order_completed")
_READY_S = 90.0
_BOUGHT = (
    "SELECT outcome, toFloat64(value) FROM cx.journeys FINAL WHERE customer_id = %(who)s AND funnel = 'cart' "
    "AND outcome != 'retracted'"
)


class Proxy:
    """Between the SDKs and the collector. ``lies``: requests that are forwarded and yet answered 503."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.lies = 0
        self.lied = 0
        self._loop = asyncio.new_event_loop()
        self.address = ""
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def _run(self, started: threading.Event) -> None:
        async def begin() -> None:
            self._client = aiohttp.ClientSession(auto_decompress=False)
            runner = web.ServerRunner(web.Server(self._handle, auto_decompress=False, max_line_size=65_536))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started.set()

        self._loop.run_until_complete(begin())
        self._loop.run_forever()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        data = await request.read()
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        async with self._client.request(
            request.method, self._target + request.raw_path, data=data, headers=headers
        ) as answer:
            body, status = await answer.read(), answer.status
            passed = {
                name: value
                for name, value in answer.headers.items()
                if name.startswith("Access-Control") or name == "Content-Type"
            }
        if request.method == "POST" and self.lies > 0:
            assert status == HTTPStatus.OK, body
            self.lies -= 1
            self.lied += 1
            status, body = HTTPStatus.SERVICE_UNAVAILABLE, b"{}"
        return web.Response(status=status, body=body, headers=passed)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sdks")
    (folder / "sources.toml").write_text(SOURCES)
    started = Running.start(folder, environ={"CX_COLLECTOR__SOURCES": str(folder / "sources.toml")})
    yield started
    started.stop()


@pytest.fixture(scope="module")
def proxy(stack: Running) -> Iterator[Proxy]:
    made = Proxy(stack.addresses["collector"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            return None

    handler = functools.partial(Quiet, directory=str(node_modules()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/pages"
    server.shutdown()


def wait_until_bought(stack: Running, who: str, pause: Callable[[], None] = lambda: time.sleep(0.3)) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if found := stack.sql(_BOUGHT, {"who": who}):
            assert found == [("completed", 40.98)]
            return
        pause()
    raise AssertionError(f"{who}: nothing bought after {_READY_S:g} s: {told_by(stack, who)}")


def told_by(stack: Running, who: str) -> Counter[str]:
    """How often each type was told by a customer, as it stands in the topic."""
    found = Counter[str]()
    for message in stack.messages("touchpoints.web"):
        event: dict[str, Any] = json.loads(message.value() or b"{}")
        if event.get("customer_id") == who:
            found[event["type"]] += 1
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_is_bought_in_a_page_is_a_row(
    stack: Running,
    proxy: Proxy,
    pages: str,
    browser: Browser,  # noqa: F811 - the fixture
    page: str,
) -> None:
    name, _, option = page.partition("?")
    who = f"page-{name}{option}"
    # That of Adobe does not try again.
    proxy.lies, lied = 0 if name == "alloy" else 2, proxy.lied
    tab = browser.new_page()
    tab.route(re.compile(r"https://edge\.shop\.test/"), functools.partial(forward, proxy))
    tab.goto(f"{pages}/{name}.html?collector={proxy.address}&who={who}&{option}")
    # While it waits the page goes on: what it asks for is passed on by this thread.
    wait_until_bought(stack, who, lambda: tab.wait_for_timeout(300))
    tab.wait_for_timeout(4_000)  # for what was answered 503 to come again
    tab.close()
    told = told_by(stack, who)
    wanted = TOLD if name != "alloy" else TOLD[1:]
    assert {one: told[one] for one in wanted} == dict.fromkeys(wanted, 1), told
    assert proxy.lied > lied or name == "alloy"


def forward(proxy: Proxy, route: Route) -> None:
    """The Web SDK of Adobe sends to a host with TLS and without a port only."""
    asked = route.request
    address = proxy.address + asked.url.removeprefix("https://edge.shop.test")
    request = urllib.request.Request(address, asked.post_data_buffer, dict(asked.headers), method=asked.method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            route.fulfill(status=answer.status, body=answer.read(), headers=dict(answer.headers))
    except urllib.error.HTTPError as error:
        route.fulfill(status=error.code, body=error.read(), headers=dict(error.headers))


def test_the_sdks_of_servers_in_node(stack: Running, proxy: Proxy) -> None:
    proxy.lies = 2
    command = script("servers.mjs", proxy.address)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for who in ("node-segment", "node-rudder", "node-posthog", "node-snowplow"):
        wait_until_bought(stack, who)
        assert told_by(stack, who) == {"product_added": 1, "order_completed": 1}


PYTHON = """
import sys, time
collector = sys.argv[1]
product = {"product_id": "507", "price": 18.99, "quantity": 2, "currency": "EUR"}
def order(who): return {"order_id": who, "total": 40.98, "currency": "EUR"}

import segment.analytics as segment
segment.write_key, segment.host = "WK", collector + "/web"
import rudderstack.analytics as rudder
rudder.write_key, rudder.dataPlaneUrl = "WKWKWKWKWKWKWKWKWKWKWKWKWKW", collector + "/rudder"
for sdk, who in ((segment, "python-segment"), (rudder, "python-rudder")):
    sdk.track(who, "Product Added", product)
    time.sleep(0.005)
    sdk.track(who, "Order Completed", order(who))
    sdk.flush()

from posthog import Posthog
hog = Posthog("phc_x", host=collector + "/hog")
for event, properties in (("Product Added", product), ("Order Completed", order("python-posthog"))):
    time.sleep(0.005)
    hog.capture(event, distinct_id="python-posthog", properties=properties)
hog.shutdown()

from snowplow_tracker import Emitter, SelfDescribing, SelfDescribingJson, Subject, Tracker
vendor = "iglu:com.snowplowanalytics.snowplow.ecommerce"
subject = Subject().set_user_id("python-snowplow").set_domain_user_id("d-1").set_domain_session_id("s-1")
tracker = Tracker("ns", Emitter(collector.removeprefix("http://").split(":")[0], protocol="http",
    port=int(collector.rsplit(":", 1)[1]), method="post", batch_size=1), subject=subject, app_id="shop")
tracker.emitters[0].endpoint = collector + "/snow/x"
def act(kind, entity, data):
    action = SelfDescribingJson(vendor + "/snowplow_ecommerce_action/jsonschema/1-0-2", {"type": kind})
    entities = [SelfDescribingJson(vendor + "/" + entity + "/jsonschema/1-0-0", data)]
    tracker.track(SelfDescribing(action, context=entities))
act("add_to_cart", "product", {"id": "507", "category": "s", "price": 18.99, "currency": "EUR", "quantity": 2})
time.sleep(0.005)
act("transaction", "transaction", {"transaction_id": "python-snowplow", "revenue": 40.98, "currency": "EUR"})
tracker.flush()
"""


def test_the_sdks_of_servers_in_python(stack: Running, proxy: Proxy, tmp_path: Path) -> None:
    script = tmp_path / "servers.py"
    script.write_text(PYTHON)
    proxy.lies = 1
    command = [sys.executable, str(script), proxy.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for who in ("python-segment", "python-rudder", "python-posthog", "python-snowplow"):
        wait_until_bought(stack, who)
        assert told_by(stack, who) == {"product_added": 1, "order_completed": 1}
