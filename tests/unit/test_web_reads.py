"""A store that is not there, too much at once, and a worker that ends: each is a ReadError, nothing hangs."""

import asyncio

import pytest

from deploy.embedded.process import free_port
from pipeline.web.reads import ClickHouseReads, ReadError, reads_of
from sinks.clickhouse import Address


def test_a_store_that_is_not_there_is_said() -> None:
    found = reads_of(Address("127.0.0.1", free_port()))
    with pytest.raises(ReadError, match="does not answer"):
        asyncio.run(found.rows("SELECT 1", {}))
    found.close()


def test_one_query_more_than_may_wait_is_refused() -> None:
    found = ClickHouseReads(Address("127.0.0.1", free_port()), most_waiting=0)
    with pytest.raises(ReadError, match="too many"):
        asyncio.run(found.rows("SELECT 1", {}))
    found.close()


def test_once_closed_it_is_about_to_end() -> None:
    found = reads_of(Address("127.0.0.1", free_port()))
    found.close()
    with pytest.raises(ReadError, match="about to end"):
        asyncio.run(found.rows("SELECT 1", {}))
