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
    for table in ("tiles", "signals", "signals_hourly", "signals_recent"):
        assert client.execute(f"SELECT count() FROM cx.{table}") == [(0,)], table
    assert client.execute("SHOW TABLES FROM cx LIKE '%converted'") == []
    # A newer row wins, as it must.
    client.execute(journeys, [("cart:1", "s", "web", "completed", 0, NOW + 1)])
    assert client.execute("SELECT outcome FROM cx.journeys FINAL") == [("completed",)]
