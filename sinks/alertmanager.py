"""Alerts to Prometheus's Alertmanager: its HTTP API v2 (``POST /api/v2/alerts``)."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from sinks.http import HttpPoster, Poster

Posting = dict[str, Any]
"""``labels`` (who it is: never changing), ``annotations``, ``startsAt`` and ``endsAt`` (RFC 3339)."""


class Pager(Protocol):
    """Takes alerts; the same one as often as wanted."""

    async def post(self, alerts: Sequence[Posting]) -> None:
        """Raises SinkUnavailableError (try again) or SinkRejectedError (these will never be taken)."""

    async def close(self) -> None: ...


class Alertmanager:
    """One Alertmanager, at the address of its web page."""

    def __init__(self, url: str, timeout_s: float = 10.0, poster: Poster | None = None) -> None:
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._poster = poster or HttpPoster(timeout_s)

    async def post(self, alerts: Sequence[Posting]) -> None:
        await self._poster.post(self._url, json.dumps(list(alerts)).encode(), {})

    async def close(self) -> None:
        await self._poster.close()


class MemoryPager:
    """Keeps what is posted, for tests and trials. It can be told to fail."""

    def __init__(self) -> None:
        self.posts: list[list[Posting]] = []
        self.failures: list[Exception] = []
        """Raised, one at each post, before any is taken."""

    async def post(self, alerts: Sequence[Posting]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.posts.append(list(alerts))

    async def close(self) -> None:
        return None
