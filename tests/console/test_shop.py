"""The console over a simulated shop, as ``make run`` starts it: what people see, and an incident being noticed."""

import json
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.console.conftest import Open
from tests.systems import Running

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
    shop.wait_for(lambda: _lag(shop) == 0 and bool(_usual(shop)), 280)
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
    first = value.inner_text()
    expect(value).not_to_have_text(first, timeout=60_000)


def test_everything_is_shown_and_agrees_with_clickhouse(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    for signal in ("csat", "nps", "ces", "checkout_abandonment", "checkout_nowcast", "friction"):
        # One answer to CES comes in a minute or so: a window of five may well have none for a while.
        expect(page.locator(f"[data-signal={signal}]")).to_have_attribute("data-empty", "false", timeout=120_000)
    expect(page.locator("[data-signal=checkout_completion_ratio] .value")).to_contain_text("%")
    expect(page.locator("[data-signal=csat] .verdict")).to_contain_text("usual")
    expect(page.locator("#money .card")).to_have_count(3)
    expect(page.locator("#charts canvas")).to_have_count(4)
    expect(page.locator("#charts .legend").first).to_contain_text("web")
    expect(page.locator("#charts .legend").first).to_contain_text("%")
    expect(page.locator("#funnels .funnel")).to_have_count(7)
    expect(page.locator("[data-funnel=checkout] .steps li").first).to_be_visible()
    expect(page.locator("#stores tbody tr")).to_have_count(12)
    expect(page.locator("#stores .spark polyline[points*=',']").first).to_be_attached(timeout=20_000)
    expect(page.locator("#health")).to_contain_text("Records a second")
    _agree(settled, page)


def _agree(system: Running, page: Page) -> None:
    """A figure may be one look older than the table: some look has to agree."""
    deadline, texts = time.monotonic() + 30, list[tuple[str, str]]()
    while True:
        shown = page.locator("[data-signal=cart_abandonment]").inner_text()
        rows = system.sql(
            "SELECT value, lower, upper, denominator FROM cx.signals_now WHERE signal = 'cart_abandonment' "
            "AND segment = 'all' AND window = '5m'"
        )
        texts += [_shown(*row) for row in rows]
        if any(value in shown and detail in shown for value, detail in texts[-10:]):
            return
        assert time.monotonic() < deadline, (shown, texts)
        page.wait_for_timeout(150)


def _shown(value: float, lower: float, upper: float, n: float) -> tuple[str, str]:
    percents = [f"{100 * share:.1f} %" for share in (value, lower, upper)]
    return percents[0], f"{percents[1]} to {percents[2]} (95 %), n = {n:,.0f}"


def test_choices_are_in_the_address_and_come_back_from_it(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    expect(page.locator("#segment optgroup[label='Channel and device'] option").first).to_be_attached()
    page.select_option("#segment", "channel=web|device=mobile")
    page.get_by_label("15m", exact=True).check()
    page.locator("[data-funnel=cart] button").click()
    page.get_by_role("button", name="Friction").click()
    assert "segment=channel%3Dweb%7Cdevice%3Dmobile" in page.url
    assert "window=15m" in page.url
    again = open_page(page.url)
    is_live(again)
    expect(again.locator("#segment")).to_have_value("channel=web|device=mobile")
    expect(again.locator("#window input:checked")).to_have_value("15m")
    expect(again.locator("#charts select")).to_have_value("cart")
    expect(again.locator("th[aria-sort=descending]")).to_contain_text("Friction")
    expect(again.locator("[data-signal=cart_abandonment] .value")).to_contain_text("%", timeout=20_000)
    page.go_back()  # to before the funnel was picked; a sorting is no place to come back to
    page.go_back()
    expect(page.locator("#window input:checked")).to_have_value("5m")
    expect(page.locator("#segment")).to_have_value("channel=web|device=mobile")
    _is_sorted(again)


def _is_sorted(page: Page) -> None:
    """By the lower end of the interval, the worst first."""
    titles = page.locator("#stores tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.title))"
    )
    heads = page.locator("#stores thead th").all_inner_texts()
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
    before = page.locator("#figures").inner_text()
    page.wait_for_timeout(11_000)
    assert page.locator("#figures").inner_text() == before
    page.get_by_role("button", name="Pause").click()
    is_live(page)
    expect(page.locator("#figures")).not_to_have_text(before, timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_no_serious_accessibility_fault(settled: Running, open_page: Open, scheme: str) -> None:
    page = open_page(settled.addresses["web"], color_scheme=scheme)
    is_live(page)
    expect(page.locator("#stores tbody tr")).to_have_count(12)
    page.wait_for_timeout(1_500)
    shoot(page, f"console-{scheme}")
    found = [
        (one["id"], [node["html"] for node in one["nodes"][:3]])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in _SERIOUS
    ]
    assert found == []


def test_on_a_phone_nothing_sticks_out(settled: Running, open_page: Open) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(settled.addresses["web"], device_scale_factor=2, **phone)
    is_live(page)
    page.wait_for_timeout(1_500)
    shoot(page, "console-phone")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    for control in ("#segment", "#pause", "#theme"):
        assert page.locator(control).bounding_box()["height"] >= 32  # type: ignore[index] # None fails, too


def test_it_can_be_used_by_keyboard(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#window input:checked")).to_have_value("15m")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_an_incident_is_pressed_noticed_explained_and_mended(settled: Running, open_page: Open) -> None:
    page = open_page(settled.addresses["web"])
    is_live(page)
    page.get_by_role("button", name="Break mobile payment").click()
    expect(page.get_by_role("button", name="Mend mobile payment")).to_be_visible()
    alert = page.locator(".alert[data-status=firing]", has_text="device=mobile").first
    expect(alert).to_contain_text("step=payment", timeout=280_000)
    page.evaluate("scrollTo(0, 0)")
    shoot(page, "console-incident")
    page.reload()
    is_live(page)
    expect(alert).to_be_visible(timeout=20_000)
    listed = json.load(urllib.request.urlopen(f"{settled.addresses['web']}/api/v1/alerts?status=open", timeout=10))
    assert any("device=mobile" in one["explanation"] for one in listed["rows"])
    page.get_by_role("button", name="Mend mobile payment").click()
    expect(page.get_by_role("button", name="Break mobile payment")).to_be_visible()
