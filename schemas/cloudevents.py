"""Kafka headers of output messages: CloudEvents 1.0, Kafka protocol binding, binary mode."""

from functools import lru_cache
from typing import Final
from urllib.parse import quote

Headers = list[tuple[str, bytes]]

_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))
_AS_IS: Final = _PRINTABLE.replace("%", "")

SOURCE: Final = b"/cx-signals"
_FIXED: Final[Headers] = [
    ("ce_specversion", b"1.0"),
    ("ce_source", SOURCE),
    ("content-type", b"application/json"),
]


def headers(kind: str, event_id: str) -> Headers:
    """Headers of one message; ``event_id`` is unique within the source and the same at each sending."""
    return [*_of_kind(kind), ("ce_id", event_id.encode())]


@lru_cache(maxsize=64)
def _of_kind(kind: str) -> tuple[tuple[str, bytes], ...]:
    return (*_FIXED, ("ce_type", kind.encode()))


def printable(text: str) -> str:
    """The text as part of an id: printable ASCII, all other bytes and ``%`` percent-encoded. One-to-one.

    HTTP headers are Latin-1 to many and hold no control characters, so an id that was not could not be signed
    there.
    """
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return quote(text, safe=_AS_IS, errors="surrogatepass")


def printable_rest(text: str) -> str:
    """The same of a text in which every ``%`` begins a percent-encoded byte already, as in a segment's."""
    return text if text.isascii() and text.isprintable() else quote(text, safe=_PRINTABLE, errors="surrogatepass")
