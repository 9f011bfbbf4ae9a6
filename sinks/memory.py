"""A sink that keeps rows in memory, for tests and trials. It can be told to fail."""

from collections.abc import Sequence
from typing import Any

from sinks.base import Columns, SinkError


class MemorySink:
    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.failures: list[SinkError] = []
        """Raised, one at each write, before writing goes on."""

    def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
        if self.failures:
            raise self.failures.pop(0)
        rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
        self.tables.setdefault(table, []).extend(rows)

    def close(self) -> None:
        return None
