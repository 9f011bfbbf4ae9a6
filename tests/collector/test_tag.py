"""The demo shop and our own tag, in Chromium: what somebody does on a page is in the topics and in ClickHouse."""

import gzip
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from pipeline.collector.sources.tag import script
from tests.console.conftest import browser  # noqa: F401 - a fixture
from tests.systems import Running

_READY_S = 90.0
PAGE = """<!doctype html><title>Own</title>
<script src="{collector}/tag/tag.js" data-key="demo" defer></script>
<form id="f"><input name="street"><input name="town"><button>Send</button></form>
<div role="search"><form role="search"><input type="search" name="q"></form></div>
<button id="dead" type="button">Nothing</button>"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = Running.start(tmp_path_factory.mktemp("tag"))
    yield started
    started.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:  # noqa: F811 - the fixture
    made = browser.new_context()
    yield made
    made.close()


def told(stack: Running, session: str) -> list[dict[str, Any]]:
    """The events of a session, by their times."""
    found: dict[str, dict[str, Any]] = {}
    for message in stack.messages("touchpoints.web"):
        event = json.loads(message.value() or b"{}")
        if event.get("session_id") == session:
            found[event["event_id"]] = event
    return sorted(found.values(), key=lambda event: str(event["occurred_at"]))


def session_of(page: Page) -> str:
    return str(page.evaluate("cx.session()"))


def wait_until(page: Page, is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _READY_S
    while not is_so():
        assert time.monotonic() < deadline, what
        page.wait_for_timeout(300)


@pytest.fixture(scope="module")
def own(stack: Running) -> Iterator[str]:
    """A page of somebody's with nothing but the tag."""
    html = PAGE.format(collector=stack.addresses["collector"]).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *_args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/first"
    server.shutdown()


def opened(context: BrowserContext, own: str) -> Page:
    page = context.new_page()
    page.goto(own)
    page.wait_for_function("window.cx !== undefined")
    return page


def test_what_is_bought_in_the_demo_shop_is_a_row_within_seconds(stack: Running, context: BrowserContext) -> None:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(stack.addresses["shop"])
    page.click("#who")
    page.click("li:has-text('Day pack') button")
    page.click("text=Cart")
    page.click("text=To the checkout")
    page.fill("input[name=street]", "Road 1")
    page.check("input[name=fails]")
    page.click("form.checkout button")
    page.wait_for_selector(".failed")
    page.uncheck("input[name=fails]")
    page.click("form.checkout button")
    page.wait_for_url("**/thanks")
    page.click("[role=dialog] button >> nth=4")
    session = session_of(page)
    rows = "SELECT funnel, outcome, toFloat64(value) FROM cx.journeys FINAL WHERE session_id = %(session)s"
    wanted = {("cart", "completed", 59.5), ("checkout", "completed", 59.5)}
    wait_until(page, lambda: wanted <= set(stack.sql(rows, {"session": session})), "it is not in ClickHouse")
    wait_until(page, lambda: "survey_answered" in {one["type"] for one in told(stack, session)}, "no answer")
    events = told(stack, session)
    assert [one["step"] for one in events if one["type"] == "error_shown"] == ["payment"]
    assert [one["score"] for one in events if one["type"] == "survey_answered"] == [5.0]
    assert len([one for one in events if one["type"] == "order_completed"]) == 1
    assert {one["customer_id"] for one in events if one["type"] == "order_completed"} != {None}
    assert errors == []


def test_the_console_shows_what_sources_have_sent(stack: Running, context: BrowserContext) -> None:
    shop = context.new_page()
    shop.goto(stack.addresses["shop"])
    sent = "SELECT 1 FROM cx.sources WHERE source = 'web' AND mapped > 0"
    wait_until(shop, lambda: bool(stack.sql(sent)), "no source has a row")
    page = context.new_page()
    page.goto(f"{stack.addresses['web']}/data")
    row = page.locator("[data-source=web]")
    row.wait_for(timeout=30_000)
    assert "segment" in row.inner_text()
    shown = int(row.locator("td").nth(1).inner_text().replace(",", ""))
    stored = stack.sql("SELECT sum(mapped) FROM cx.sources FINAL WHERE source = 'web'")[0][0]
    assert 0 < shown <= stored


