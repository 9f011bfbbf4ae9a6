"""The sink's Protocol, its tables, and the two families of its errors."""

from collections.abc import Sequence
from typing import Any, Protocol

Columns = Sequence[list[Any]]
"""Parallel columns, in the order of the table's column names."""


class SinkError(Exception):
    """A write failed."""


class SinkUnavailableError(SinkError):
    """Temporary: the same rows may go in later, by themselves or when an operator has mended something.

    ``retry_after_s`` is a hint.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SinkRejectedError(SinkError):
    """Permanent: at least one of these rows will never go in as it is."""


class Sink(Protocol):
    """Stores rows. ``write`` may block; for one table it is called from one thread at a time."""

    def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
        """Store the rows, all or none. Raises SinkUnavailableError or SinkRejectedError."""

    def close(self) -> None: ...
