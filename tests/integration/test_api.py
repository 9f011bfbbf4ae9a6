"""The HTTP API over a real worker and the real engine: what it gives is what ClickHouse holds."""

import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.web.parameters import to_cursor
from schemas.times import format_rfc3339
from sinks.tables import ALERTS, COLUMNS
from tests.systems import Running, unchanged

CLIENTS = 4
CURSORS: dict[str, tuple[str | int, ...]] = {
    "signals": ("all", "csat"),
    "signals/history": (1_772_449_200_000,),
    "journeys": (1_772_449_200_000, "web", "s", "j", 1_772_449_200_000),
    "alerts": (1_772_449_200_000, "a"),
    "segments": ("all",),
}
FUNNELS = ("search", "cart", "checkout", "form", "support", "queue", "basket")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A shop whose last event is some minutes old: windows pass, and what is left open runs into its timeouts."""
    folder = tmp_path_factory.mktemp("api")
    system = Running.start(folder, "--no-simulate", environ={"CX_WEB__CLIENTS": str(CLIENTS)})
    try:
        start_ms = round((time.time() - 105 * 60) * 1000)
        system.send("touchpoints.web", list(_trouble(start_ms)))
        start = format_rfc3339(start_ms)
        sent = system.cx("simulate", "--fast", "--minutes", "100", "--rate", "10", "--start", start, "--late", "0")
        assert sent.returncode == 0, sent.stderr
        newest = (
            f"SELECT toUnixTimestamp64Milli(max(window_end)) >= {start_ms + 99 * 60_000} "
            "FROM cx.signals WHERE window = '1m'"
        )
        moments = "SELECT count() > 0 FROM cx.moments"  # of persons, who come last
        system.wait_for(
            lambda: all(system.sql(one)[0][0] for one in (newest, moments)) and _is_at_rest(system), 300
        )
        yield system
    finally:
        system.stop()


def _trouble(start_ms: int) -> Iterator[tuple[str, bytes]]:
    """Sessions of which each makes a moment: where nothing is wrong a simulated shop has hardly one in an hour."""
    for number in range(12):
        session = f"trouble-{number}"
        for second, kind in enumerate(("error_shown", "error_shown", "rage_clicked")):
            event = {
                "event_id": f"{session}-{second}",
                "type": kind,
                "occurred_at": format_rfc3339(start_ms + 300_000 * number + 1_000 * second),
                "channel": "web",
                "session_id": session,
                "visitor_id": f"visitor-{number}",
                "step": "payment" if kind == "error_shown" else None,
            }
            yield session, json.dumps({name: value for name, value in event.items() if value}).encode()


def _is_at_rest(system: Running) -> bool:
    with urllib.request.urlopen(f"{system.addresses['web']}/metrics", timeout=60) as page:
        lines = [line.rpartition(" ") for line in page.read().decode().splitlines()]
    waiting = ("cx_consumer_lag_records", "cx_unfinished_batches", "cx_sink_waiting_rows")
    return sum(float(value) for name, _, value in lines if name.startswith(waiting)) == 0


def ask(system: Running, path: str, **parameters: Any) -> Any:
    query = urllib.parse.urlencode({name.rstrip("_"): value for name, value in parameters.items()})
    with urllib.request.urlopen(f"{system.addresses['web']}/api/v1/{path}?{query}", timeout=20) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        return json.load(answer)


def everything(system: Running, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """All pages."""
    rows: list[dict[str, Any]] = []
    page = ask(system, path, **parameters)
    rows += page["rows"]
    while page["next"] is not None:
        assert page["rows"]
        page = ask(system, path, cursor=page["next"], **parameters)
        rows += page["rows"]
    return rows


def refusal(system: Running, path: str, **parameters: Any) -> tuple[int, Any]:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(system, path, **parameters)
    return refused.value.code, json.load(refused.value)


def test_history_is_what_the_table_holds_page_by_page(shop: Running) -> None:
    until = format_rfc3339(round((time.time() - 600) * 1000))
    found = everything(shop, "signals/history", signal="friction", segment="channel=web", to=until, limit=17)
    rows = shop.sql(
        "SELECT toUnixTimestamp64Milli(window_end), numerator, denominator, value, lower, upper "
        "FROM cx.signals FINAL "
        "WHERE signal = 'friction' AND segment = 'channel=web' AND window = '5m' AND denominator > 0 "
        f"AND window_end < parseDateTime64BestEffort('{until}', 3, 'UTC') ORDER BY window_end"
    )
    assert len(rows) > 50
    columns = ("numerator", "denominator", "value", "lower", "upper")
    assert [(one["window_end"], *(one[name] for name in columns)) for one in found] == [
        (format_rfc3339(end), *numbers) for end, *numbers in rows
    ]


def test_current_signals_are_the_newest_rows_and_filters_narrow_them(shop: Running) -> None:
    whole = everything(shop, "signals", window="1h", limit=50)
    keys = [(one["segment"], one["signal"]) for one in whole]
    assert keys == sorted(set(keys))
    assert len(keys) > 200
    odd = [one for one in whole if one["denominator"] <= 0 or not _is_in_order(one)]
    assert odd == []
    page, expected = unchanged(lambda: _carts(shop))
    (cart,) = page["rows"]
    assert [(cart["numerator"], cart["denominator"])] == expected
    assert (cart["window_end"], cart["complete"], cart["version"]) == (page["as_of"], False, None)
    (nowcast,) = ask(shop, "signals", window="1h", segment="all", signal="search_nowcast")["rows"]
    assert nowcast["complete"]
    assert nowcast["version"] > 0
    stores = everything(shop, "signals", window="1h", dimension="store_id", signal="friction")
    assert len(stores) == 12
    assert all(one["segment"].startswith("store_id=") for one in stores)
    both = everything(shop, "signals", window="1h", dimension="channel|device", signal="friction")
    assert {one["segment"] for one in both} >= {"channel=web|device=mobile", "channel=app|device=tablet"}
    assert all(one["segment"].count("=") == 2 for one in both)


def _carts(system: Running) -> tuple[dict[str, Any], list[Any]]:
    """The page of carts' abandonment in an hour, and what the tiles of the same hour hold."""
    page = ask(system, "signals", window="1h", segment="all", signal="cart_abandonment")
    return page, system.sql(
        "SELECT sum(cart_abandoned), sum(cart_abandoned + cart_completed) FROM cx.tiles FINAL "
        f"WHERE segment = 'all' AND bucket >= {_as_of(page)} - INTERVAL 1 HOUR AND bucket < {_as_of(page)}"
    )


