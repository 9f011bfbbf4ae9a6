"""Rows into ClickHouse through clickhouse-driver: column-wise inserts on the native protocol."""

import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import clickhouse_driver
from clickhouse_driver import errors

from sinks.address import Address
from sinks.base import Columns, SinkRejectedError, SinkUnavailableError

DATABASE: Final = "cx"
#: Server errors that a row's own content causes: values, ranges, lengths, nulls, constraints. All others
#: (overload, memory, read-only, a missing table or right) pass, or are mended by an operator: rows wait.
_ROW_CODES: Final = frozenset({6, 26, 27, 38, 41, 69, 72, 131, 321, 349, 407, 469, 691})
#: The driver could not write the rows down: one of them does not fit its column.
_UNWRITABLE: Final = (
    errors.TypeMismatchError,
    errors.TooLargeStringSize,
    errors.CannotParseUuidError,
    errors.CannotParseDomainError,
    ValueError,
    TypeError,
    OverflowError,
    struct.error,
)
_INSERT_SETTINGS: Final = {
    "async_insert": 0,  # on by default in recent servers: it would answer before storing
    # Rows are versioned: twice is once. A replicated table that left out a block it has seen would keep it from
    # the views behind it too, though the first try may have ended between the two.
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,  # replayed history may span many years
}


def connect(address: Address) -> Any:
    """A client of our own for one thread. It connects at its first query."""
    tls: dict[str, Any] = {"secure": True, "verify": True} if address.secure else {}
    if address.secure and address.ca_file:
        tls["ca_certs"] = address.ca_file
    return clickhouse_driver.Client(
        **tls,
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
        self._settings = _INSERT_SETTINGS | ({"insert_quorum": "auto"} if address.is_replicated else {})
        self._clients: dict[str, Any] = {}
        """One for each table: tables are written side by side."""

    def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
        query = f"INSERT INTO {DATABASE}.{table} ({', '.join(names)}) VALUES"
        client = self._clients.get(table)
        if client is None:
            client = self._clients[table] = connect(self._address)
        where = f"ClickHouse {self._address}, table {table}"
        try:
            client.execute(query, list(columns), columnar=True, settings=self._settings)
        except errors.ServerException as error:
            if error.code in _ROW_CODES:
                raise SinkRejectedError(f"{where}: {describe(error)}") from error
            raise SinkUnavailableError(f"{where}: {describe(error)}") from error
        except _UNWRITABLE as error:
            client.disconnect()
            raise SinkRejectedError(f"{where}: {describe(error)}") from error
        except (OSError, EOFError, errors.Error) as error:
            client.disconnect()
            raise SinkUnavailableError(f"{where}: {describe(error)}") from error

    def close(self) -> None:
        for client in self._clients.values():
            client.disconnect()


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
