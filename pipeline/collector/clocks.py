"""When an event happened: its sender's own time, unless the sender's clock is plainly wrong.

The identity of a touchpoint holds its time, so a time must be the same at each sending of the event. Correcting
every event by the time it was sent, as the SDKs' own services do, would shift a retried one by the network's
jitter; so only a clock that is off by more than two minutes is corrected, by one whole-minute offset for all
events of a request.
"""

from typing import Final, NamedTuple

from pipeline.collector.incoming import Apart

MOST_OFF_MS: Final = 120_000
_MINUTE_MS: Final = 60_000


class When(NamedTuple):
    at_ms: int
    note: str = ""
    """Empty, or what was done: ``corrected``, ``ahead`` (of its receipt: that is taken), ``missing``."""


class Clock:
    """Of one request."""

    def __init__(self, received_ms: int, apart: Apart) -> None:
        self._received_ms = received_ms
        self._is_trusted = apart.is_trusted
        off_ms = 0 if apart.sent_ms is None else received_ms - apart.sent_ms
        is_off = abs(off_ms) > MOST_OFF_MS and not apart.is_trusted
        self._offset_ms = round(off_ms / _MINUTE_MS) * _MINUTE_MS if is_off else 0

    def when(self, at_ms: int | None, is_true: bool = False) -> When:
        """``at_ms``: what the event says. ``is_true``: it is known to be right."""
        if at_ms is None:
            return When(self._received_ms, "missing")
        if is_true or self._is_trusted:
            return When(at_ms)
        corrected_ms = at_ms + self._offset_ms
        if corrected_ms > self._received_ms + MOST_OFF_MS:
            return When(self._received_ms, "ahead")
        return When(corrected_ms, "corrected" if self._offset_ms else "")
