"""One message to one receiver: signed, tried again while that may help, else given up."""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from pipeline.delivery.destinations import Destination
from pipeline.delivery.hooks import Hook
from pipeline.delivery.signatures import signed_headers
from sinks.base import SinkError, SinkRejectedError, SinkUnavailableError
from sinks.http import Poster

logger = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0

Sleep = Callable[[float], Awaitable[None]]


class Sending(NamedTuple):
    """One post."""

    body: bytes
    headers: Callable[[float], Mapping[str, str]]
    """At a time, seconds since the epoch: a signature has it in it."""


Write = Callable[[str, bytes], Sending | None]
"""Of a message, by its id, what is posted; None where it is not for this receiver."""


def signed(secret: bytes) -> Write:
    """For receivers of one's own: the message as it is, signed."""
    return lambda message_id, body: Sending(body, lambda at_s: signed_headers(secret, message_id, at_s, body))


def for_vendor(destination: Destination, key: str, options: Mapping[str, str]) -> Write:
    """In a vendor's own words."""

    def write(_message_id: str, body: bytes) -> Sending | None:
        told = destination.body(msgspec.json.decode(body), key, options)
        return None if told is None else Sending(msgspec.json.encode(told), lambda _at_s: destination.headers(key))

    return write


class Delivery:
    """Delivers to one receiver, one message after the other."""

    def __init__(
        self,
        hook: Hook,
        write: Write,
        poster: Poster,
        clock: Callable[[], float],
        sleep: Sleep,
        per_second: float = 0.0,
    ) -> None:
        """``clock``: seconds since the epoch. ``per_second``: so many posts at most; 0: no bound."""
        self.hook = hook
        self._write = write
        self._pause_s = 1.0 / per_second if per_second else 0.0
        self._free_s = 0.0
        """When the next post may be made."""
        self._poster = poster
        self._clock = clock
        self._sleep = sleep

    async def deliver(self, message_id: str, body: bytes) -> None:
        """Return when the receiver has it. Raises SinkError where it does not take it, or not in time."""
        sending = self._write(message_id, body)
        if sending is None:
            return
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self.hook.attempts + 1):
            await self._keep_pace()
            try:
                await self._poster.post(self.hook.url, sending.body, sending.headers(self._clock()))
                return
            except SinkRejectedError:
                raise
            except SinkUnavailableError as error:
                if attempt == self.hook.attempts:
                    raise SinkError(f"{error}; tried {attempt} times") from error
                wait_s = max(pause_s, error.retry_after_s)
                logger.warning("webhook %s: %s; trying again in %.0f s", self.hook.name, error, wait_s)
                await self._sleep(wait_s * random.uniform(1.0, 1.2))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _keep_pace(self) -> None:
        if not self._pause_s:
            return
        wait_s = self._free_s - self._clock()
        if wait_s > 0:
            await self._sleep(wait_s)
        self._free_s = max(self._clock(), self._free_s) + self._pause_s
