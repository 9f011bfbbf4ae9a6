"""Reading from ClickHouse beside the pipeline: in threads, bounded in number and in time."""

import asyncio
import dataclasses
import queue
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from clickhouse_driver import errors

from sinks.clickhouse import Address, connect, describe

_THREADS: Final = 3
_WAITING: Final = 100
"""Queries under way or waiting for a thread: with more than these, one more is refused."""
_TIMEOUT_S: Final = 10.0
_SETTINGS: Final = {"max_execution_time": 8}

Values = Mapping[str, Any]
Rows = list[tuple[Any, ...]]


class ReadError(RuntimeError):
    """The store does not answer, or too much is asked of it at once."""


class Reads(Protocol):
    """Where rows are read from."""

    async def rows(self, sql: str, values: Values) -> Rows:
        """Rows of a query; ``values`` go into its ``%(name)s``. Raises ReadError."""
        ...

    def close(self) -> None: ...


class NoReads:
    """Where there is no store: for what only describes the API."""

    async def rows(self, sql: str, values: Values) -> Rows:
        raise ReadError("there is no store")

    def close(self) -> None:
        return None


class ClickHouseReads:
    """Reads the database of the sink, over connections of its own."""

    def __init__(self, address: Address, most_waiting: int = _WAITING) -> None:
        self._address = address
        self._most_waiting = most_waiting
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="reads")
        self._clients: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(_THREADS):
            self._clients.put(connect(address))
        self._under_way = 0

    async def rows(self, sql: str, values: Values) -> Rows:
        if self._under_way >= self._most_waiting:
            raise ReadError("too many queries at once")
        try:
            done = asyncio.get_running_loop().run_in_executor(self._threads, self._execute, sql, values)
        except RuntimeError as error:
            raise ReadError("this worker is about to end") from error
        self._under_way += 1
        # Whoever asked may be gone; the thread is busy until the answer is there.
        done.add_done_callback(self._finished)
        return await asyncio.shield(done)

    def _finished(self, done: "asyncio.Future[Rows]") -> None:
        self._under_way -= 1
        if not done.cancelled():
            done.exception()  # seen, should nobody wait for it any more

    def _execute(self, sql: str, values: Values) -> Rows:
        client = self._clients.get()
        try:
            found: Rows = client.execute(sql, dict(values), settings=_SETTINGS)
            return found
        except errors.ServerException as error:
            raise ReadError(f"ClickHouse {self._address}: {describe(error)}") from error
        except (OSError, EOFError, errors.Error) as error:
            client.disconnect()
            raise ReadError(f"ClickHouse {self._address} does not answer ({describe(error)})") from error
        finally:
            self._clients.put(client)

    def close(self) -> None:
        """End the threads; what they are at is left to end by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def reads_of(address: Address) -> ClickHouseReads:
    """Reads of a server, given up on after ten seconds without an answer."""
    return ClickHouseReads(dataclasses.replace(address, timeout_s=_TIMEOUT_S))
