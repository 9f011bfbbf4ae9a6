"""Rows wait here until their table is due: so many of them, or so long a wait.

A put gives a ticket. ``stored`` is the highest ticket up to which everything is stored, in order:
what may be acknowledged. A sink outage is waiting, not losing: inserts are tried again for as long as
it takes, and once ``max_rows`` wait, ``put`` waits too, which holds the consumer back (law 7).
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.base import Columns, Sink, SinkError, SinkUnavailableError

logger = logging.getLogger(__name__)
_LONGEST_BACKOFF_S = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    flush_rows: int
    flush_interval_s: float
    max_rows: int


Observer = Callable[[str, int, float], None]
"""Told of each stored batch: table, rows, seconds."""


class SinkBuffer:
    def __init__(
        self,
        sink: Sink,
        names: Mapping[str, Sequence[str]],
        limits: Limits,
        on_stored: Observer = lambda *_: None,
        on_error: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sink = sink
        self._names = names
        self._limits = limits
        self._on_stored = on_stored
        self._on_error = on_error
        self._waiting: dict[str, list[list[Any]]] = {}
        self._rows = 0
        self._storing_rows = 0
        self._oldest = 0.0
        self._ticket = 0
        self.stored = 0
        self._due = asyncio.Event()
        self._room = asyncio.Condition()
        self._closing = False

    @property
    def rows(self) -> int:
        """Rows that are not stored yet."""
        return self._rows + self._storing_rows

    async def put(self, table: str, columns: Columns) -> int:
        """Add rows; gives the ticket. Waits while too many rows wait."""
        if not columns or not columns[0]:
            return self._ticket
        count = _weight(columns)
        async with self._room:
            await self._room.wait_for(lambda: self.rows < self._limits.max_rows)
        waiting = self._waiting.setdefault(table, [[] for _ in columns])
        for into, column in zip(waiting, columns, strict=True):
            into.extend(column)
        if not self._rows:
            self._oldest = time.monotonic()
        self._rows += count
        self._ticket += 1
        if self._rows >= self._limits.flush_rows or not self._due.is_set():
            self._due.set()
        return self._ticket

    async def run(self) -> None:
        """Store what waits, until ``close``; then what is left."""
        while not self._closing or self._rows:
            await self._due.wait()
            wait = self._oldest + self._limits.flush_interval_s - time.monotonic()
            if wait > 0 and self._rows < self._limits.flush_rows and not self._closing:
                await asyncio.sleep(min(wait, 0.05))
                continue
            await self._flush()
            if not self._rows and not self._closing:
                self._due.clear()

    def close(self) -> None:
        """Have ``run`` end after what waits has been stored."""
        self._closing = True
        self._due.set()

    async def _flush(self) -> None:
        batches, self._waiting = self._waiting, {}
        ticket, self._storing_rows, self._rows = self._ticket, self._rows, 0
        for table, columns in batches.items():
            await self._store(table, columns)
        self.stored = ticket
        self._storing_rows = 0
        async with self._room:
            self._room.notify_all()

    async def _store(self, table: str, columns: list[list[Any]]) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await asyncio.to_thread(self._sink.write, table, self._names[table], columns)
            except SinkError as error:
                failures += 1
                self._on_error(table)
                hint = error.retry_after_s if isinstance(error, SinkUnavailableError) else 1.0
                pause = min(_LONGEST_BACKOFF_S, hint * 2 ** min(failures - 1, 6)) * random.uniform(0.5, 1)
                logger.warning("%s; %d rows of %s wait, next try in %.1f s", error, len(columns[0]), table, pause)
                await asyncio.sleep(pause)
            else:
                self._on_stored(table, len(columns[0]), time.monotonic() - started)
                return


def _weight(columns: Columns) -> int:
    """Rows, a row with raw bytes counting as one more for each KiB: the bound is one of memory."""
    raw = sum(len(value) for column in columns if type(column[0]) is bytes for value in column)
    return len(columns[0]) + raw // 1024
