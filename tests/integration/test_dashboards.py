"""Every panel's query, run by the real engine over what a simulated shop has left in it."""

import re
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client

from pipeline.model.funnels import STANDARD
from schemas.times import format_rfc3339
from tests.dashboards import Panel, Range, clickhouse_panels, documents, expand, other_queries
from tests.systems import Running

HOURS = 6
VALUES = {
    "funnel": "checkout",
    "channel": "all",
    "store": "all",
    "device": "all",
    "other": "all",
    "window": "1h",
    "segment": "all",
}
#: Where a healthy pipeline and shop may have nothing to show.
#: (A nowcast has no value where nobody of some age was seen in the window, and few queue for long.)
#: (Few baskets are voided, and hardly any of somebody known within some hours.)
MAY_BE_EMPTY = frozenset(
    {
        "cx-live: Open alerts",
        "cx-live: Baskets recovered so far",
        "cx-recovery: Baskets recovered",
        "cx-recovery: Bought within seven days: told of, and held out",
        "cx-stores: Queues joined now, nowcast",
    }
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Range]]:
    """Some hours up to now, in the last of which paying on mobile devices breaks."""
    system = Running.start(tmp_path_factory.mktemp("shop"))
    try:
        minutes, now_ms = HOURS * 60, round(time.time() * 1000)
        incident = ["--incident", f"payment-mobile@{minutes - 60}+40"]
        # What was left a week and a day ago is asked about in the range shown.
        times: tuple[tuple[int, int, list[str]], ...] = (
            (7 * 24 * 60 + 180, 120, []),
            (24 * 60 + 180, 120, []),
            (minutes, minutes, incident),
        )
        for before, length, more in times:
            start = ["--start", format_rfc3339(now_ms - before * 60_000)]
            sent = system.cx("simulate", "--fast", "--minutes", str(length), "--rate", "4", *start, *more)
            assert sent.returncode == 0, sent.stderr
        system.wait_for(lambda: is_caught_up(system, now_ms), 600)
        yield system, Range(now_ms - 3 * 3_600_000, round(time.time() * 1000) + 1_000)
    finally:
        system.stop()


