"""JSON posted over HTTP, and what the answer says about trying again.

Receivers are not ours: of an answer only a little is read, as it comes, and shown with everything escaped; of an
address only who it is of is told, for the rest may be a secret.
"""

import email.utils
import time
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from schemas.plain import shown
from sinks.base import SinkRejectedError, SinkUnavailableError

_ANSWER_BYTES: Final = 2_048
_ANSWER_SHOWN: Final = 300
#: A receiver that asks for more patience is tried again after so long all the same.
_LONGEST_WAIT_S: Final = 120.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Poster(Protocol):
    """Posts to an address."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises SinkUnavailableError (try again) or SinkRejectedError (this will never be taken)."""

    async def close(self) -> None: ...


class HttpPoster:
    """Over HTTP; one set of connections, in which nobody waits for another's."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        where, kind = origin(url), {"Content-Type": "application/json"}
        try:
            # Followed, a redirected POST may become a GET: answered with 200, and nothing delivered.
            async with self._opened().post(
                url, data=body, headers=kind | dict(headers), allow_redirects=False
            ) as answer:
                if answer.status < 300:
                    return
                said = f"{where} answers {answer.status}: {await _beginning(answer)}"
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # Its own text may name the whole address.
            raise SinkUnavailableError(f"{where}: {_reason(error)}") from None
        except Exception as error:
            # A header or an address that cannot be written down will not be right at the next try.
            raise SinkRejectedError(f"{where}: cannot be sent: {type(error).__name__}") from None
        if answer.status in _TRY_AGAIN or answer.status >= 500:
            wait_s = _retry_after_s(answer.headers.get("Retry-After"), time.time())
            raise SinkUnavailableError(said, wait_s)
        raise SinkRejectedError(said)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:  # it belongs to the loop that it is made in
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                auto_decompress=False,  # a few KiB may become gigabytes
                cookie_jar=aiohttp.DummyCookieJar(),  # one receiver's are not another's
                connector=aiohttp.TCPConnector(limit=0),
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def origin(url: str) -> str:
    """Of an address scheme, host and port: user, password, path and query may be secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "an address that is none"
    return shown(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}")


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    found = bytearray()
    while len(found) < _ANSWER_BYTES and (piece := await answer.content.read(_ANSWER_BYTES - len(found))):
        found += piece
    return shown(found.decode(errors="backslashreplace"), _ANSWER_SHOWN)


def _reason(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    return inner.strerror if isinstance(inner, OSError) and inner.strerror else type(error).__name__


def _retry_after_s(text: str | None, now_s: float) -> float:
    """What a header Retry-After asks for (RFC 9110, section 10.2.3): seconds or a date; 0 where it asks
    nothing.
    """
    if text is None:
        return 0.0
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text.strip()[:9]), _LONGEST_WAIT_S)
    try:
        at_s = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, at_s - now_s), _LONGEST_WAIT_S)


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
