"""Log lines that a person can read: what repeats many times a second is told once in a while."""

import logging
import time
from typing import Final

from pipeline.agents.outbox import Clock

_PAUSE_S: Final = 10.0


class Sparing(logging.Filter):
    """Passes a message (its template) once, and again only when some time has gone by."""

    def __init__(self, pause_s: float = _PAUSE_S, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._clock = clock
        self._told: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, record.msg), self._clock()
        if now - self._told.get(key, -self._pause_s) < self._pause_s:
            return False
        if len(self._told) > 1_000:  # templates, so few; but nobody promises that
            self._told.clear()
        self._told[key] = now
        return True


def spare_repetitions(package: str) -> None:
    """Have all loggers of a package repeat themselves seldom.

    aiokafka tells of a broker that is away some fifty times a second.
    """
    sparing = Sparing()
    for name in [*logging.root.manager.loggerDict]:
        if name == package or name.startswith(f"{package}."):
            logging.getLogger(name).addFilter(sparing)
