"""The signals of the moment on the terminal."""

import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_driver import errors

from pipeline.model.signals import Unit, signal_of
from pipeline.settings import Settings
from pipeline.web.catalogue import catalogue
from sinks.clickhouse import connect

_SEGMENTS: Final = ("all", "channel=web", "channel=app", "channel=pos")
_QUERY: Final = """
SELECT signal, segment, value, denominator, lower, upper, window_end
FROM cx.signals_now WHERE window = '5m' AND segment IN %(segments)s
UNION ALL
SELECT * FROM (
    SELECT signal, segment, value, denominator, lower, upper, window_end
    FROM cx.signals FINAL
    WHERE signal IN %(by_age)s AND segment IN %(segments)s AND window = '5m' AND denominator > 0
      AND window_end > (SELECT max(bucket) FROM cx.tiles) - INTERVAL 4 MINUTE
    ORDER BY signal, segment, window_end DESC
    LIMIT 1 BY signal, segment
)
ORDER BY signal, segment
"""


class Board:
    """Prints the newest 5-minute signals, one line a signal, one column a segment."""

    interval_s = 5.0

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings.clickhouse.address())
        self._values = {"segments": _SEGMENTS, "by_age": catalogue(settings).by_age}

    def show(self, kafka_bytes: int | None) -> None:
        try:
            rows = self._client.execute(_QUERY, self._values)
        except (OSError, EOFError, errors.Error):
            return  # the watch over the processes says what is wrong
        if not rows:
            return
        try:
            print("\n".join(format_board(rows, kafka_bytes)), flush=True)
        except BrokenPipeError:
            # Whoever read the ready line has closed the pipe; what they started goes on.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def format_board(rows: list[tuple[Any, ...]], kafka_bytes: int | None = None) -> list[str]:
    """Lines of text from rows (signal, segment, value, n, lower, upper, window end)."""
    cells: dict[str, dict[str, str]] = {}
    newest = max(row[6] for row in rows)
    for signal, segment, value, n, lower, upper, _ in rows:
        cells.setdefault(signal, {})[segment] = _cell(signal, value, n, lower, upper)
    disk = f", Kafka's log has {kafka_bytes >> 20} MiB" if kafka_bytes else ""
    now = datetime.now(UTC).strftime("%H:%M:%S")
    title = f"{now}  last 5 min up to {newest:%H:%M:%S} UTC: value [95 % interval] n{disk}"
    head = f"{'':<24}" + "".join(f"{segment:<32}" for segment in _SEGMENTS)
    lines = [
        f"{signal:<24}" + "".join(f"{row.get(segment, '-'):<32}" for segment in _SEGMENTS)
        for signal, row in cells.items()
    ]
    return ["", title, head, *lines]


def _cell(signal: str, value: float, n: float, lower: float, upper: float) -> str:
    if signal_of(signal).unit is Unit.SHARE:
        return f"{value:.1%} [{lower:.1%}, {upper:.1%}] n={n:.0f}"
    return f"{value:.2f} [{lower:.2f}, {upper:.2f}] n={n:.0f}"
