"""A shop with a funnel, an event type and a dimension of its own: the example of docs/funnels.md, file to page."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.conftest import Open
from tests.systems import Running, cx

CONFIG = Path(__file__).parents[2] / "docs/examples/click_and_collect.toml"
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=7)
ORDERS = 90


def order(number: int) -> list[dict[str, Any]]:
    """An order that is picked up, every tenth delivered. Each ninth is not fetched; each third is of a member."""
    at = BEGIN + timedelta(seconds=20 * number)
    base: dict[str, Any] = {"channel": "web", "session_id": f"order-{number}", "value": 50.0}
    if number % 3 == 0:
        base["attributes"] = {"loyalty": "gold"}
    step = "delivery" if number % 10 == 9 else "pickup"
    found = [base | {"type": "order_completed", "event_id": "o", "occurred_at": at.isoformat(), "step": step}]
    if number % 9:
        later = at + timedelta(minutes=1 + number % 7)
        found.append(base | {"type": "order_collected", "event_id": "c", "occurred_at": later.isoformat()})
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("own")
    file = folder / "orders.ndjson"
    events = sorted((one for n in range(ORDERS) for one in order(n)), key=lambda one: str(one["occurred_at"]))
    unknown = events[0] | {"type": "order_lost", "event_id": "x"}
    file.write_text("".join(json.dumps(event) + "\n" for event in [*events, unknown]))
    own = {"CX_CONFIG": str(CONFIG), "CX_FUNNELS__PICKUP__TIMEOUT_S": "3600", "XDG_RUNTIME_DIR": str(folder)}
    system = Running.start(folder, "--no-simulate", environ=own)
    system.more.update(own)
    try:
        sent = system.cx("replay", str(file), "--format", "touchpoints")
        assert sent.returncode == 0, sent.stderr
        assert "found 'order_lost'" in sent.stderr, "a type that nobody has added"
        system.send("touchpoints.web", [("order-0", json.dumps(unknown).encode())])
        said = system.verify()
        assert "1 dead letters (1 invalid)" in said
        assert "no difference" in said
        yield system
    finally:
        system.stop()


def test_journeys_are_those_of_the_orders(shop: Running) -> None:
    found = shop.sql(
        "SELECT outcome, reason, count(), sum(value) FROM cx.journeys FINAL WHERE funnel = 'pickup' GROUP BY 1, 2"
    )
    picked_up = [n for n in range(ORDERS) if n % 10 != 9]
    left = [n for n in picked_up if n % 9 == 0]
    fetched = len(picked_up) - len(left)
    assert sorted(found) == [
        ("abandoned", "timeout", len(left), 0.0),  # what was paid is no basket that is left
        ("completed", "", fetched, 50.0 * fetched),
    ]


def test_signals_are_there_for_the_funnel_and_by_the_dimension(shop: Running) -> None:
    found = {
        (signal, segment)
        for signal, segment in shop.sql(
            "SELECT DISTINCT signal, segment FROM cx.signals FINAL WHERE denominator > 0"
        )
    }
    for signal in ("pickup_abandonment", "pickup_nowcast", "pickup_value_abandoned", "friction"):
        assert (signal, "loyalty=gold") in found, signal
    kept = shop.sql(
        "SELECT sum(by_funnel['pickup_completed']), sum(by_funnel['pickup_abandoned']) FROM cx.tiles FINAL "
        "WHERE segment = 'loyalty=gold'"
    )
    gold = [n for n in range(0, ORDERS, 3) if n % 10 != 9]
    assert kept == [(sum(n % 9 != 0 for n in gold), sum(n % 9 == 0 for n in gold))]


def test_the_api_knows_them_and_says_what_it_does_not(shop: Running) -> None:
    def ask(path: str, **parameters: str) -> Any:
        address = f"{shop.addresses['web']}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=20) as answer:
            return json.load(answer)

    rows = ask("signals/history", signal="pickup_abandonment", segment="loyalty=gold", window="1h")["rows"]
    assert rows
    assert all(row["segment"] == "loyalty=gold" for row in rows)
    journeys = ask("journeys", funnel="pickup")["rows"]
    assert {row["funnel"] for row in journeys} == {"pickup"}
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask("signals/history", signal="pickup_abandonment", segment="tier=gold", window="1h")
    assert "loyalty" in refused.value.read().decode()


def test_another_terminal_compares_by_the_same_file(shop: Running) -> None:
    """The stack that runs on this machine tells where it is, and by what it computes."""
    done = cx("verify", "--timeout", "200", environ={"XDG_RUNTIME_DIR": shop.more["XDG_RUNTIME_DIR"]})
    assert "no difference" in done.stdout, done.stdout + done.stderr


def test_the_console_shows_them(shop: Running, open_page: Open) -> None:
    page = open_page(shop.addresses["web"])
    expect(page.locator("[data-signal=pickup_abandonment] .name")).to_have_text("Pickup abandoned")
    expect(page.locator("[data-signal=pickup_value_abandoned] .name")).to_have_text("Pickup: value abandoned")
    page.goto(f"{shop.addresses['web']}/funnels?segment=loyalty%3Dgold")
    expect(page.locator("[data-funnel=pickup]")).to_be_visible()
