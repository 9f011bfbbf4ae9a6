"""Ticks: records that move a partition's watermark on and carry no event (law 4)."""

from collections.abc import Iterable
from typing import Any, Final

from schemas.times import parse_rfc3339

TICK_HEADER: Final = "cx-tick"
"""Name of the header of a record with null key and value; its value is an RFC 3339 time."""


def tick_time(headers: Iterable[tuple[str, Any]] | None) -> int | None:
    """The tick's time in ms; None where the headers hold no sound one (it is then a bad event)."""
    for name, value in headers or ():
        if name == TICK_HEADER and value is not None:
            try:
                return parse_rfc3339(value if isinstance(value, str) else value.decode())
            except ValueError:
                return None
    return None
