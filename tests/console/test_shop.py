"""The console over a simulated shop, as ``make run`` starts it: what people see, and an incident being noticed."""

import json
import os
import re
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.console.conftest import Open
from tests.systems import Running, unchanged

#: The first test of all also waits for six hours of history.
pytestmark = pytest.mark.timeout(900)
_SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    system = Running.start(tmp_path_factory.mktemp("shop"), "--simulate", "15")
    try:
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def settled(shop: Running) -> Running:
    """With its history worked off."""
    shop.wait_for(lambda: _lag(shop) == 0 and bool(_usual(shop)), 600)
    return shop


def _lag(system: Running) -> float:
    try:
        with urllib.request.urlopen(f"{system.addresses['web']}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
    except TimeoutError:
        return float("inf")  # with six hours to work off and others on the machine it may take its time
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("cx_consumer_lag_records{"))


def _usual(system: Running) -> Any:
    return system.sql(
        "SELECT count() FROM cx.signals WHERE signal = 'checkout_completion_ratio' AND segment = 'all' "
        "AND window_end > now() - INTERVAL 3 MINUTE"
    )[0][0]


def is_live(page: Page) -> None:
    expect(page.locator("#status")).to_have_attribute("data-state", "live", timeout=60_000)


def shoot(page: Page, name: str) -> None:
    """Keep a picture where the environment says so (the README's are made so)."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_figures_move_within_a_minute_of_the_start(shop: Running, open_page: Open) -> None:
    page = open_page(shop.addresses["web"])
    value = page.locator("[data-signal=friction] .detail")
    expect(value).to_contain_text("n =", timeout=60_000)
    first = value.text_content() or ""
    expect(value).not_to_have_text(first, timeout=60_000)


def test_the_first_screen_agrees_with_clickhouse(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    expect(page.locator(".part")).to_have_count(4)
    for signal in ("csat", "nps", "ces", "checkout_abandonment", "checkout_nowcast", "friction"):
        # One answer to CES comes in a minute or so: a window of five may well have none for a while.
        expect(page.locator(f"[data-signal={signal}]")).to_have_attribute("data-empty", "false", timeout=120_000)
    expect(page.locator("[data-signal=checkout_completion_ratio] .value")).to_contain_text("%")
    expect(page.locator("[data-signal=checkout_value_abandoned] .value")).to_contain_text("EUR")
    line = page.locator("[data-signal=csat] .spark polyline")
    expect(line.first).to_have_attribute("points", re.compile(r"\S+,\S+ \S+,\S+"), timeout=20_000)
    _agree(settled, page)


def test_what_stands_behind_a_figure_is_shown_on_demand(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    figure = page.locator("[data-signal=csat]")
    expect(figure.locator(".tip")).to_be_hidden()
    figure.hover()
    expect(figure.locator(".tip .verdict")).to_contain_text("Usual", timeout=90_000)
    page.mouse.move(0, 0)
    expect(figure.locator(".tip")).to_be_hidden()
    figure.get_by_role("button").focus()
    expect(figure.locator(".tip .hint")).to_contain_text("4 or 5 out of 5")
    page.keyboard.press("Escape")
    expect(figure.locator(".tip")).to_be_hidden()


def test_the_day_of_a_figure_is_that_of_clickhouse(settled: Running) -> None:
    address = f"{settled.addresses['web']}/api/v1/signals/day"

    def day() -> dict[str, Any]:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return {row["signal"]: row for row in json.load(answer)["rows"]}

    query = (
        "SELECT formatDateTime(window_end, '%Y-%m-%dT%H:%i:%S.000Z'), numerator / denominator, denominator "
        "FROM cx.signals FINAL WHERE segment = 'all' AND signal = 'friction' AND window = '1h' "
        "AND denominator > 0 AND window_end > now() - INTERVAL 1 DAY AND minute(window_end) % 20 = 0 "
        "ORDER BY window_end"
    )
    # Corrections of the past may still come, and the newest hours may have had events meanwhile.
    (points, usual), stored = unchanged(lambda: (_friction(day()), settled.sql(query)[:12]))
    assert len(stored) == 12
    assert points == stored
    assert usual == []  # no such hours on earlier days


def _friction(day: dict[str, Any]) -> tuple[list[tuple[Any, ...]], list[Any]]:
    found = day["friction"]
    return [tuple(point) for point in found["points"]][:12], found["usual"]


def test_every_page_shows_what_it_is_for(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)

    def go(name: str) -> None:
        page.get_by_role("navigation").get_by_role("link", name=name).click()

    go("Trends")
    expect(page.locator("#charts canvas")).to_have_count(4)
    expect(page.locator("#charts .legend").first).to_contain_text("web")
    expect(page.locator("#charts .legend").first).to_contain_text("%", timeout=20_000)
    go("Funnels")
    expect(page.locator("#funnels .funnel")).to_have_count(7)
    expect(page.locator("[data-funnel=checkout] .steps li").first).to_be_visible(timeout=20_000)
    go("Stores")
    expect(page.locator("#stores tbody tr")).to_have_count(12)
    expect(page.locator("#stores .trend polyline[points*=',']").first).to_be_attached(timeout=20_000)
    expect(page.locator("#heat tbody td[title]").first).to_be_visible(timeout=20_000)
    go("Recovery")
    expect(page.locator("#recovery [data-funnel=checkout]")).to_be_visible(timeout=20_000)
    go("Data")
    expect(page.locator("#health")).to_contain_text("Records a second")
    expect(page.locator("#day li").first).to_be_visible(timeout=20_000)
    go("Alerts")
    expect(page.locator("#alerts-title")).to_be_visible()
    page.go_back()
    expect(page.locator("#health")).to_be_visible()


def _agree(system: Running, page: Page) -> None:
    """A figure may be one look older than the table: some look has to agree."""
    deadline, texts = time.monotonic() + 90, deque[tuple[str, str]](maxlen=100)  # of 15 seconds at least
    while True:
        shown = page.locator("[data-signal=cart_abandonment]").text_content() or ""
        rows = system.sql(
            "SELECT value, lower, upper, denominator FROM cx.signals_now WHERE signal = 'cart_abandonment' "
            "AND segment = 'all' AND window = '5m'"
        )
        texts += [_shown(*row) for row in rows]
        if any(value in shown and detail in shown for value, detail in texts):
            return
        assert time.monotonic() < deadline, (shown, [*texts])
        page.wait_for_timeout(150)


def _shown(value: float, lower: float, upper: float, n: float) -> tuple[str, str]:
    percents = [f"{100 * share:.1f} %" for share in (value, lower, upper)]
    return percents[0], f"{percents[1]} to {percents[2]} (95 %), n = {n:,.0f}"


def test_choices_are_in_the_address_and_come_back_from_it(settled: Running, open_page: Open) -> None:
    page = open_page(f"{settled.addresses['web']}/stores")
    is_live(page)
    expect(page.locator("#segment optgroup[label='Channel and device'] option").first).to_be_attached()
    page.select_option("#segment", "channel=web|device=mobile")
    page.get_by_label("15m", exact=True).check()
    page.get_by_role("button", name="Friction").click()
    expect(page).to_have_url(re.compile("sort=friction"))
    assert "/stores?" in page.url
    assert "segment=channel%3Dweb%7Cdevice%3Dmobile" in page.url
    assert "window=15m" in page.url
    again = open_page(page.url)
    is_live(again)
    expect(again.locator("#segment")).to_have_value("channel=web|device=mobile")
    expect(again.locator("#window input:checked")).to_have_value("15m")
    expect(again.locator("th[aria-sort=descending]")).to_contain_text("Friction")
    _is_sorted(again)
    page.go_back()  # a sorting is no place to come back to
    expect(page.locator("#window input:checked")).to_have_value("5m")
    expect(page.locator("#segment")).to_have_value("channel=web|device=mobile")
    again.goto(f"{settled.addresses['web']}/trends?funnel=cart")
    expect(again.get_by_label("Funnel of the charts")).to_have_value("cart")


def _is_sorted(page: Page) -> None:
    """By the lower end of the interval, the worst first."""
    heads, titles = page.evaluate(  # of one frame: a column may come to be used
        "() => [[...document.querySelectorAll('#stores thead th')].map(head => head.innerText),"
        " [...document.querySelectorAll('#stores tbody tr')].map("
        "row => [...row.querySelectorAll('td')].map(cell => cell.title))]"
    )
    at = next(number for number, head in enumerate(heads) if head.startswith("Friction")) - 1
    lower = [float(found[1]) for row in titles if (found := re.match(r"([\d.]+) %", row[at]))]
    assert len(lower) > 8
    assert lower == sorted(lower, reverse=True)


def test_paused_it_stands_still_and_says_so(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_contain_text("Paused, data up to")
    page.wait_for_timeout(300)
    before = page.locator("#figures").text_content() or ""
    page.wait_for_timeout(11_000)
    assert page.locator("#figures").text_content() == before
    page.get_by_role("button", name="Pause").click()
    is_live(page)
    expect(page.locator("#figures")).not_to_have_text(before, timeout=20_000)


PAGES = ("", "alerts", "trends", "funnels", "stores", "recovery", "data")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_accessibility_fault(settled: Running, open_page: Open, scheme: str) -> None:
    page = open_page(settled.addresses["web"], color_scheme=scheme)
    found = {}
    for name in PAGES:
        page.goto(f"{settled.addresses['web']}/{name}")
        is_live(page)
        page.wait_for_timeout(800)
        shoot(page, f"console-{name or 'overview'}-{scheme}")
        faults = [one for one in Axe().run(page).response["violations"] if one["impact"] in _SERIOUS]
        found[name] = [(one["id"], [node["html"] for node in one["nodes"][:3]]) for one in faults]
    assert found == {name: [] for name in PAGES}


def test_on_a_phone_nothing_sticks_out(settled: Running, open_page: Open) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(settled.addresses["web"], device_scale_factor=2, **phone)
    for name in PAGES:
        page.goto(f"{settled.addresses['web']}/{name}")
        is_live(page)
        page.wait_for_timeout(800)
        shoot(page, f"console-{name or 'overview'}-phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    for control in ("#segment", "#pause", "#theme", "#language"):
        assert page.locator(control).bounding_box()["height"] >= 32  # type: ignore[index] # None fails, too


def test_a_moment_of_the_past_is_that_of_its_rows_and_can_be_sent(settled: Running, open_page: Open) -> None:
    page = open_page(f"{settled.addresses['web']}/?window=1h")
    is_live(page)
    page.locator("#timeline input").evaluate(
        "slider => { slider.value = slider.max - 2 * 3_600_000;"
        " slider.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    expect(page.locator("#status")).to_have_attribute("data-state", "past", timeout=20_000)
    expect(page.locator("#status-text")).to_contain_text("As it stood at")
    at = datetime.fromisoformat(parse_qs(urlsplit(page.url).query)["at"][0])
    (row,) = settled.sql(
        "SELECT value, lower, upper, denominator FROM cx.signals FINAL WHERE signal = 'cart_abandonment' "
        "AND segment = 'all' AND window = '1h' AND window_end <= %(at)s ORDER BY window_end DESC LIMIT 1",
        {"at": at},
    )
    value, detail = _shown(*row)
    again = open_page(page.url)  # a colleague's
    for shown in (page, again):
        figure = shown.locator("[data-signal=cart_abandonment]")
        expect(figure.locator(".value")).to_have_text(value, timeout=20_000)
        expect(figure.locator(".detail")).to_have_text(detail)
    page.get_by_role("navigation").get_by_role("link", name="Stores").click()
    expect(page.locator("#stores tbody tr")).to_have_count(12, timeout=20_000)
    expect(page.locator("#status")).to_have_attribute("data-state", "past")
    page.get_by_role("button", name="Back to live").click()
    is_live(page)
    assert "at=" not in page.url
    gone = int(at.timestamp() * 1000)
    settled.sql(  # as after three days, when short windows are kept no longer
        f"ALTER TABLE cx.signals DELETE WHERE window = '1m' AND toUnixTimestamp64Milli(window_end) <= {gone} "
        "SETTINGS mutations_sync = 2"
    )
    page.goto(f"{settled.addresses['web']}/?window=1m&at={at.isoformat().replace('+00:00', 'Z')}")
    expect(page.locator("#status-text")).to_contain_text("15 minutes", timeout=20_000)
    expect(page.locator("[data-signal=friction]")).to_have_attribute("data-empty", "false")
    page.goto(f"{settled.addresses['web']}/?at=2020-01-01T00:00:00Z")
    expect(page.locator("#status-text")).to_contain_text("Nothing is kept of", timeout=20_000)


def test_two_segments_can_be_compared(settled: Running, open_page: Open) -> None:
    page = open_page(f"{settled.addresses['web']}/funnels?segment=channel%3Dapp&window=1h")
    is_live(page)
    expect(page.locator("#compare option[value='channel=web']")).to_be_attached(timeout=20_000)
    page.select_option("#compare", "channel=web")
    sides = page.locator("[data-funnel=checkout] .side")
    expect(sides).to_have_count(2, timeout=20_000)
    expect(sides.first.locator("h3")).to_have_text("app")
    expect(sides.last.locator("h3")).to_have_text("web")
    expect(sides.last.locator(".detail")).to_contain_text("left:")
    assert "compare=channel%3Dweb" in page.url
    page.select_option("#compare", "-1h")
    expect(sides.last.locator("h3")).to_have_text("an hour earlier")
    expect(sides.first.locator("h3")).to_have_text("now")
    page.select_option("#compare", "")
    expect(sides).to_have_count(1)


def test_moments_are_counted_by_rule(settled: Running, open_page: Open) -> None:
    page = open_page(f"{settled.addresses['web']}/recovery")
    is_live(page)
    rows = page.locator("#moments [data-rule]")
    expect(rows).to_have_count(6, timeout=20_000)
    query = "SELECT rule, countIf(status = 'fired') FROM cx.moments FINAL GROUP BY rule"
    earlier = dict(settled.sql(query))
    rule = max(earlier, key=lambda name: earlier[name])
    assert earlier[rule] > 0
    page.reload()
    expect(rows).to_have_count(6, timeout=20_000)
    shown = int(page.locator(f"[data-rule={rule}] td").first.inner_text().replace(",", ""))
    later = dict(settled.sql(query))[rule]
    # The shop goes on, and what is withdrawn goes back.
    assert min(earlier[rule], later) - 5 <= shown <= max(earlier[rule], later) + 5
    expect(page.locator("[data-rule=second-contact] th")).to_have_text("Asked for help twice within a week")


def test_an_alert_about_moments_is_drawn_from_the_shortest_windows_that_they_have(
    settled: Running, open_page: Open
) -> None:
    signal = "payment_trouble_moment_rate"
    columns = (
        "alert_id, rule, signal, segment, status, opened_at, updated_at, observed, expected, n, window_s, "
        "missing, currency, severity, explanation, version"
    )
    settled.sql(
        f"INSERT INTO cx.alerts ({columns}) SELECT 'of-moments', 'payment-trouble-moments', '{signal}', 'all', "
        "'firing', now64(3) - INTERVAL 1 HOUR, now64(3), 12, 4, 1000, 900, 8, 'EUR', 'warning', 'a test', 1"
    )
    settled.sql("INSERT INTO cx.alerts_fired (alert_id) VALUES", [("of-moments",)])
    page = open_page(f"{settled.addresses['web']}/alerts")
    asked: list[dict[str, list[str]]] = []
    page.on("request", lambda one: asked.append(parse_qs(urlsplit(one.url).query)))
    is_live(page)
    try:
        page.goto(f"{settled.addresses['web']}/alerts?alert=of-moments")
        facts = page.locator("#alert .facts")
        expect(facts).to_contain_text("12.0")  # of 1,000
        expect(facts).to_contain_text("4.0")
        expect(page.locator("#alert canvas")).to_have_count(1)
        expect(page.locator("#alert")).to_contain_text("20.0 of 1,000 customers")  # what the rule asks
        drawn = [one for one in asked if one.get("signal") == [signal]]
        assert drawn
        assert {one["window"][0] for one in drawn} == {"15m"}
    finally:
        settled.sql("ALTER TABLE cx.alerts DELETE WHERE explanation = 'a test' SETTINGS mutations_sync = 2")


def test_stores_are_on_a_map_where_their_places_are_known(settled: Running, open_page: Open) -> None:
    page = open_page(f"{settled.addresses['web']}/stores?sort=friction:worst&window=1h")
    is_live(page)
    expect(page.locator("#map [data-place]")).to_have_count(12, timeout=20_000)
    at = {one: page.locator(f"[data-place={one}] circle").bounding_box() for one in ("store-01", "store-04")}
    hamburg, munich = at["store-01"], at["store-04"]
    assert hamburg is not None
    assert munich is not None
    assert hamburg["y"] < munich["y"]
    assert hamburg["x"] < munich["x"]
    told, shown = page.evaluate(  # of one frame
        "() => [document.querySelector('[data-place=store-04]').getAttribute('aria-label'),"
        " [...document.querySelectorAll(\"[data-store='store_id=store-04'] td\")].map(cell => cell.innerText)]"
    )
    assert told.startswith("Munich: ")
    assert any(told.removeprefix("Munich: ").split(",")[0] in text for text in shown)
    page.locator("[data-place=store-04]").click()
    expect(page.locator("#segment")).to_have_value("store_id=store-04")


def test_steps_are_bars_as_long_as_those_who_came(settled: Running, open_page: Open) -> None:
    page = open_page(f"{settled.addresses['web']}/funnels?window=1h")
    is_live(page)
    steps = page.locator("[data-funnel=checkout] [data-step]")
    expect(steps.first).to_be_visible(timeout=20_000)
    address = f"{settled.addresses['web']}/api/v1/funnels/steps?window=1h"
    with urllib.request.urlopen(address, timeout=20) as answer:
        rows = {one["step"]: one for one in json.load(answer)["rows"] if one["funnel"] == "checkout"}
    shown = {one.get_attribute("data-step"): one for one in steps.all()}
    # Some leave before any step; not in every hour.
    assert shown.keys() - {""} == {"address", "delivery", "payment", "review"}
    assert rows["payment"]["next"][0][0] == "review"
    expect(shown["payment"].locator(".next")).to_contain_text("then review")
    measure = "bar => bar.getBoundingClientRect().width"
    widths = {name: one.locator(".off").evaluate(measure) for name, one in shown.items()}
    assert list(widths.values()) == sorted(widths.values(), reverse=True)
    assert widths["review"] / widths["address"] == pytest.approx(
        rows["review"]["entered"] / rows["address"]["entered"], abs=0.02
    )


def test_it_speaks_japanese_and_remembers_it(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    page.select_option("#language", "ja")
    expect(page.locator("nav a[data-page=stores]")).to_have_text("店舗")
    assert page.evaluate("document.documentElement.lang") == "ja"
    expect(page.locator("#status-text")).to_contain_text("ライブ")
    shoot(page, "console-overview-japanese")
    page.reload()
    expect(page.locator("nav a[data-page=stores]")).to_have_text("店舗")
    page.goto(f"{settled.addresses['web']}/?lang=en")  # the address comes first
    expect(page.locator("nav a[data-page=stores]")).to_have_text("Stores")


def test_it_can_be_used_by_keyboard(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#window input:checked").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#window input:checked")).to_have_value("15m")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    page.locator("#timeline input").focus()
    page.keyboard.press("PageDown")
    expect(page.locator("#status")).to_have_attribute("data-state", "past")
    page.keyboard.press("End")
    is_live(page)
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("nav a[data-page=funnels]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#funnels")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "main"  # one reads on where the page begins


def test_an_incident_is_pressed_noticed_explained_and_mended(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    page.get_by_role("button", name="Break mobile payment").click()
    expect(page.get_by_role("button", name="Mend mobile payment")).to_be_visible()
    sentence = page.locator(".sentence[data-state=failing] h1")
    expect(sentence).to_contain_text("mobile", timeout=500_000)
    expect(sentence).to_contain_text("payment", timeout=60_000)
    expect(page.locator(".figure[data-marked=true]").first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    shoot(page, "console-incident")
    sentence.get_by_role("link").click()
    detail = page.locator("#alert")
    expect(detail.get_by_role("link", name="All alerts")).to_be_in_viewport()
    expect(detail.locator(".causes")).to_contain_text("payment")
    expect(detail).to_contain_text("Expected")
    expect(detail.locator("canvas")).to_have_count(1)
    expect(detail).to_contain_text("What the rule")
    page.wait_for_timeout(1_000)
    shoot(page, "console-alert")
    page.reload()
    expect(detail.locator(".causes")).to_contain_text("payment", timeout=20_000)
    listed = json.load(urllib.request.urlopen(f"{settled.addresses['web']}/api/v1/alerts?status=open", timeout=10))
    assert any("device=mobile" in one["explanation"] for one in listed["rows"])
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Mend mobile payment").click()
    expect(page.get_by_role("button", name="Break mobile payment")).to_be_visible()