def is_caught_up(system: Running, now_ms: int) -> bool:
    """Whether the newest windows are there, and nothing waits to be read or stored."""
    (newest,) = system.sql("SELECT toUnixTimestamp(max(window_end)) FROM cx.signals WHERE segment = 'all'")[0]
    if newest * 1000 < now_ms - 120_000:
        return False
    with urllib.request.urlopen(system.addresses["web"] + "/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    waiting = ("cx_consumer_lag_records{", "cx_unfinished_batches ", "cx_sink_waiting_rows ")
    return all(float(line.rpartition(" ")[2]) == 0 for line in lines if line.startswith(waiting))


def rows_of(system: Running, sql: str) -> list[dict[str, Any]]:
    host, _, port = system.addresses["clickhouse"].rpartition(":")
    client = Client(host, port=int(port), password=system.more["CX_CLICKHOUSE__PASSWORD"])
    try:
        rows, columns = client.execute(sql, with_column_types=True)
        return [dict(zip([name for name, _ in columns], row, strict=True)) for row in rows]
    finally:
        client.disconnect()


@pytest.mark.parametrize("panel", clickhouse_panels(), ids=str)
def test_a_panels_query_gives_rows_of_its_shape(shop: tuple[Running, Range], panel: Panel) -> None:
    system, shown = shop
    rows = rows_of(system, expand(panel.sql, shown, VALUES))
    assert rows or str(panel) in MAY_BE_EMPTY
    for row in rows:
        assert_fits(panel, row)
    if panel.is_series and rows:
        times = [row["time"] for row in rows]
        assert times == sorted(times)
        lines = [(row["time"], row.get("line")) for row in rows]
        assert len(lines) == len(set(lines))
        assert shown.from_ms <= min(times).timestamp() * 1000 + shown.interval_ms
        assert max(times).timestamp() * 1000 <= shown.to_ms


def assert_fits(panel: Panel, row: dict[str, Any]) -> None:
    """What the kind of panel needs: a time and numbers; a figure and its detail; a text and a number."""
    values = list(row.values())
    if panel.is_series:
        assert isinstance(row["time"], datetime)
        assert all(isinstance(value, (int, float)) for name, value in row.items() if name not in ("time", "line"))
    elif panel.kind == "stat":
        assert isinstance(row["value"], float)
        assert row["detail"].startswith("n = ")
    elif panel.kind == "bargauge":
        assert isinstance(values[0], str)
        assert isinstance(values[1], (int, float))


def newest_row(system: Running) -> Any:
    return system.sql("SELECT max(window_end) FROM cx.signals WHERE window = '15m'")[0][0]


def test_no_data_is_not_zero(shop: tuple[Running, Range]) -> None:
    """A store of which only friction is known; a signal whose last row is old, or was taken back."""
    system, shown = shop
    newest = newest_row(system)
    chosen = VALUES | {"window": "15m", "segment": "store_id=quiet"}
    row = ("15m", newest, 1.0, 10.0, 0.1, 0.0, 0.4, 1)
    old = ("15m", newest - timedelta(minutes=20), 1.0, 10.0, 0.1, 0.0, 0.4, 1)
    back = ("15m", newest, 0.0, 0.0, 0.0, 0.0, 0.0, 1)
    system.sql(
        "INSERT INTO cx.signals (signal, segment, window, window_end, numerator, denominator, value, lower, "
        "upper, version) VALUES",
        [
            ("friction", "store_id=a%7Cb&c", *row),
            ("csat", "store_id=quiet", *old),
            ("nps", "store_id=quiet", *back),
        ],
    )
    by_title = {str(panel): panel for panel in clickhouse_panels()}
    rows = rows_of(system, expand(by_title["cx-live: Stores now, last 15 minutes"].sql, shown, VALUES))
    (only,) = [one for one in rows if one["key"] == "store_id=a%7Cb&c"]
    assert only["name"] == "a|b&c"
    assert only["friction"] == 0.1
    assert only["csat"] is None
    assert only["queues left n"] is None
    assert rows_of(system, expand(by_title["cx-live: CSAT"].sql, shown, chosen)) == []
    assert rows_of(system, expand(by_title["cx-live: NPS"].sql, shown, chosen)) == []
    assert rows_of(system, expand(by_title["cx-live: CSAT"].sql, shown, VALUES)) != []


def test_old_ranges_are_read_from_full_hours_too(shop: tuple[Running, Range]) -> None:
    system, shown = shop
    at = shown.to_ms // 3_600_000 * 3_600_000 - 60 * 86_400_000
    system.sql(
        "INSERT INTO cx.signals_hourly (signal, segment, window_end, numerator, denominator, value, lower, upper, "
        "version) VALUES",
        [("checkout_nowcast", "all", datetime.fromtimestamp(at / 1000, UTC), 1.0, 4.0, 0.25, 0.1, 0.5, 1)],
    )
    (panel,) = [one for one in clickhouse_panels() if one.title.startswith("Checkout nowcast with its interval")]
    found = rows_of(system, expand(panel.sql, Range(at - 3_600_000, at + 3_600_000), VALUES))
    assert [row["value"] for row in found] == [0.25]


def test_the_alert_that_the_incident_raises_is_a_mark_on_the_graphs(shop: tuple[Running, Range]) -> None:
    system, shown = shop
    for uid in ("cx-live", "cx-funnels", "cx-recovery", "cx-stores"):
        (mark,) = documents()[uid]["annotations"]["list"]
        rows = rows_of(system, expand(mark["target"]["rawSql"], shown, VALUES))
        assert any("checkout" in row["text"] for row in rows)
        assert all(row["time"] <= row["timeEnd"].replace(tzinfo=row["time"].tzinfo) for row in rows)


def test_variables_offer_what_there_is(shop: tuple[Running, Range]) -> None:
    system, shown = shop
    found = {}
    for variable in documents()["cx-funnels"]["templating"]["list"]:
        if variable["type"] == "query":
            rows = rows_of(system, expand(variable["query"], shown, VALUES))
            found[variable["name"]] = [row["value"] for row in rows]
    assert found["store"][0] == "all"
    assert "store_id=store-01" in found["store"]
    assert found["device"][0] == "all"
    assert {"device=mobile", "device=desktop"} <= set(found["device"])
    assert {"region=north", "region=south"} <= set(found["other"])
    assert not any(segment.startswith(("channel=", "store_id=")) for segment in found["other"])
    assert found["funnel"][0] == "checkout"
    assert set(found["funnel"]) == set(STANDARD)
    assert found["segment"] == ["all"]


@pytest.mark.parametrize(
    ("chosen", "segment"),
    [
        ({"channel": "web"}, "channel=web"),
        ({"channel": "web", "device": "device=mobile"}, "channel=web|device=mobile"),
        ({"channel": "web", "other": "region=north"}, "region=north"),
        ({"store": "store_id=store-01"}, "store_id=store-01"),
        ({"channel": "pos", "store": "store_id=store-01"}, "channel=pos|store_id=store-01"),
        ({"device": "device=mobile"}, "all"),
    ],
)
def test_what_is_chosen_is_a_segment_that_there_is(
    shop: tuple[Running, Range], chosen: dict[str, str], segment: str
) -> None:
    system, shown = shop
    variables = documents()["cx-live"]["templating"]["list"]
    (query,) = [one["query"] for one in variables if one["name"] == "segment"]
    (row,) = rows_of(system, expand(query, shown, VALUES | chosen))
    assert row["value"] == segment
    assert system.sql("SELECT count() FROM cx.signals FINAL WHERE segment = %(s)s", {"s": segment})[0][0] > 0


def test_long_ranges_are_read_from_full_hours(shop: tuple[Running, Range]) -> None:
    system, shown = shop
    month = Range(shown.to_ms - 30 * 86_400_000, shown.to_ms, 3_600_000)
    (panel,) = [one for one in clickhouse_panels() if one.title.startswith("Checkout nowcast with its interval")]
    rows = rows_of(system, expand(panel.sql, month, VALUES))
    assert HOURS - 2 + 4 <= len(rows) <= HOURS + 1 + 6  # and two before, of two hours each
    assert all(row["time"].astimezone(UTC).minute == 0 for row in rows)
    hourly, own = (
        system.sql(
            f"SELECT count(), sum(value), sum(denominator) FROM {table} FINAL WHERE denominator > 0 {where}"
        )[0]
        for table, where in (
            ("cx.signals_hourly", "AND version > 1"),  # no row of another test
            ("cx.signals", "AND window = '1h' AND toUnixTimestamp64Milli(window_end) % 3600000 = 0"),
        )
    )
    assert hourly[0] == own[0] > 0
    assert hourly[1:] == pytest.approx(own[1:])


def test_journeys_by_entry_are_the_journeys(shop: tuple[Running, Range]) -> None:
    system, _ = shop
    columns = "count(), sum(value), sum(cityHash64(session_id, journey_id, outcome, ended_at, last_step, version))"
    found: list[Any] = []

    def are_alike() -> bool:
        """Ticks end a journey now and then, and the two tables are read one after the other."""
        tables = ("cx.journeys", "cx.journeys_by_entry")
        found[:] = [system.sql(f"SELECT {columns} FROM {table} FINAL")[0] for table in tables]
        return bool(found[0][0] == found[1][0] and found[0][2] == found[1][2])

    system.wait_for(are_alike, 30)
    journeys, by_entry = found
    assert journeys[0] > 1_000
    assert by_entry[1] == pytest.approx(journeys[1])


ODD_STORES = [
    "C:\\new\\table",
    "ends with \\",
    "all",
    "it's",
    "' OR 1 --",
    "\\' OR 1 --",
    "a|b=c%d",
    "${window}",
    "$__fromTime",
    '"',
    "日本",
]


def test_a_store_may_be_called_anything(shop: tuple[Running, Range]) -> None:
    """What is chosen is its own rows, and nothing that is written there is SQL."""
    system, shown = shop
    newest = newest_row(system)
    texts = {name: f"store_id={name.translate({37: '%25', 124: '%7C', 61: '%3D'})}" for name in ODD_STORES}
    columns = "signal, segment, window, window_end, numerator, denominator, value, lower, upper, version"
    rows = [
        ("csat", text, "15m", newest, float(n), 100.0, n / 100, 0.0, 1.0, 1)
        for n, text in enumerate(texts.values())
    ]
    system.sql(f"INSERT INTO cx.signals ({columns}) VALUES", rows)
    bucket = system.sql("SELECT max(bucket) FROM cx.tiles WHERE bucket <= now64(3)")[0][0]
    tiles = [(text, bucket, "touchpoints.pos:0", 1, 1) for text in texts.values()]
    system.sql("INSERT INTO cx.tiles (segment, bucket, source, events, version) VALUES", tiles)
    journey_columns = "journey_id, funnel, channel, store_id, outcome, entered_at, ended_at, version"
    journey = f"INSERT INTO cx.journeys ({journey_columns}) VALUES"
    system.sql(
        journey,
        [(f"queue:{n}", "queue", "pos", name, "completed", newest, newest, 1) for n, name in enumerate(texts)],
    )
    by_title = {str(panel): panel for panel in clickhouse_panels()}
    figure = by_title["cx-live: CSAT"].sql
    variables = {one["name"]: one for one in documents()["cx-live"]["templating"]["list"]}
    offered = rows_of(system, expand(variables["store"]["query"], shown, VALUES))
    for number, (name, text) in enumerate(texts.items()):
        chosen = VALUES | {"window": "15m", "store": text}
        assert {"value": text, "label": name} in offered
        (found,) = rows_of(system, expand(variables["segment"]["query"], shown, chosen))
        assert found["value"] == text
        (row,) = rows_of(system, expand(figure, shown, chosen | {"segment": text}))
        assert row["value"] == number / 100, name
        waits = by_title["cx-stores: Waiting time of those served"].sql
        assert len(rows_of(system, expand(waits, shown, chosen))) == 1, name
    for name, odd in (("window", "1m') --"), ("funnel", "x' OR 1 --"), ("device", "\\"), ("channel", "') --")):
        for panel in clickhouse_panels():
            rows_of(system, expand(panel.sql, shown, VALUES | {name: odd}))  # no error: none of it is SQL


def test_no_variable_is_put_into_a_query_in_another_way() -> None:
    queries = [panel.sql for panel in clickhouse_panels()] + list(other_queries().values())
    for query in queries:
        assert set(re.findall(r"\$\{\w+(:?\w*)\}", query)) <= {":percentencode"}, query
