"""From the bytes of a request to its content: told by the bytes, for Content-Type often says something else.

Seen on the wire: gzip announced as text, JSON announced as a form, forms with JSON in a field.
"""

import zlib
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

_GZIP: Final = b"\x1f\x8b"
_GZIP_BITS: Final = 31
_ZLIB_BITS: Final = 15
_RAW_BITS: Final = -15
_MOST_FIELDS: Final = 1_000


class Kind(StrEnum):
    JSON = "json"
    FORM = "form"
    XML = "xml"
    EMPTY = "empty"


class Body(NamedTuple):
    kind: Kind
    content: Any
    """JSON: the value. A form: its fields by name, the last of several. XML: the text as bytes."""


class BodyError(ValueError):
    """It cannot be read: the message says why."""


class BodyTooLargeError(BodyError):
    """It is, or would become, larger than is taken."""


def decode_body(raw: bytes, encoding: str, most: int) -> Body:
    """The content of a body. ``encoding``: the header Content-Encoding. ``most``: bytes once unpacked.

    Raises BodyError.
    """
    content = unpacked(raw, encoding, most)
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not start:
        return Body(Kind.EMPTY, None)
    if start in b"{[":
        return Body(Kind.JSON, _json(content))
    if start == b"<":
        return Body(Kind.XML, content)
    return Body(Kind.FORM, _form(content))


def unpacked(raw: bytes, encoding: str, most: int) -> bytes:
    """Without gzip or deflate, of which the first is known by its bytes. Raises BodyError."""
    if len(raw) > most:
        raise BodyTooLargeError(f"{len(raw)} bytes; at most {most} are taken")
    if raw.startswith(_GZIP):
        return _inflate(raw, _GZIP_BITS, most)
    if encoding.strip().lower() == "deflate":
        try:
            return _inflate(raw, _ZLIB_BITS, most)
        except BodyTooLargeError:
            raise
        except BodyError:
            return _inflate(raw, _RAW_BITS, most)  # some leave the wrapping out
    return raw


def _inflate(raw: bytes, bits: int, most: int) -> bytes:
    try:
        machine = zlib.decompressobj(bits)
        content = machine.decompress(raw, most + 1)
    except zlib.error as error:
        raise BodyError(f"it is compressed and cannot be unpacked ({error})") from error
    if len(content) > most:
        raise BodyTooLargeError(f"it unpacks to more than {most} bytes")
    if not machine.eof:
        raise BodyError("it is compressed, and its end is missing")
    return content


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"no JSON: {error}") from error
    except RecursionError as error:
        raise BodyError("no JSON that is taken: nested too deep") from error


def _form(content: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            content.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise BodyError(f"neither JSON, XML nor a form: {error}") from error
    return dict(pairs)
