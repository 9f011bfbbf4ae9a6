"""Rows of a collector on their way to ClickHouse, in the background: no sender waits for that."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.collector.metrics import CollectorMetrics
from pipeline.model.records import DeadLetter
from pipeline.model.source import Source as Place
from pipeline.outputs.letters import letter_row
from pipeline.outputs.outgoing import columns_of
from sinks.base import Sink
from sinks.buffer import Limits, SinkBuffer
from sinks.tables import COLUMNS, DEAD_LETTERS, SOURCES

logger = logging.getLogger(__name__)
_STORE_EVERY_S: Final = 1.0
_TELL_EVERY_S: Final = 10.0
#: While ClickHouse is away so many rows wait; further letters are on their topic only, counts are metrics only.
_MOST_WAITING: Final = 2_000
_CLOSING_S: Final = 10.0
_COUNTED: Final = ("requests", "mapped", "ignored", "invalid", "copy", "order_again", "too_late")


class CollectorRows:
    """Dead letters as they come, and every ten seconds what each source has sent."""

    def __init__(
        self,
        sink: Sink,
        metrics: CollectorMetrics,
        kinds: Mapping[str, str],
        collector: str,
        now_ms: Callable[[], int],
    ) -> None:
        """``kinds``: of the sources, by name. ``collector``: what tells this process from others."""
        names = {table: COLUMNS[table] for table in (DEAD_LETTERS, SOURCES)}
        self._buffer = SinkBuffer(sink, names, Limits(1_000, _STORE_EVERY_S, 1 << 26))
        self._metrics, self._kinds, self._collector, self._now_ms = metrics, kinds, collector, now_ms
        self._told: dict[str, Counter[str]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        self._storing = asyncio.ensure_future(self._buffer.run())
        self._telling = asyncio.ensure_future(self._tell())

    async def close(self) -> None:
        """Store what is left, for a while."""
        self._telling.cancel()
        self.tell()
        await asyncio.gather(*self._tasks)
        self._buffer.close()
        await asyncio.wait([self._storing], timeout=_CLOSING_S)
        self._storing.cancel()

    def keep(self, place: Place, letter: DeadLetter) -> None:
        """Of a request that could not be mapped."""
        if not self._put(DEAD_LETTERS, [letter_row(place, letter)]):
            logger.error("%s: ClickHouse is away: a dead letter is on its topic only", place[0])

    def tell(self) -> None:
        """A row for each source that has sent anything since."""
        rows = [row for source in self._kinds if (row := self._row(source)) is not None]
        if rows:
            self._put(SOURCES, rows)

    def _row(self, source: str) -> Sequence[Any] | None:
        total = self._metrics.totals[source].copy()
        new = total - self._told.get(source, Counter())
        if not new:
            return None
        self._told[source] = total
        counts = [new[name] for name in _COUNTED]
        newest_ms = self._metrics.newest_ms(source)
        return [source, self._kinds[source], self._collector, self._now_ms(), *counts, newest_ms]

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            self.tell()

    def _put(self, table: str, rows: Sequence[Sequence[Any]]) -> bool:
        if self._buffer.rows >= _MOST_WAITING or len(self._tasks) >= _MOST_WAITING:
            return False
        task = asyncio.ensure_future(self._buffer.put(table, columns_of(rows)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True
