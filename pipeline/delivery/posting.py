"""One message to one receiver: signed, tried again while that may help, else given up."""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from pipeline.delivery.hooks import Hook
from pipeline.delivery.signatures import signed_headers
from sinks.base import SinkError, SinkRejectedError, SinkUnavailableError
from sinks.http import Poster

logger = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0

Sleep = Callable[[float], Awaitable[None]]


class Delivery:
    """Delivers to one receiver, one message after the other."""

    def __init__(
        self, hook: Hook, secret: bytes, poster: Poster, clock: Callable[[], float], sleep: Sleep
    ) -> None:
        """``clock``: seconds since the epoch, for the signature."""
        self.hook = hook
        self._secret = secret
        self._poster = poster
        self._clock = clock
        self._sleep = sleep

    async def deliver(self, message_id: str, body: bytes) -> None:
        """Return when the receiver has it. Raises SinkError where it does not take it, or not in time."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self.hook.attempts + 1):
            try:
                await self._poster.post(
                    self.hook.url, body, signed_headers(self._secret, message_id, self._clock(), body)
                )
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