def _as_of(page: dict[str, Any]) -> str:
    return f"parseDateTime64BestEffort('{page['as_of']}', 3, 'UTC')"


def _is_in_order(row: dict[str, Any]) -> bool:
    rounding = 1e-9
    return bool(row["lower"] - rounding <= row["value"] <= row["upper"] + rounding)


def test_segments_and_trends_are_those_of_the_dimension(shop: Running) -> None:
    names = [one["segment"] for one in everything(shop, "segments", limit=7)]
    assert names == sorted(set(names))
    assert {"all", "channel=pos", "store_id=store-07", "channel=pos|store_id=store-07"} <= set(names)
    trends = ask(shop, "trends", signal="friction", dimension="store_id", window="15m")["rows"]
    assert [one["segment"] for one in trends] == [name for name in names if name.startswith("store_id=")]
    assert all(10 < len(one["points"]) <= 31 for one in trends)
    assert all(one["points"] == sorted(one["points"]) for one in trends)


def test_the_last_day_is_that_of_the_table_and_its_band_that_of_earlier_days(shop: Running) -> None:
    page = ask(shop, "signals/day", segment="channel=app")
    as_of = datetime.fromisoformat(page["as_of"])
    hour = as_of.replace(minute=0, second=0, microsecond=0)
    earlier = {
        "friction": [(3, 50), (6, 60), (2, 80), (4, 70)],
        "cart_value_abandoned": [(200, 4), (120, 2), (310, 5)],
    }
    rows = [
        (signal, "channel=app", hour - timedelta(days=1 + days), float(numerator), float(n), 0.0, 0.0, 0.0, 1)
        for signal, some in earlier.items()
        for days, (numerator, n) in enumerate(some)
    ]
    rows += [("friction", "channel=app", hour - timedelta(days=1, hours=2), 1.0, 9.0, 0.0, 0.0, 0.0, 1)]  # alone
    rows += [("friction", "channel=app", hour - timedelta(days=40), 9.0, 9.0, 0.0, 0.0, 0.0, 1)]  # too old
    shop.sql(
        "INSERT INTO cx.signals_hourly (signal, segment, window_end, numerator, denominator, value, lower, upper, "
        "version) VALUES",
        rows,
    )
    found = {one["signal"]: one for one in ask(shop, "signals/day", segment="channel=app")["rows"]}
    shares, sums = [a / b for a, b in earlier["friction"]], [float(a) for a, _ in earlier["cart_value_abandoned"]]
    middle, spread = 15 / 260, 2 * statistics.stdev(shares)
    ((end, low, high),) = found["friction"]["usual"]
    assert end == format_rfc3339(round(hour.timestamp() * 1000))
    assert (low, high) == pytest.approx((max(0, middle - spread), middle + spread))
    ((_, low, high),) = found["cart_value_abandoned"]["usual"]  # of money the sums count, and hours without any
    spread = 2 * statistics.stdev([*sums, 0.0])
    assert (low, high) == pytest.approx((max(0, 157.5 - spread), 157.5 + spread))
    points = shop.sql(
        "SELECT toUnixTimestamp64Milli(window_end), numerator, denominator FROM cx.signals FINAL "
        "WHERE signal = 'cart_value_abandoned' AND segment = 'channel=app' AND window = '1h' AND denominator > 0 "
        "AND minute(window_end) % 20 = 0 ORDER BY window_end"
    )
    assert len(points) >= 2
    expected = [[format_rfc3339(at), value, n] for at, value, n in points if at <= as_of.timestamp() * 1000]
    assert found["cart_value_abandoned"]["points"] == expected


