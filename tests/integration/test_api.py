"""The HTTP API over a real worker and the real engine: what it gives is what ClickHouse holds."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.web.parameters import to_cursor
from schemas.times import format_rfc3339
from tests.systems import Running

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
    """A shop whose last event is some minutes old: nothing changes any more but the windows that pass."""
    folder = tmp_path_factory.mktemp("api")
    system = Running.start(folder, "--no-simulate", environ={"CX_WEB__CLIENTS": str(CLIENTS)})
    try:
        start = format_rfc3339(round((time.time() - 75 * 60) * 1000))
        sent = system.cx("simulate", "--fast", "--minutes", "70", "--rate", "10", "--start", start, "--late", "0")
        assert sent.returncode == 0, sent.stderr
        newest = "SELECT max(window_end) > now() - INTERVAL 6 MINUTE FROM cx.signals WHERE window = '1m'"
        system.wait_for(lambda: bool(system.sql(newest)[0][0]) and _is_at_rest(system), 120)
        yield system
    finally:
        system.stop()


def _is_at_rest(system: Running) -> bool:
    with urllib.request.urlopen(f"{system.addresses['web']}/metrics", timeout=5) as page:
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
    page = ask(shop, "signals", window="1h", segment="all", signal="cart_abandonment")
    (cart,) = page["rows"]
    until = f"parseDateTime64BestEffort('{page['as_of']}', 3, 'UTC')"
    expected = shop.sql(
        "SELECT sum(cart_abandoned), sum(cart_abandoned + cart_completed) FROM cx.tiles FINAL "
        f"WHERE segment = 'all' AND bucket >= {until} - INTERVAL 1 HOUR AND bucket < {until}"
    )
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


def test_journeys_page_by_page_are_those_of_the_table(shop: Running) -> None:
    found = everything(shop, "journeys", funnel="checkout", outcome="abandoned", device="mobile", limit=9)
    rows = shop.sql(
        "SELECT journey_id, session_id, last_step, value FROM cx.journeys FINAL "
        "WHERE funnel = 'checkout' AND outcome = 'abandoned' AND device = 'mobile'"
    )
    assert len(rows) > 9  # more than a page, at any hour
    keys = [(one["journey_id"], one["session_id"], one["last_step"], one["value"]) for one in found]
    assert sorted(keys) == sorted(rows)
    assert len(set(keys)) == len(keys)
    half = found[len(found) // 2]["entered_at"]
    before = everything(shop, "journeys", funnel="checkout", outcome="abandoned", device="mobile", to=half)
    after = everything(shop, "journeys", funnel="checkout", outcome="abandoned", device="mobile", from_=half)
    assert len(before) + len(after) == len(found)
    assert all(one["entered_at"] < half for one in before)


def test_funnels_add_up_to_the_signals_of_the_same_window(shop: Running) -> None:
    # Carts still run into their timeouts, and a journey is stored a moment before what is counted of it.
    shop.wait_for(lambda: _funnels(shop) == _abandonment(shop), 20)
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
        timeout=280,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
