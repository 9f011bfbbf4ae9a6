"""Rows wait here until their table is due: so many of them, or so long a wait.

Each table has a queue of its own, stored in order: one that refuses rows does not hold up the others. A
put gives a ticket. ``stored`` is the highest ticket up to which everything is stored, over all tables:
what may be acknowledged. A sink outage is waiting, not losing: inserts are tried again for as long as
it takes, and once ``max_bytes`` wait, ``put`` waits too, which holds the consumer back (law 7). Rows
that are refused for good are halved until the offending row is found, which is handed over.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from sinks.base import Columns, Sink, SinkRejectedError, SinkUnavailableError
from sinks.superseded import joined, newest

logger = logging.getLogger(__name__)
_LONGEST_BACKOFF_S: Final = 10.0
#: So many refusals and nothing that goes in: it is not the rows.
_MANY_REFUSED: Final = 100


@dataclass(frozen=True, slots=True)
class Limits:
    flush_rows: int
    """Rows of an insert: so many are due at once, and no more than twice as many go together."""
    flush_interval_s: float
    max_bytes: int


Observer = Callable[[str, int, float], None]
"""Told of each stored batch: table, rows, seconds."""
ErrorObserver = Callable[[str, bool], None]
"""Told of each failed insert: table, whether the same rows are tried again."""
Rejected = Callable[[str, Mapping[str, Any], str], Awaitable[None]]
"""Given each row that will not go in: table, row, error. When it returns the row is done with."""


async def _log_rejected(table: str, row: Mapping[str, Any], error: str) -> None:
    logger.error("a row of %s is refused for good and left out: %s: %s", table, error, row)


@dataclass(slots=True)
class _Chunk:
    ticket: int
    columns: Columns
    bytes: int
    since: float
    stored: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Search:
    """The search of one insert for the rows that are refused."""

    stored: bool = False
    refused: list[tuple[dict[str, Any], str]] = field(default_factory=list)


@dataclass(slots=True)
class _Queue:
    """What waits for one table, the oldest first."""

    chunks: deque[_Chunk] = field(default_factory=deque)
    rows: int = 0
    due: asyncio.Event = field(default_factory=asyncio.Event)
    urgent: int = 0
    """Chunks up to this ticket are due at once."""


class SinkBuffer:
    """Holds rows back for a sink. All methods are for one event loop; the sink works in threads."""

    def __init__(
        self,
        sink: Sink,
        names: Mapping[str, Sequence[str]],
        limits: Limits,
        on_stored: Observer = lambda *_: None,
        on_error: ErrorObserver = lambda *_: None,
        on_rejected: Rejected = _log_rejected,
        keys: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """``names``: columns by table; ``keys``: of tables that keep one row of each, of the highest version."""
        self._sink = sink
        self._keys = {table: [names[table].index(name) for name in key] for table, key in keys.items()}
        self._names = names
        self._limits = limits
        self._note_stored = on_stored
        self.on_stored: Callable[[], None] = lambda: None
        """Called after each insert, when its rows can be read."""
        self._on_error = on_error
        self.on_rejected = on_rejected
        self._queues = {table: _Queue() for table in names}
        # Of its own, one a table: where a server hangs every insert holds its thread for as long as a request
        # may take, and in asyncio's few shared ones the metrics page and checkpoints would wait behind them.
        self._threads = ThreadPoolExecutor(max(1, len(names)), thread_name_prefix="sink")
        self._ticket = 0
        self.bytes = 0
        """Memory of the rows that are not stored yet, about."""
        self._room = asyncio.Condition()
        self._closing = False
        self._hurrying = False

    @property
    def rows(self) -> int:
        """Rows that are not stored yet."""
        return sum(queue.rows for queue in self._queues.values())

    @property
    def stored(self) -> int:
        """Everything up to this ticket is stored."""
        waiting = [queue.chunks[0].ticket for queue in self._queues.values() if queue.chunks]
        return min(waiting) - 1 if waiting else self._ticket

    async def put(self, table: str, columns: Columns) -> int:
        """Add rows; gives the ticket. Waits while too many wait."""
        if not columns or not columns[0]:
            return self._ticket
        if self.bytes >= self._limits.max_bytes:
            async with self._room:
                await self._room.wait_for(lambda: self.bytes < self._limits.max_bytes)
        return self._add(table, columns).ticket

    async def store_now(self, table: str, columns: Columns) -> None:
        """Add rows, even where too many wait, and return when they are stored.

        For what storing itself gives rise to.
        """
        await self._add(table, columns).stored.wait()

    def _add(self, table: str, columns: Columns) -> _Chunk:
        queue = self._queues[table]
        self._ticket += 1
        chunk = _Chunk(self._ticket, columns, _size(columns), time.monotonic())
        queue.chunks.append(chunk)
        queue.rows += len(columns[0])
        self.bytes += chunk.bytes
        queue.due.set()
        return chunk

    async def run(self) -> None:
        """Store what waits, until ``close``; then what is left."""
        await asyncio.gather(*(self._run(table) for table in self._queues))

    def hurry_table(self, table: str) -> None:
        """What waits for this table is due at once."""
        self._queues[table].urgent = self._ticket

    def hurry(self) -> None:
        """From now on everything is due at once."""
        self._hurrying = True

    def close(self) -> None:
        """Have ``run`` end after what waits has been stored. Nothing may be put any more."""
        self._closing = self._hurrying = True
        for queue in self._queues.values():
            queue.due.set()

    async def _run(self, table: str) -> None:
        queue, limits = self._queues[table], self._limits
        # A row of one table can become a dead letter, in another: the last to end is not the first done.
        while not self._closing or self.rows:
            await queue.due.wait()
            if not queue.chunks:
                queue.due.clear()
                if self._closing:
                    queue.due.set()
                    await asyncio.sleep(0.01)
                continue
            first = queue.chunks[0]
            wait = first.since + limits.flush_interval_s - time.monotonic()
            is_due = queue.rows >= limits.flush_rows or first.ticket <= queue.urgent or self._hurrying
            if wait > 0 and not is_due:
                await asyncio.sleep(min(wait, 0.05))
                continue
            await self._flush(table, queue)

    async def _flush(self, table: str, queue: _Queue) -> None:
        """Store the oldest chunks, as many as make an insert."""
        together: list[_Chunk] = []
        rows = 0
        for chunk in queue.chunks:
            rows += len(chunk.columns[0])
            if together and rows > self._limits.flush_rows:
                break
            together.append(chunk)
        columns = self._columns(table, [chunk.columns for chunk in together])
        step = 2 * self._limits.flush_rows
        for start in range(0, len(columns[0]), step):
            await self._store_all(table, [column[start : start + step] for column in columns])
        for chunk in together:
            queue.chunks.popleft()
            queue.rows -= len(chunk.columns[0])
            self.bytes -= chunk.bytes
            chunk.stored.set()
        async with self._room:
            self._room.notify_all()

    def _columns(self, table: str, chunks: Sequence[Columns]) -> list[list[Any]]:
        key = self._keys.get(table)
        return joined(chunks) if key is None else newest(chunks, key, self._names[table].index("version"))

    async def _store_all(self, table: str, columns: Columns) -> None:
        """Store all rows but those that are refused for good, which are handed over."""
        while True:
            search = _Search()
            try:
                await self._search(table, columns, search)
            except SinkRejectedError as error:
                # Not a row: the table. An operator can mend it, so the rows wait.
                self._on_error(table, True)
                logger.error("%s; every row is refused, %d rows of %s wait", error, len(columns[0]), table)
                await asyncio.sleep(_LONGEST_BACKOFF_S)
                continue
            for row, text in search.refused:
                await self.on_rejected(table, row, text)
            return

    async def _search(self, table: str, columns: Columns, search: _Search) -> None:
        """Store rows; those that are refused are found by halving.

        Raises SinkRejectedError where nothing but refusals is found.
        """
        count = len(columns[0])
        try:
            await self._try_until_stored(table, columns)
            search.stored = True
        except SinkRejectedError as error:
            self._on_error(table, count > 1)
            if count == 1:
                row = {name: column[0] for name, column in zip(self._names[table], columns, strict=True)}
                search.refused.append((row, str(error)))
                if len(search.refused) >= _MANY_REFUSED and not search.stored:
                    raise
                return
            half = count // 2
            await self._search(table, [column[:half] for column in columns], search)
            await self._search(table, [column[half:] for column in columns], search)

    async def _try_until_stored(self, table: str, columns: Columns) -> None:
        """Raises SinkRejectedError."""
        failures = 0
        while True:
            started = time.monotonic()
            try:
                names, loop = self._names[table], asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, self._sink.write, table, names, columns)
            except SinkUnavailableError as error:
                failures += 1
                self._on_error(table, True)
                longest = min(_LONGEST_BACKOFF_S, error.retry_after_s * 2 ** min(failures - 1, 6))
                # Jitter: many workers would otherwise come back all at once.
                pause = longest * random.uniform(0.5, 1)
                logger.warning("%s; %d rows of %s wait, next try in %.1f s", error, len(columns[0]), table, pause)
                await asyncio.sleep(pause)
            else:
                self._note_stored(table, len(columns[0]), time.monotonic() - started)
                self.on_stored()
                return


def _size(columns: Columns) -> int:
    """Bytes of the rows in memory, about: the objects of CPython and their places in lists."""
    total = 0
    for column in columns:
        first = column[0]
        if isinstance(first, (str, bytes)):
            shared = len(column) > 1 and column[-1] is first
            total += 8 * len(column) + (0 if shared else 50 * len(column) + sum(map(len, column)))
        elif isinstance(first, dict):
            total += sum(232 + 120 * len(cell) for cell in column)
        else:
            total += 40 * len(column)
    return total
