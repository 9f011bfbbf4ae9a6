"""Rows of a former release live on under the present one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from deploy.embedded import clickhouse
from deploy.embedded.process import free_port
from sinks.migrate import migrate, shipped

FORMER = (3 << 48) + 1_234
NOW = (3 << 44) + 1_234


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    port = free_port()
    child = clickhouse.start(port, tmp_path / "data", tmp_path / "log")
    found = Client("127.0.0.1", port=port)
    try:
        yield found
    finally:
        found.disconnect()
        child.stop()


def test_versions_of_the_former_kind_are_converted_or_dropped(client: Any) -> None:
    client.execute("CREATE DATABASE cx")
    for migration in shipped()[:5]:
        for statement in migration.statements:
            client.execute(statement)
    journeys = "INSERT INTO cx.journeys (journey_id, session_id, channel, outcome, entered_at, version) VALUES"
    client.execute(journeys, [("cart:1", "s", "web", "abandoned", 0, FORMER)])
    client.execute("INSERT INTO cx.alerts (alert_id, status, version) VALUES", [("a", "firing", FORMER)])
    client.execute("INSERT INTO cx.tiles (segment, bucket, version) VALUES", [("all", 0, FORMER)])
    signals = "INSERT INTO cx.signals (signal, segment, window, window_end, version) VALUES"
    client.execute(signals, [("csat", "all", "1h", 0, FORMER)])
    assert [name[:4] for name in migrate(client, {})] == [m.name[:4] for m in shipped()]
    for table in ("journeys", "journeys_by_entry", "alerts"):
        assert client.execute(f"SELECT version FROM cx.{table} FINAL") == [(NOW,)], table
    for table in ("tiles", "signals", "signals_hourly"):
        assert client.execute(f"SELECT count() FROM cx.{table}") == [(0,)], table
    assert client.execute("SHOW TABLES FROM cx LIKE '%converted'") == []
    # A newer row wins, as it must.
    client.execute(journeys, [("cart:1", "s", "web", "completed", 0, NOW + 1)])
    assert client.execute("SELECT outcome FROM cx.journeys FINAL") == [("completed",)]


def test_ends_that_are_written_no_more_go_and_the_others_stay(client: Any) -> None:
    client.execute("CREATE DATABASE cx")
    for migration in shipped()[:6]:
        for statement in migration.statements:
            client.execute(statement)
    ends = {"1m": (10, 20), "5m": (60, 70), "15m": (300, 360), "1h": (600, 660)}
    rows = [("csat", "all", window, 1_000 * end, NOW) for window, some in ends.items() for end in some]
    client.execute("INSERT INTO cx.signals (signal, segment, window, window_end, version) VALUES", rows)
    migrate(client, {})
    left = client.execute(
        "SELECT window, toUnixTimestamp(window_end), complete FROM cx.signals ORDER BY window_end"
    )
    assert left == [("1m", 10, 1), ("1m", 20, 1), ("5m", 60, 1), ("15m", 300, 1), ("1h", 600, 1)]
    assert client.execute("SHOW TABLES FROM cx LIKE 'signals%'") == [
        ("signals",),
        ("signals_hourly",),
        ("signals_hourly_feed",),
        ("signals_now",),
    ]


def test_a_migration_that_was_cut_off_is_gone_on_with(client: Any) -> None:
    """After each of its statements."""
    client.execute("CREATE DATABASE cx")
    *former, last = shipped()
    for migration in former:
        for statement in migration.statements:
            client.execute(statement)
    for statement in last.statements:
        client.execute(statement)
        for again in last.statements:
            client.execute(again)
    assert client.execute("SELECT count() FROM cx.signals_now") == [(0,)]
