"""Reading from ClickHouse beside the pipeline: in threads, bounded in number and in time."""

import asyncio
import contextlib
import dataclasses
import queue
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from clickhouse_driver import errors

from pipeline.web.guard import client
from sinks.address import Address
from sinks.clickhouse import connect, describe

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


class Turns:
    """Who may read next: address by address in turn, so that no client waits for all the questions of another."""

    def __init__(self, at_once: int, most: int, most_of_one: int) -> None:
        """``most``: under way and waiting; ``most_of_one``: of one address."""
        self._free = at_once
        self._most = most
        self._most_of_one = most_of_one
        self._counts: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """Wait for one's turn. Raises ReadError where too many wait."""
        if sum(self._counts.values()) >= self._most or self._counts.get(who, 0) >= self._most_of_one:
            raise ReadError("too many queries at once")
        self._counts[who] = self._counts.get(who, 0) + 1
        try:
            await self._wait(who)
            try:
                yield
            finally:
                self._pass_on()
        finally:
            self._counts[who] -= 1
            if not self._counts[who]:
                del self._counts[who]

    async def _wait(self, who: str) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # it was our turn just now
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            who, theirs = self._waiting.popitem(last=False)
            following = theirs.popleft()
            if theirs:
                self._waiting[who] = theirs  # at the end of the round
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


class _Query:
    """A query under way in a thread, which can be given up from outside: its connection is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Any = None
        self._is_over = False

    def begin(self, client: Any) -> bool:
        with self._lock:
            self._client = client
            return not self._is_over

    def end(self) -> None:
        with self._lock:
            self._client = None

    def give_up(self) -> None:
        """A server ends the query of a client that it has lost."""
        with self._lock:
            self._is_over = True
            connection = None if self._client is None else self._client.connection.socket
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class ClickHouseReads:
    """Reads the database of the sink, over connections of its own."""

    def __init__(self, address: Address, most_waiting: int = _WAITING, threads: int = _THREADS) -> None:
        self._address = address
        self._turns = Turns(threads, most_waiting, max(1, most_waiting // 4))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="reads")
        self._clients: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(threads):
            self._clients.put(connect(address))
        self._is_closed = False

    async def rows(self, sql: str, values: Values) -> Rows:
        if self._is_closed:
            raise ReadError("this worker is about to end")
        async with self._turns.turn(client.get()):
            query = _Query()
            try:
                done = asyncio.get_running_loop().run_in_executor(self._threads, self._execute, query, sql, values)
            except RuntimeError as error:
                raise ReadError("this worker is about to end") from error
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                query.give_up()
                with contextlib.suppress(ReadError):
                    await done  # the thread is busy until then, and so is this turn
                raise

    def _execute(self, query: _Query, sql: str, values: Values) -> Rows:
        connection = self._clients.get()
        try:
            if not query.begin(connection):
                return []
            found: Rows = connection.execute(sql, dict(values), settings=_SETTINGS)
            return found
        except errors.ServerException as error:
            raise ReadError(f"ClickHouse {self._address}: {describe(error)}") from error
        except (OSError, EOFError, errors.Error) as error:
            connection.disconnect()
            raise ReadError(f"ClickHouse {self._address} does not answer ({describe(error)})") from error
        finally:
            query.end()
            self._clients.put(connection)

    def close(self) -> None:
        """End the threads; what they are at is left to end by itself."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)


def reads_of(address: Address, threads: int = _THREADS) -> ClickHouseReads:
    """Reads of a server, given up on after ten seconds without an answer."""
    return ClickHouseReads(dataclasses.replace(address, timeout_s=_TIMEOUT_S), threads=threads)
