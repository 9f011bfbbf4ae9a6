"""Running systems, started once for the module."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from deploy.embedded import clickhouse
from deploy.embedded.process import free_port
from sinks.migrate import migrate
from tests.needs import need
from tests.systems import Running, System


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """``cx-signals up``."""
    system = Running.start(tmp_path_factory.mktemp("running"))
    try:
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a ClickHouse with our tables, all empty."""
    port, folder = free_port(), tmp_path_factory.mktemp("engine")
    child = clickhouse.start(port, folder / "data", folder / "log")
    client = Client("127.0.0.1", port=port)
    try:
        migrate(client, {})
        yield client
    finally:
        client.disconnect()
        child.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Public data that lies beside the project, not in it. Formats have tests of their own."""
    folder = Path(os.environ.get("REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    need(folder.is_dir(), f"the real input is not here: {folder} (set REAL_DATA to its folder)")
    return folder