def test_an_earlier_moment_has_the_rows_of_its_window_alone(shop: Running) -> None:
    at = datetime.fromtimestamp(time.time() // 300 * 300 - 900, UTC)
    asked = {"window": "5m", "segment": "channel=web", "at": (at + timedelta(seconds=17)).isoformat()}
    found = everything(shop, "signals", limit=7, **asked)
    by_age = ("_nowcast", "_completion_ratio")
    plain: list[Any] = [one for one in found if not one["signal"].endswith(by_age)]
    stored = shop.sql(
        "SELECT signal, numerator, denominator FROM cx.signals FINAL WHERE window = '5m' "
        "AND segment = 'channel=web' AND window_end = %(at)s AND denominator > 0 "
        "AND NOT endsWith(signal, '_nowcast') AND NOT endsWith(signal, '_completion_ratio') ORDER BY signal",
        {"at": at},
    )
    assert len(stored) > 8
    assert [(one["signal"], one["numerator"], one["denominator"]) for one in plain] == stored
    assert any(one["signal"].endswith(by_age) for one in found)
    assert all(one["window_end"] <= format_rfc3339(round(at.timestamp() * 1000)) for one in found)
    ended = (
        "SELECT countIf(outcome = 'abandoned') FROM cx.journeys FINAL WHERE funnel = 'cart' AND ended_at < %(at)s "
        "AND ended_at >= %(at)s - INTERVAL 1 HOUR"
    )
    page, [(n,)] = unchanged(
        lambda: (ask(shop, "funnels", window="1h", at=at.isoformat()), shop.sql(ended, {"at": at}))
    )
    assert {one["funnel"]: one for one in page["rows"]}["cart"]["abandoned"] == n > 0


def test_who_came_back_later_was_open_then(shop: Running) -> None:
    (last,) = shop.sql("SELECT max(recovered_at) FROM cx.recoveries FINAL WHERE status = 'recovered'")[0]
    at = last - timedelta(minutes=10)
    stored = (
        "SELECT funnel, count(), countIf(status = 'recovered' AND recovered_at <= %(at)s) "
        "FROM cx.recoveries FINAL WHERE status != 'retracted' AND entered_at < %(at)s GROUP BY funnel"
    )
    page, rows = unchanged(
        lambda: (ask(shop, "recoveries", at=at.isoformat())["rows"], shop.sql(stored, {"at": at}))
    )
    found = {one["funnel"]: one for one in page}
    assert {funnel: (found[funnel]["known"], found[funnel]["recovered"]) for funnel, _, _ in rows} == {
        funnel: (known, recovered) for funnel, known, recovered in rows
    }
    now = {one["funnel"]: one for one in ask(shop, "recoveries")["rows"]}
    assert sum(one["recovered"] for one in now.values()) > sum(one["recovered"] for one in found.values())


def test_alerts_of_a_moment_are_those_that_were_open(shop: Running) -> None:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)

    def row(name: str, opened: float, over: float | None, status: str, stake: float | None) -> tuple[Any, ...]:
        resolved = None if over is None else at + timedelta(hours=over)
        updated = resolved or at + timedelta(hours=1)
        start = (name, "checkout", "checkout_abandonment", "all", status, at + timedelta(hours=opened))
        return (
            *start,
            updated,
            resolved,
            5.0,
            2.0,
            10.0,
            300,
            ["device=mobile"],
            [0.9],
            3.0,
            stake,
            "EUR",
            "x",
            "y",
            1,
        )

    shop.sql(
        f"INSERT INTO cx.alerts ({', '.join(COLUMNS[ALERTS])}) VALUES",
        [
            row("before", -3, -1, "resolved", 1.0),
            row("open", -2, 4, "resolved", 900.0),
            row("later", 1, 2, "resolved", 1.0),
            row("never", -2, 3, "pending", None),
        ],
    )
    names = [("before",), ("open",), ("later",)]
    shop.sql("INSERT INTO cx.alerts_fired (alert_id) VALUES", names)
    try:
        (one,) = ask(shop, "alerts", at=at.isoformat())["rows"]
        assert (one["alert_id"], one["status"], one["resolved_at"]) == ("open", "firing", None)
        assert one["at_stake"] is None  # it was less by then, and is not kept
        assert one["causes"] == [["device=mobile", 0.9]]
        assert len(ask(shop, "alerts", at=at.isoformat(), status="open")["rows"]) == 1
        assert ask(shop, "alerts", at=at.isoformat(), status="resolved")["rows"] == []
    finally:
        shop.sql("ALTER TABLE cx.alerts DELETE WHERE explanation = 'y' SETTINGS mutations_sync = 2")


