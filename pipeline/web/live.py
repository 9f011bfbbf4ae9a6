"""The present, looked at as long as anybody is listening, and told to them as it changes.

All looks are made one after the other, so however many listen, no more than a few queries are under way; those
who look at the same segment and window share one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from pipeline.web import queries
from pipeline.web.asked import StreamParameters
from pipeline.web.clients import Client, Clients, Frame
from pipeline.web.listings import Listings, alert_body
from pipeline.web.queries import Filter
from pipeline.web.reads import ReadError, Reads, Rows
from pipeline.web.view import Present, Slow, View, encoded
from schemas.times import END_OF_TIME_MS

logger = logging.getLogger(__name__)
_EVERY_S: Final = 1.0
#: After rows were stored a look is due at once, but not sooner than this after the last one.
_LEAST_S: Final = 0.3
_ALERTS: Final = 100

Vitals = Callable[[], dict[str, Any]]


class Live:
    """Looks and tells, until it is closed."""

    def __init__(
        self, reads: Reads, listings: Listings, has_stores: bool, clients: Clients, vitals: Vitals
    ) -> None:
        self._reads = reads
        self._listings = listings
        self._has_stores = has_stores
        self._vitals = vitals
        self.clients = clients
        self._views: dict[StreamParameters, View] = {}
        self._alerts = Slow("alerts", 0)
        self._nudged = asyncio.Event()
        self._is_closed = False

    def join(self, asked: StreamParameters, who: str = "") -> Client:
        """A new client; everything is sent to it first. ``who``: its address. Raises TooManyClients."""
        client = self.clients.join(asked, who)
        self._tell_of_worker(client.put)
        self.nudge()
        return client

    def nudge(self) -> None:
        """There may be something new."""
        self._nudged.set()

    def close(self) -> None:
        self._is_closed = True
        self.clients.close()
        self.nudge()

    async def run(self) -> None:
        """Look whenever there may be something new, and every second; tell every second how the worker is."""
        telling = asyncio.create_task(self._tell())
        try:
            await self._go_on_looking()
        finally:
            telling.cancel()

    async def _tell(self) -> None:
        # By itself: a store that is slow to answer must not look like a worker that is gone.
        while True:
            if len(self.clients):
                self._tell_of_worker(self.clients.put)
            await asyncio.sleep(_EVERY_S)

    def _tell_of_worker(self, put: Callable[[Frame], None]) -> None:
        try:
            put(Frame("vitals", encoded(self._vitals())))
        except Exception:
            logger.exception("the console cannot be told how the worker is")

    async def _go_on_looking(self) -> None:
        while not self._is_closed:
            self._nudged.clear()
            if len(self.clients):
                try:
                    await self._look()
                except Exception:
                    logger.exception("the console cannot be brought up to date")  # the pipeline goes on
                await asyncio.sleep(_LEAST_S)
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        by_view = self.clients.by_view()
        self._views = {asked: view for asked, view in self._views.items() if asked in by_view}
        try:
            present = await self._listings.newest()
            alerts = await self._look_at_alerts()
        except ReadError as error:
            self.clients.put(_trouble(error))
            return
        for clients in by_view.values():
            for client in clients:
                client.put_all(self._alerts.last if client.is_new else alerts)
        for asked, clients in by_view.items():
            try:
                await self._look_at(asked, clients, present)
            except ReadError as error:
                for client in clients:
                    client.is_new = True  # what was read and not told any more is told then
                    client.put(_trouble(error))

    async def _look_at(self, asked: StreamParameters, clients: list[Client], present: Present) -> None:
        view = self._views.get(asked)
        if view is None:
            view = self._views[asked] = View(asked, self._reads, self._listings, self._has_stores)
        frames = await view.look(round(time.time() * 1000), present)
        for client in clients:
            client.put_all(view.whole() if client.is_new else frames)
            client.is_new = False

    async def _look_at_alerts(self) -> list[Frame]:
        """Those that are open, and the last that were."""
        rows: Rows = []
        for status in ("status != 'resolved'", "status = 'resolved'"):
            query = queries.alerts(Filter().and_(status), (0, END_OF_TIME_MS), _ALERTS, ())
            rows += await self._reads.rows(query.sql, query.values)
        return self._alerts.changed({"alerts": [alert_body(row) for row in rows]})


def _trouble(error: ReadError) -> Frame:
    return Frame("trouble", encoded({"message": str(error)}))
