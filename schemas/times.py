"""RFC 3339 text to and from milliseconds since 1970-01-01T00:00:00Z.

All event time in the system is an ``int`` of milliseconds (UTC). Digits past the third after the
point are cut off in the text, never rounded: rounding would let an event cross a tile's boundary.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Final

_FORM: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
#: First millisecond that is no longer accepted: the start of the year 2200.
END_OF_TIME_MS: Final = (date(2200, 1, 1).toordinal() - _EPOCH_DAY) * 86_400_000
#: What may come after the seconds, as nearly all producers write it.
_ENDS: Final = {"Z": 0} | {f".{milli:03d}Z": milli for milli in range(1000)}
_MILLIS: Final = tuple(f".{milli:03d}Z" for milli in range(1000))
_MAX_CACHED_SECONDS: Final = 20_000
_seconds: Final[dict[str, int]] = {}


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 date-time.

    Raises ValueError, saying what is wrong, unless the text has a date, ``T``, a time with seconds
    00 to 59, at most nine fractional digits and an offset, and names an instant in the (UTC) years
    1970 to 2199.
    """
    # Two look-ups, in a fifth of the time of the general form: many events share a second.
    second = _seconds.get(text[:19])
    if second is not None:
        millis = _ENDS.get(text[19:])
        if millis is not None:
            return second + millis
    return _parse_general(text)


def _parse_general(text: str) -> int:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time with an offset, such as 2026-01-31T09:30:00.250Z")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("hours go to 23, minutes and seconds to 59 (no leap second 60)")
    days = date(year, month, day).toordinal() - _EPOCH_DAY
    start_of_second = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000
    millis = start_of_second + int((match[7] or "0")[:3].ljust(3, "0"))
    if match[8] is None:
        _remember(text, start_of_second)
    else:
        offset_hours, offset_minutes = int(match[9]), int(match[10])
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError("an offset's hours go to 23, its minutes to 59")
        offset = (offset_hours * 60 + offset_minutes) * 60_000
        millis += offset if match[8] == "-" else -offset
    if not 0 <= millis < END_OF_TIME_MS:
        raise ValueError("the instant must lie in the years 1970 to 2199 (UTC)")
    return millis


def _remember(text: str, start_of_second: int) -> None:
    if 0 <= start_of_second < END_OF_TIME_MS:
        if len(_seconds) >= _MAX_CACHED_SECONDS:
            _seconds.clear()
        _seconds[text[:19]] = start_of_second


def format_rfc3339(millis: int) -> str:
    """The instant as UTC text with three fractional digits, such as ``2026-01-31T09:30:00.250Z``."""
    second, rest = divmod(millis, 1000)
    return _second(second) + _MILLIS[rest]


@lru_cache(maxsize=_MAX_CACHED_SECONDS)
def _second(second: int) -> str:
    days, rest = divmod(second, 86_400)
    minutes, seconds = divmod(rest, 60)
    return (
        f"{date.fromordinal(_EPOCH_DAY + days).isoformat()}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    )
