"""The sink against the real engine: which errors are a row's, which are the table's or the server's."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from clickhouse_driver import Client

from deploy.embedded import clickhouse
from deploy.embedded.process import free_port
from pipeline.cli.admin import apply_migrations
from pipeline.settings import ClickHouseSettings, Settings
from sinks.address import Address
from sinks.base import SinkRejectedError, SinkUnavailableError
from sinks.buffer import Limits, SinkBuffer
from sinks.clickhouse import ClickHouseSink
from sinks.tables import COLUMNS, DEAD_LETTERS

NAMES = COLUMNS[DEAD_LETTERS]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    folder, port = tmp_path_factory.mktemp("clickhouse"), free_port()
    child = clickhouse.start(port, folder / "data", folder / "log")
    try:
        apply_migrations(Settings(clickhouse=ClickHouseSettings(port=port)))
        yield Address("127.0.0.1", port)
    finally:
        child.stop()


def columns(offsets: list[int], topic: str) -> list[list[Any]]:
    count = len(offsets)
    rest: list[list[Any]] = [["invalid"] * count, ["?"] * count, [b"\xff"] * count, [1] * count, ["0"] * count]
    return [[0] * count, [topic] * count, [0] * count, offsets, *rest]


def stored(address: Address, topic: str) -> list[int]:
    client = Client(address.host, port=address.port)
    try:
        query = "SELECT offset FROM cx.dead_letters FINAL WHERE topic = %(topic)s ORDER BY offset"
        return [row[0] for row in client.execute(query, {"topic": topic})]
    finally:
        client.disconnect()


def run(address: Address, offsets: list[int], topic: str) -> list[int]:
    """Put rows through a buffer; gives the offsets of those refused for good."""
    refused: list[int] = []

    async def take(_table: str, row: Mapping[str, Any], _error: str) -> None:
        refused.append(row["offset"])

    async def work() -> None:
        buffer = SinkBuffer(ClickHouseSink(address), COLUMNS, Limits(1_000, 0.01, 1 << 20), on_rejected=take)
        await buffer.put(DEAD_LETTERS, columns(offsets, topic))
        buffer.close()
        await asyncio.wait_for(buffer.run(), 60)

    asyncio.run(work())
    return refused


def test_a_value_that_does_not_fit_its_column_costs_its_row_only(address: Address) -> None:
    assert run(address, [*range(40), 2**64, *range(41, 80), -1], "fit") == [2**64, -1]
    assert stored(address, "fit") == [*range(40), *range(41, 80)]


def test_a_row_that_a_constraint_forbids_costs_its_row_only(address: Address) -> None:
    client = Client(address.host, port=address.port)
    client.execute("ALTER TABLE cx.dead_letters ADD CONSTRAINT picky CHECK offset != 13")
    try:
        assert run(address, list(range(30)), "constraint") == [13]
    finally:
        client.execute("ALTER TABLE cx.dead_letters DROP CONSTRAINT picky")
        client.disconnect()
    assert stored(address, "constraint") == [n for n in range(30) if n != 13]


def test_a_missing_table_and_a_missing_server_are_waited_for(address: Address) -> None:
    with pytest.raises(SinkUnavailableError, match="nowhere"):
        ClickHouseSink(address).write("nowhere", NAMES, columns([1], "x"))
    with pytest.raises(SinkUnavailableError, match=r"127.0.0.1:1, table dead_letters"):
        ClickHouseSink(Address("127.0.0.1", 1)).write(DEAD_LETTERS, NAMES, columns([1], "x"))


def test_a_server_that_accepts_and_says_nothing_is_waited_for(address: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        sink = ClickHouseSink(Address("127.0.0.1", port, timeout_s=0.5))
        with pytest.raises(SinkUnavailableError):
            sink.write(DEAD_LETTERS, NAMES, columns([1], "x"))


def test_a_column_that_is_not_there_is_waited_for(address: Address) -> None:
    with pytest.raises(SinkUnavailableError):
        ClickHouseSink(address).write(DEAD_LETTERS, (*NAMES[:-1], "no_such_column"), columns([1], "x"))


def test_a_row_of_the_wrong_kind_is_refused_for_good(address: Address) -> None:
    sink = ClickHouseSink(address)
    with pytest.raises(SinkRejectedError):
        sink.write(DEAD_LETTERS, NAMES, columns(["one"], "x"))  # type: ignore[list-item] # what is tested
    sink.write(DEAD_LETTERS, NAMES, columns([7], "after"))  # the connection is sound again
    assert stored(address, "after") == [7]
