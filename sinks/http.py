"""JSON posted over HTTP, and what the answer says about trying again."""

from collections.abc import Mapping
from typing import Protocol

import aiohttp

from sinks.base import SinkRejectedError, SinkUnavailableError


class Poster(Protocol):
    """Posts to an address."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises SinkUnavailableError (try again) or SinkRejectedError (this will never be taken)."""

    async def close(self) -> None: ...


class HttpPoster:
    """Over HTTP; one set of connections."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        session = self._session
        if session is None:  # it belongs to the loop that it is made in
            session = self._session = aiohttp.ClientSession(timeout=self._timeout)
        kind = {"Content-Type": "application/json"}
        try:
            # Followed, a redirected POST may become a GET: answered with 200, and nothing delivered.
            async with session.post(url, data=body, headers=kind | dict(headers), allow_redirects=False) as answer:
                if answer.status < 300:
                    return
                text = f"{url} answers {answer.status}: {(await answer.text(errors='replace'))[:500]}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise SinkUnavailableError(f"{url}: {error or type(error).__name__}") from error
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise SinkUnavailableError(text)
        raise SinkRejectedError(text)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class MemoryPoster:
    """Keeps what is posted, for tests and trials. It can be told to fail."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes, dict[str, str]]] = []
        self.failures: list[Exception] = []
        """Raised, one at each post, before any is taken."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.posts.append((url, body, dict(headers)))

    async def close(self) -> None:
        return None
