"""Alerts to Prometheus's Alertmanager: its HTTP API v2 (``POST /api/v2/alerts``)."""

from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp

from sinks.base import SinkRejectedError, SinkUnavailableError

Posting = dict[str, Any]
"""``labels`` (who it is: never changing), ``annotations``, ``startsAt`` and ``endsAt`` (RFC 3339)."""


class Pager(Protocol):
    """Takes alerts; the same one as often as wanted."""

    async def post(self, alerts: Sequence[Posting]) -> None:
        """Raises SinkUnavailableError (try again) or SinkRejectedError (these will never be taken)."""

    async def close(self) -> None: ...


class Alertmanager:
    """One Alertmanager, at the address of its web page."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, alerts: Sequence[Posting]) -> None:
        session = self._session
        if session is None:  # it belongs to the loop that it is made in
            session = self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            # Followed, a redirected POST may become a GET: answered with 200, and nothing delivered.
            async with session.post(self._url, json=list(alerts), allow_redirects=False) as answer:
                if answer.status < 300:
                    return
                text = f"{self._url} answers {answer.status}: {(await answer.text())[:500]}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise SinkUnavailableError(f"{self._url}: {error or type(error).__name__}") from error
        if answer.status in (408, 429) or answer.status >= 500:
            raise SinkUnavailableError(text)
        raise SinkRejectedError(text)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


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
