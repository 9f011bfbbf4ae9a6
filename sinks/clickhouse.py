"""Rows into ClickHouse through clickhouse-driver: column-wise inserts on the native protocol."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import clickhouse_driver
from clickhouse_driver import errors

from sinks.base import Columns, SinkRejectedError, SinkUnavailableError

DATABASE: Final = "cx"
#: Server errors that pass by themselves: time-outs, overload, memory, too many parts, read-only.
_TEMPORARY_CODES: Final = frozenset({159, 160, 164, 202, 209, 210, 241, 242, 252, 319, 425, 999})
_INSERT_SETTINGS: Final = {
    "async_insert": 0,  # on by default in recent servers: it would answer before storing
    "max_partitions_per_insert_block": 0,  # replayed history may span many years
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ClickHouse server is and who we are to it."""

    host: str
    port: int
    user: str = "default"
    password: str = ""
    timeout_s: float = 60.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def connect(address: Address) -> Any:
    """A client of our own for one thread. It connects at its first query."""
    return clickhouse_driver.Client(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password,
        connect_timeout=min(10.0, address.timeout_s),
        send_receive_timeout=address.timeout_s,
        sync_request_timeout=min(5.0, address.timeout_s),
    )


class ClickHouseSink:
    """Writes into the tables of the database ``cx``."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client = connect(address)

    def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
        query = f"INSERT INTO {DATABASE}.{table} ({', '.join(names)}) VALUES"
        try:
            self._client.execute(query, list(columns), columnar=True, settings=_INSERT_SETTINGS)
        except (OSError, EOFError, errors.NetworkError, errors.PartiallyConsumedQueryError) as error:
            self._client.disconnect()
            raise SinkUnavailableError(f"ClickHouse {self._address}: {describe(error)}") from error
        except errors.ServerException as error:
            message = f"ClickHouse {self._address}, table {table}: {describe(error)}"
            if error.code in _TEMPORARY_CODES:
                raise SinkUnavailableError(message) from error
            raise SinkRejectedError(message) from error
        except errors.Error as error:
            self._client.disconnect()
            raise SinkRejectedError(f"table {table}: {describe(error)}") from error

    def close(self) -> None:
        self._client.disconnect()


def describe(error: BaseException) -> str:
    """A driver's error in one short line."""
    text = str(error).partition("Stack trace")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


def wait_until_reachable(address: Address, timeout_s: float, tell: Callable[[str], None] = lambda _: None) -> None:
    """Return when the server answers. Tells once that it waits. Raises SinkUnavailableError."""
    deadline = time.monotonic() + timeout_s
    told = False
    while True:
        client = connect(address)
        try:
            client.execute("SELECT 1")
            return
        except (OSError, EOFError, errors.Error) as error:
            what = f"ClickHouse at {address} does not answer ({describe(error)})"
            if time.monotonic() >= deadline:
                raise SinkUnavailableError(f"{what}; tried for {timeout_s:g} s") from error
            if not told:
                tell(f"{what}; retrying for up to {timeout_s:g} s")
                told = True
            time.sleep(min(1.0, max(0.05, deadline - time.monotonic())))
        finally:
            client.disconnect()