def test_forms_rage_and_dead_clicks_and_errors(stack: Running, context: BrowserContext, own: str) -> None:
    page = opened(context, own)
    page.fill("[name=q]", "a search is no form")
    page.fill("[name=street]", "x")
    page.fill("[name=town]", "y")
    page.eval_on_selector("#f", "form => form.addEventListener('submit', event => event.preventDefault())")
    page.click("#f button")
    page.wait_for_timeout(1_500)
    page.eval_on_selector("#dead", "one => { one.focus(); one.click(); }")  # within one millisecond
    page.wait_for_timeout(3_000)
    for _ in range(3):
        page.mouse.click(400, 300)
    page.evaluate("setTimeout(() => { throw new Error('of this test') })")
    session = session_of(page)
    wanted = {"page_viewed", "form_started", "form_submitted", "dead_clicked", "rage_clicked", "error_shown"}
    wait_until(page, lambda: wanted <= {one["type"] for one in told(stack, session)}, "not all was told")
    events = told(stack, session)
    assert [one["step"] for one in events if one["type"] == "form_started"] == ["street", "street", "town"]
    counted = Counter(one["type"] for one in events)
    once = ("form_submitted", "dead_clicked", "rage_clicked", "error_shown")
    assert {name: counted[name] for name in once} == dict.fromkeys(once, 1)


def test_what_happens_without_a_network_comes_later_with_its_own_time(
    stack: Running, context: BrowserContext, own: str
) -> None:
    page = opened(context, own)
    session = session_of(page)
    wait_until(page, lambda: len(told(stack, session)) == 1, "the page was not told")
    page.wait_for_function(
        "JSON.parse(sessionStorage.getItem('cx-queue') || '[]').length === 0"
    )  # its answer, too
    context.set_offline(True)
    page.evaluate("cx('product_added', { value: 5 })")
    page.wait_for_timeout(4_000)
    assert len(told(stack, session)) == 1
    happened = page.evaluate("JSON.parse(sessionStorage.getItem('cx-queue'))[0].occurred_at")
    context.set_offline(False)
    wait_until(page, lambda: len(told(stack, session)) == 2, "it did not come")
    assert told(stack, session)[1]["occurred_at"] == happened


def test_leaving_a_page_loses_nothing(stack: Running, context: BrowserContext, own: str) -> None:
    page = opened(context, own)
    session = session_of(page)
    page.evaluate("cx('product_added', { value: 7 })")
    page.goto("about:blank")
    watching = context.new_page()
    wait_until(watching, lambda: len(told(stack, session)) == 2, "the last one was lost")


def test_a_visitor_is_kept_only_who_agreed(stack: Running, context: BrowserContext, own: str) -> None:
    page = opened(context, own)
    session = session_of(page)
    wait_until(page, lambda: len(told(stack, session)) == 1, "the page was not told")
    assert "visitor_id" not in told(stack, session)[0]
    assert page.evaluate("localStorage.length") == 0
    assert context.cookies() == []
    page.evaluate("cx.consent(true); cx('cart_viewed')")
    wait_until(page, lambda: len(told(stack, session)) == 2, "the cart was not told")
    assert told(stack, session)[1]["visitor_id"] == page.evaluate("localStorage.getItem('cx-visitor')")
    page.evaluate("cx.identify('anna'); cx.consent(false)")
    assert page.evaluate("localStorage.getItem('cx-visitor')") is None
    page.reload()
    page.wait_for_function("window.cx !== undefined")
    page.evaluate("cx('cart_viewed')")
    wait_until(page, lambda: len(told(stack, session)) == 4, "after a no it is not told")
    after = told(stack, session)[3]
    assert "visitor_id" not in after  # what was said stands on the next page
    assert "customer_id" not in after
    assert after["consent"] is False


def test_who_does_not_want_to_be_followed_is_not(stack: Running, context: BrowserContext, own: str) -> None:
    context.add_init_script("Object.defineProperty(navigator, 'doNotTrack', { value: '1' })")
    page = opened(context, own)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    session = session_of(page)
    page.evaluate("cx('product_added', { value: 7 })")
    page.wait_for_timeout(2_500)
    page.goto("about:blank")
    assert posts == []
    assert told(stack, session) == []


def test_the_script_is_small_and_is_not_sent_again(stack: Running) -> None:
    content, tag = script()
    assert len(gzip.compress(content, mtime=0)) <= 4_096
    address = f"{stack.addresses['collector']}/tag/tag.js"
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert answer.read() == content
        assert answer.headers["ETag"] == tag
        assert re.match("text/javascript", answer.headers["Content-Type"])
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(urllib.request.Request(address, headers={"If-None-Match": tag}), timeout=5)
    assert raised.value.code == 304
