"""One view of the present, a segment and a window: what of it is new to those who look at it."""

from typing import Any, Final

import msgspec

from pipeline.web import queries
from pipeline.web.asked import StreamParameters
from pipeline.web.clients import Frame
from pipeline.web.listings import Listings
from pipeline.web.queries import Filter
from pipeline.web.reads import Reads
from schemas.events import CHANNELS

_FIGURES: Final = ("numerator", "denominator", "value", "lower", "upper")
COLUMNS: Final = ("signal", "segment", "window_end", *_FIGURES, "complete")
"""Of a row in a frame; ``window_end`` in ms since the epoch, ``complete`` false while the window is filling."""
_STORES: Final = "store_id"
#: Of a store, what its table shows.
_OF_STORES: Final = (
    "(signal IN ('csat', 'nps', 'friction') "
    "OR (endsWith(signal, '_abandonment') AND NOT endsWith(signal, '_net_abandonment')))"
)
_EXITS_EVERY_MS: Final = 5_000
_USUAL_EVERY_MS: Final = 60_000

Row = tuple[Any, ...]
Key = tuple[str, str, int]
Present = tuple[int | None, int | None]
"""Ends of the newest bucket and of the newest one with events, ms; None: there is none."""


class View:
    """Finds what is new since the last look. ``look`` gives frames for those who saw the last one."""

    def __init__(self, asked: StreamParameters, reads: Reads, listings: Listings, has_stores: bool) -> None:
        self._asked = asked
        self._reads = reads
        self._listings = listings
        self._has_stores = has_stores
        self._rows: dict[Key, Row] = {}
        self._as_of: int | None = None
        self._events_until: int | None = None
        self._exits = Slow("funnels", _EXITS_EVERY_MS)
        self._usual = Slow("usual", _USUAL_EVERY_MS)

    async def look(self, now_ms: int, present: Present) -> list[Frame]:
        """Read what there is now. Raises ReadError."""
        self._as_of, self._events_until = present
        as_of = self._as_of
        before, self._rows = self._rows, {} if as_of is None else await self._read(as_of)
        changed = [row for key, row in self._rows.items() if before.get(key) != row]
        frames = [self._frame(changed, is_whole=False)]
        if as_of is None:
            return frames
        if self._exits.is_due(now_ms):
            exits = await self._listings.exits(self._asked.segment, self._asked.window, as_of)
            frames += self._exits.changed({"funnels": exits}, now_ms)
        if self._usual.is_due(now_ms):
            frames += self._usual.changed(
                {"usual": await self._listings.usual_of(self._asked.segment, as_of)}, now_ms
            )
        return frames

    def whole(self) -> list[Frame]:
        """All of the last look, for a client that is new."""
        rows = self._frame(list(self._rows.values()), is_whole=True)
        return [rows, *self._exits.last, *self._usual.last]

    def _frame(self, rows: list[Row], is_whole: bool) -> Frame:
        body = {
            "segment": self._asked.segment,
            "window": self._asked.window,
            "as_of": self._as_of,
            "events_until": self._events_until,
            "columns": COLUMNS,
            "rows": rows,
            "whole": is_whole,
        }
        return Frame("signals", encoded(body))

    async def _read(self, as_of: int) -> dict[Key, Row]:
        window = self._asked.window
        wanted = list(dict.fromkeys([self._asked.segment, *(f"channel={channel}" for channel in CHANNELS)]))
        where = Filter().and_("segment IN %(wanted)s", wanted=wanted)
        if self._has_stores:
            where = where.or_(Filter().of_dimension(_STORES).and_(_OF_STORES))
        found = await self._select(queries.now(window, where))
        # Of a window that has become complete just now its row says more.
        found |= await self._select(queries.lately(window, as_of, self._listings.names.signals, wanted))
        return found

    async def _select(self, query: queries.Query) -> dict[Key, Row]:
        rows = await self._reads.rows(query.sql, query.values)
        return {(row[0], row[1], row[3]): (row[0], row[1], *row[3:10]) for row in rows}


class Slow:
    """A part of a view that is looked at less often, and told only when it has changed."""

    def __init__(self, event: str, every_ms: int) -> None:
        self._event = event
        self._every_ms = every_ms
        self._due_ms = 0
        self.last: list[Frame] = []

    def is_due(self, now_ms: int) -> bool:
        return now_ms >= self._due_ms

    def changed(self, body: Any, now_ms: int = 0) -> list[Frame]:
        self._due_ms = now_ms + self._every_ms
        frame = Frame(self._event, encoded(body))
        if self.last == [frame]:
            return []
        self.last = [frame]
        return self.last


def encoded(body: Any) -> str:
    return msgspec.json.encode(body).decode()
