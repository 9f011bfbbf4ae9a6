"""From a sender's way of writing a value to the contract's: converters by the name that tables use.

Each gives the value, or raises ValueError saying what was found. The contract does no conversion between types,
so it is done here, and strictly: what is not plainly a number is none, and becomes a dead letter.
"""

import hashlib
import json
import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.collector.incoming import Native
from pipeline.collector.paths import found, reader
from schemas.times import parse_rfc3339

Converter = Callable[[Any, Native], Any]
_NUMBER: Final = re.compile(r"\s*[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\s*")
#: A name of a parameter that stands in an address as it is, unless percent-encoded.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
_LONGEST_SHOWN: Final = 60
#: Currencies without two decimals (ISO 4217).
_EXPONENTS: Final = {
    code: exponent
    for exponent, codes in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for code in codes.split()
}


_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "granted", "accepted"), True),
    **dict.fromkeys(("false", "0", "no", "denied", "declined"), False),
}


def shown(value: Any) -> str:
    """A value as errors name it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def text_of(value: Any) -> str:
    """A text or a whole number as text. Raises ValueError."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise ValueError(f"neither a text nor a whole number: {shown(value)}")


def number_of(value: Any) -> float:
    """A number, or one in a text. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"no number: {shown(value)}")
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError(f"no number: {shown(value)}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {shown(value)}")
    return number


def _epoch(scale: float) -> Converter:
    def convert(value: Any, _native: Native) -> int:
        number = number_of(value)
        # Whole milliseconds of a whole number are exact; of seconds with a fraction they are cut, as texts are.
        return math.floor(number * scale) if scale >= 1 else int(number) // round(1 / scale)

    return convert


def iso_ms(value: Any) -> int:
    """Milliseconds of a date-time with an offset, also as ``+0100`` and with a blank. Raises ValueError."""
    text = text_of(value).strip()
    try:
        return parse_rfc3339(text)
    except ValueError:
        at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"no time zone: {shown(value)}")
    return math.floor(at.timestamp() * 1000)


def _iso_naive(zone: str = "UTC") -> Converter:
    is_given = not zone.startswith("%")
    read_zone = reader(zone) if not is_given else None

    def convert(value: Any, native: Native) -> int:
        name = zone if read_zone is None else read_zone(native) or "UTC"
        try:
            at = datetime.fromisoformat(text_of(value).strip())
            if at.tzinfo is None:
                at = at.replace(tzinfo=ZoneInfo(name))
        except ZoneInfoNotFoundError as error:
            raise ValueError(f"no such time zone: {name}") from error
        return math.floor(at.astimezone(UTC).timestamp() * 1000)

    return convert


def _minor(currency: str) -> Converter:
    of = reader(currency)

    def convert(value: Any, native: Native) -> float:
        code = of(native)
        if code is None:
            raise ValueError(f"an amount in minor units without a currency: {shown(value)}")
        return number_of(value) / 10.0 ** _EXPONENTS.get(str(code).upper(), 2)

    return convert


def _lines(price: str, quantity: str = "quantity") -> Converter:
    """The sum of price times quantity (1 where none is given) of a list of lines; None where a price lacks."""
    of_price, of_quantity = _steps(price), _steps(quantity)

    def convert(value: Any, _native: Native) -> float | None:
        lines = value if isinstance(value, list) else [value]
        total = 0.0
        for line in lines:
            each = found(line, of_price)
            if each is None:
                return None
            count = found(line, of_quantity)
            total += number_of(each) * (1.0 if count is None else number_of(count))
        return total if lines else None

    return convert


def _sum(path: str) -> Converter:
    steps = _steps(path)

    def convert(value: Any, _native: Native) -> float | None:
        found_ones = [found(one, steps) for one in value] if isinstance(value, list) else []
        numbers = [number_of(one) for one in found_ones if one is not None]
        return sum(numbers) if numbers else None

    return convert


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _where(name: str, wanted: str, value: str) -> Converter:
    """Of a list of objects the ``value`` of the one whose ``name`` is ``wanted``."""

    def convert(some: Any, _native: Native) -> Any:
        pairs: Iterable[Any] = some if isinstance(some, list) else ()
        return next(
            (one.get(value) for one in pairs if isinstance(one, Mapping) and one.get(name) == wanted), None
        )

    return convert


def _cap(length: str) -> Converter:
    most = int(length)
    return lambda value, _native: text_of(value)[:most]


def _query(name: str) -> Converter:
    is_plain = _PLAIN.fullmatch(name) is not None

    def convert(value: Any, _native: Native) -> str | None:
        text = text_of(value)
        if is_plain and name not in text and "%" not in text:
            return None  # taking an address apart costs as much as five other fields
        try:
            return next(iter(parse_qs(urlsplit(text).query).get(name, ())), None)
        except ValueError:  # what is no address has no parameters either
            return None

    return convert


def flag_of(value: Any) -> bool:
    """Yes or no, as a truth value or as one of the usual words for it. Raises ValueError."""
    found = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"yes or no is wanted, not {shown(value)}")
    return found


def _prefixed(prefix: str) -> Converter:
    return lambda value, _native: prefix + text_of(value)


def base64_json(value: Any) -> Any:
    """JSON in base64url, with or without padding (RFC 4648, section 5). Raises ValueError."""
    text = text_of(value)
    try:
        return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON in base64: {shown(value)}") from error


def json_of(value: Any) -> Any:
    """What a text has as JSON. Raises ValueError."""
    try:
        return json.loads(text_of(value))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {shown(value)}") from error


def digest(text: str) -> str:
    """SHA-256, hexadecimal: 64 characters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _map(*pairs: str) -> Converter:
    """``map(good=1, bad=0)``: what is not named is an error."""
    table = dict(pair.split("=", 1) for pair in pairs)

    def convert(value: Any, _native: Native) -> str:
        text = text_of(value)
        if text not in table:
            raise ValueError(f"none of {', '.join(table)}: {shown(value)}")
        return table[text]

    return convert


def _plain(convert: Callable[[Any], Any]) -> Callable[[], Converter]:
    return lambda: lambda value, _native: convert(value)


#: By name: what makes a converter of the arguments that stand in brackets.
CONVERTERS: Final[dict[str, Callable[..., Converter]]] = {
    "str": _plain(text_of),
    "num": _plain(number_of),
    "flag": _plain(flag_of),
    "minor": _minor,
    "epoch_s": lambda: _epoch(1000.0),
    "epoch_ms": lambda: _epoch(1.0),
    "epoch_us": lambda: _epoch(0.001),
    "iso": _plain(iso_ms),
    "iso_naive": _iso_naive,
    "lower": _plain(lambda value: text_of(value).lower()),
    "upper": _plain(lambda value: text_of(value).upper()),
    "cap": _cap,
    "hash": _plain(lambda value: digest(text_of(value))),
    "prefix": _prefixed,
    "lines": _lines,
    "sum": _sum,
    "where": _where,
    "query": _query,
    "map": _map,
    "json": _plain(json_of),
    "base64_json": _plain(base64_json),
}
