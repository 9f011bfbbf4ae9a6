"""Log lines that a person can read: what repeats many times a second is told once in a while."""

import logging
import time
from typing import Final

from pipeline.model.event_time import Clock
from schemas.plain import shown

_PAUSE_S: Final = 10.0
_MINUTE_S: Final = 60.0
_MOST_REMEMBERED: Final = 1_000
_LONGEST_LINE: Final = 4_000
#: Of ours each record is one line. Faust prints tables.
_OURS: Final = ("pipeline", "sinks", "deploy", "schemas")
logger = logging.getLogger(__name__)


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


class Notes:
    """Warnings about input, each told once a minute."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}

    def warn(self, about: str, text: str) -> None:
        """``about``: what it is told once a minute of."""
        now = self._clock()
        if now - self._told.get(about, -_MINUTE_S) < _MINUTE_S:
            return
        if len(self._told) >= _MOST_REMEMBERED:
            self._told.clear()
        self._told[about] = now
        logger.warning("%s", text)


class PlainRecord(logging.LogRecord):
    """A record whose message does nothing to a terminal and is one line, whatever input is told of in it."""

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        text = super().getMessage()
        if self.name.partition(".")[0] in _OURS:
            return shown(text, _LONGEST_LINE)
        return "\n".join(shown(line, _LONGEST_LINE) for line in text.split("\n"))


def plain_records() -> None:
    """Have every handler of this process get such records."""
    logging.setLogRecordFactory(PlainRecord)
