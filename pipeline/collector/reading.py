"""Reading bodies, with bounds: of each, of the time it takes, and of all that are on their way together."""

import asyncio
from typing import Final

from aiohttp import web

READ_S: Final = 15.0
"""For a whole body."""
MOST_TOGETHER: Final = 256_000_000
"""Bytes of bodies that are not whole yet."""


class TooLargeError(ValueError):
    """A body has more bytes than are taken."""


class SlowError(TimeoutError):
    """A body did not come in time."""


class BusyError(RuntimeError):
    """Too much is on its way already."""


class Reading:
    """Of one process."""

    def __init__(self, read_s: float = READ_S, most_together: int = MOST_TOGETHER) -> None:
        self._read_s, self._most_together = read_s, most_together
        self._together = 0

    async def read(self, request: web.BaseRequest, most: int) -> bytes:
        """The body. Raises TooLargeError, SlowError, BusyError; ConnectionError where the sender has gone."""
        if not request.can_read_body:
            return b""
        length = request.content_length
        if length is not None and length > most:
            raise TooLargeError(f"{length} bytes; at most {most} are taken")
        if request.content.is_eof():  # it came with the head, as those of most SDKs do
            raw = request.content.read_nowait()
            if len(raw) > most:
                raise TooLargeError(f"more than {most} bytes")
            return raw
        return await self._read_slowly(request, most)

    async def _read_slowly(self, request: web.BaseRequest, most: int) -> bytes:
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self._read_s):
                async for piece in request.content.iter_any():
                    size += len(piece)
                    self._together += len(piece)
                    if size > most:
                        raise TooLargeError(f"more than {most} bytes")
                    if self._together > self._most_together:
                        raise BusyError("too much is on its way at once")
                    pieces.append(piece)
        except TimeoutError as error:
            raise SlowError from error
        finally:
            self._together -= size
        return b"".join(pieces)