def test_stores_by_the_hour_letters_and_completeness_are_those_of_the_tables(shop: Running) -> None:
    hourly = (
        "SELECT segment, toUnixTimestamp64Milli(window_end), numerator / denominator, denominator "
        "FROM cx.signals_hourly FINAL WHERE signal = 'friction' AND startsWith(segment, 'store_id=') "
        "AND denominator > 0 ORDER BY 1, 2"
    )
    asked = {"signal": "friction", "dimension": "store_id"}
    found, stored = unchanged(lambda: (ask(shop, "signals/hours", **asked)["rows"], shop.sql(hourly)))
    assert len(stored) >= 12
    assert [(one["segment"], *hour) for one in found for hour in one["hours"]] == [
        (segment, format_rfc3339(end), value, n) for segment, end, value, n in stored
    ]
    letters = ask(shop, "deadletters")["rows"]
    assert letters
    assert [(one["topic"], one["reason"], one["letters"], one["bytes"]) for one in letters] == shop.sql(
        "SELECT topic, reason, count(), sum(size) FROM cx.dead_letters FINAL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    )
    hours = ask(shop, "completeness")["rows"]
    assert hours
    assert all(one["until"].endswith(":00:00.000Z") and one["complete"] <= one["windows"] <= 60 for one in hours)


def test_steps_are_passed_as_the_journeys_of_the_table_went(shop: Running) -> None:
    page, journeys = unchanged(lambda: _steps(shop))
    entered, left, took = Counter[Any](), Counter[Any](), defaultdict[Any, list[int]](list)
    completed, nexts = Counter[Any](), defaultdict[Any, Counter[str]](Counter)
    for funnel, outcome, steps, after_ms, whole_ms in journeys:
        times = [0, *after_ms, whole_ms]
        for at, step in enumerate(["", *steps]):
            entered[funnel, step] += 1
            is_last = at == len(steps)
            left[funnel, step] += is_last and outcome == "abandoned"
            completed[funnel, step] += is_last and outcome == "completed"
            if not is_last:
                nexts[funnel, step][steps[at]] += 1
            if not is_last or outcome == "completed":
                took[funnel, step].append(times[at + 1] - times[at])
    rows = {(one["funnel"], one["step"]): one for one in page["rows"]}
    assert {"address", "payment", ""} <= {step for funnel, step in rows if funnel == "checkout"}
    assert rows.keys() == entered.keys()
    for key, row in rows.items():
        assert (row["entered"], row["completed"], row["left"]) == (entered[key], completed[key], left[key])
        assert sorted(nexts[key].values(), reverse=True)[:5] == [n for _, n in row["next"]]
        assert all(nexts[key][step] == n for step, n in row["next"])
        if row["median_s"] is None:
            assert not took[key]
        else:
            assert round(row["median_s"] * 1000) in took[key]
            assert statistics.median_low(took[key]) <= round(row["median_s"] * 1000) <= max(took[key])


def _steps(system: Running) -> tuple[dict[str, Any], list[Any]]:
    """The page, and the journeys of the table that ended in the same hour."""
    page = ask(system, "funnels/steps", segment="channel=web", window="1h")
    return page, system.sql(
        "SELECT funnel, outcome, steps, step_after_ms, dateDiff('millisecond', entered_at, ended_at) "
        "FROM cx.journeys FINAL WHERE channel = 'web' AND outcome IN ('completed', 'abandoned') "
        f"AND ended_at >= {_as_of(page)} - INTERVAL 1 HOUR AND ended_at < {_as_of(page)}"
    )


def test_moments_of_a_day_are_those_of_the_table_and_tell_of_nobody(shop: Running) -> None:
    # A late event's moments come a moment after all that was counted of it.
    shop.wait_for(lambda: _fired(*_moments(shop)), 20)
    page, stored = _moments(shop)
    counted = {rule: (fired, withdrawn) for rule, fired, withdrawn, _ in stored}
    assert sum(fired for fired, _ in counted.values()) > 0
    assert len(page["rows"]) == 6
    for row in page["rows"]:
        assert (row["fired"], row["withdrawn"]) == counted.get(row["rule"], (0, 0))
        assert (len(row["hours"]), sum(row["hours"])) == (24, row["fired"])
        assert row["says"]
    newest = {rule: format_rfc3339(at) for rule, fired, _, at in stored if fired}
    assert {row["rule"]: row["newest_at"] for row in page["rows"] if row["fired"]} == newest
    people = {
        text for (person,) in shop.sql("SELECT DISTINCT person FROM cx.moments") for text in (person, person[2:])
    }
    assert not any(person in json.dumps(page) for person in people)
    assert people


def _moments(system: Running) -> tuple[dict[str, Any], list[Any]]:
    """The page, and of each rule what the table holds of the same day."""
    page = ask(system, "moments", segment="channel=web")
    return page, system.sql(
        "SELECT rule, countIf(status = 'fired'), countIf(status = 'withdrawn'), "
        "toUnixTimestamp64Milli(maxIf(at, status = 'fired')) FROM cx.moments FINAL "
        f"WHERE channel = 'web' AND at >= {_as_of(page)} - INTERVAL 1 DAY AND at < {_as_of(page)} GROUP BY rule"
    )


def _fired(page: dict[str, Any], stored: list[Any]) -> bool:
    """Whether any has, and the page says so as often as the table."""
    count = sum(fired for _, fired, _, _ in stored)
    return bool(count > 0) and sum(row["fired"] for row in page["rows"]) == count


def test_journeys_page_by_page_are_those_of_the_table(shop: Running) -> None:
    asked = {"funnel": "checkout", "outcome": "abandoned", "device": "mobile"}
    stored = (
        "SELECT journey_id, session_id, last_step, value FROM cx.journeys FINAL "
        "WHERE funnel = 'checkout' AND outcome = 'abandoned' AND device = 'mobile'"
    )
    found, rows = unchanged(lambda: (everything(shop, "journeys", limit=9, **asked), shop.sql(stored)))
    assert len(rows) > 9  # more than a page, at any hour
    keys = [(one["journey_id"], one["session_id"], one["last_step"], one["value"]) for one in found]
    assert sorted(keys) == sorted(rows)
    assert len(set(keys)) == len(keys)
    half = found[len(found) // 2]["entered_at"]
    before, after, found = unchanged(
        lambda: (
            everything(shop, "journeys", to=half, **asked),
            everything(shop, "journeys", from_=half, **asked),
            everything(shop, "journeys", **asked),
        )
    )
    assert len(before) + len(after) == len(found)
    assert all(one["entered_at"] < half for one in before)


def test_funnels_add_up_to_the_signals_of_the_same_window(shop: Running) -> None:
    # Carts still run into their timeouts, and a journey is stored a moment before what is counted of it.
    shop.wait_for(lambda: _funnels(shop) == _abandonment(shop), 90)
    assert [name for name, *_ in _funnels(shop)] == list(FUNNELS)
    checkout = ask(shop, "funnels", window="1h", segment="channel=web")["rows"][2]
    assert sum(step["abandoned"] for step in checkout["exits"]) == checkout["abandoned"] > 10
    assert {step["step"] for step in checkout["exits"]} <= {"address", "delivery", "payment", "review", ""}


def _funnels(system: Running) -> list[tuple[str, int, int]]:
    rows = ask(system, "funnels", window="1h", segment="channel=web")["rows"]
    return [(one["funnel"], one["abandoned"], one["completed"]) for one in rows]


def _abandonment(system: Running) -> list[tuple[str, int, int]]:
    rows = everything(system, "signals", window="1h", segment="channel=web")
    known = {one["signal"]: (one["numerator"], one["denominator"] - one["numerator"]) for one in rows}
    return [(funnel, *known.get(f"{funnel}_abandonment", (0, 0))) for funnel in FUNNELS]


def test_what_is_wrong_is_a_400_that_says_what_is_allowed(shop: Running) -> None:
    status, problem = refusal(shop, "signals", window="2m")
    assert status == 400
    assert "'1m', '5m', '15m' or '1h'" in problem["detail"]
    status, problem = refusal(shop, "journeys")
    assert problem["faults"] == [{"parameter": "funnel", "message": "Field required"}]
    status, problem = refusal(shop, "signals", cursor="e30")
    assert status == 400
    status, problem = refusal(shop, "stream", segment="web")
    assert status == 400
    status, problem = refusal(shop, "everything")
    assert (status, "openapi.json" in problem["detail"]) == (404, True)


def test_injected_sql_is_a_name_that_nothing_has(shop: Running) -> None:
    for value in ("x' OR 1=1 --", "\\' OR 1=1 --", "%(limit)s", "x'; DROP TABLE cx.journeys; --"):
        assert ask(shop, "journeys", funnel="cart", device=value)["rows"] == []
    assert shop.sql("SELECT count() FROM cx.journeys")[0][0] > 100


class Stream:
    """A client of the stream, on a bare socket."""

    def __init__(self, system: Running, query: str = "", buffer: int | None = None) -> None:
        host, _, port = system.addresses["web"].removeprefix("http://").partition(":")
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect((host, int(port)))
        self.socket.sendall(f"GET /api/v1/stream{query} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        self.text = ""

    def until(self, what: str) -> str:
        while what not in self.text:
            got = self.socket.recv(65_536)
            if not got:
                raise EOFError(self.text[-500:])
            self.text += got.decode()
        return self.text

    def close(self) -> None:
        self.socket.close()


def test_the_stream_begins_with_everything_and_only_so_many_may_listen(shop: Running) -> None:
    streams = [Stream(shop, "?window=1h") for _ in range(CLIENTS)]
    try:
        for stream in streams:
            text = stream.until('"whole":true}')
            assert "HTTP/1.0 200" in text.partition("\n")[0]
            assert "event: vitals" in text
            assert '"csat","all"' in text
        status, problem = refusal(shop, "stream")
        assert status == 503
        assert "CX_WEB__CLIENTS" in problem["detail"]
    finally:
        for stream in streams:
            stream.close()
    shop.wait_for(lambda: listeners(shop) == 0, 60)
    again = Stream(shop)
    again.until('"whole":true}')
    again.close()


def test_a_client_that_does_not_read_is_let_go(shop: Running) -> None:
    shop.wait_for(lambda: listeners(shop) == 0, 60)
    slow = Stream(shop, "?window=1h", buffer=2_048)
    quick = Stream(shop, "?window=1h")
    try:
        quick.until('"whole":true}')
        shop.wait_for(lambda: listeners(shop) == 2, 60)  # /metrics may be a second old
        deadline = time.monotonic() + 120
        while listeners(shop) == 2:
            assert time.monotonic() < deadline
            quick.text = ""
            quick.until("event: vitals")
        assert listeners(shop) == 1
        quick.text = ""
        quick.until("event: vitals")
    finally:
        slow.close()
        quick.close()


def listeners(system: Running) -> int:
    with urllib.request.urlopen(f"{system.addresses['web']}/metrics", timeout=5) as page:
        (line,) = (line for line in page.read().decode().splitlines() if line.startswith("cx_stream_clients "))
    return int(float(line.split()[1]))


def test_the_document_holds_for_all_that_is_served(shop: Running, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    # No schema can say which texts are cursors: each listing gets one of its own.
    config.write_text(
        "\n".join(
            f'[[operations]]\ninclude-path = "/api/v1/{path}"\nparameters = {{ cursor = "{to_cursor(*key)}" }}'
            for path, key in CURSORS.items()
        )
    )
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "run"),
            f"{shop.addresses['web']}/api/v1/openapi.json",
            *("--max-examples", "40", "--workers", "2", "--seed", "7", "--no-color"),
            *("--exclude-path", "/api/v1/stream"),
        ],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
