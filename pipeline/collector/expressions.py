"""The language of mapping tables: where a value is, and what is made of it.

    properties.total ?? properties.revenue | num
    '{anonymousId}.{context.sessionId}' ?? anonymousId
    'order_completed'

``??``: the first alternative that is there. ``|``: a converter (:mod:`pipeline.collector.converters`), also one
after another. In quotes stands a text; ``{path}`` in it is filled in, and without one of these there is no text.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from pipeline.collector.converters import CONVERTERS, Converter, text_of
from pipeline.collector.incoming import Native
from pipeline.collector.paths import PATH, Reader, reader

Expression = Callable[[Native], Any]
_QUOTED: Final = re.compile(r"'([^']*)'")
_CALL: Final = re.compile(r"([a-z_0-9]+)(?:\(([^()]*)\))?")
_HOLE: Final = re.compile(r"\{([^{}]+)\}")


class ExpressionError(ValueError):
    """It is none; the message says where and why."""


def compiled(text: str) -> Expression:
    """What computes the expression. Raises ExpressionError; what it gives raises ValueError for bad values."""
    alternatives = [_alternative(part, text) for part in _split(text, "??")]
    if len(alternatives) == 1:
        return alternatives[0]

    def first(native: Native) -> Any:
        for one in alternatives:
            value = one(native)
            if value is not None:
                return value
        return None

    return first


def _alternative(part: str, whole: str) -> Expression:
    term, *calls = (piece.strip() for piece in _split(part, "|"))
    of, converters = _term(term, whole), [_converter(call, whole) for call in calls]
    if not converters:
        return of

    def convert(native: Native) -> Any:
        value = of(native)
        for one in converters:
            if value is None:
                return None
            value = one(value, native)
        return value

    return convert


def _term(text: str, whole: str) -> Reader:
    if quoted := _QUOTED.fullmatch(text):
        return _template(quoted[1])
    if text.replace(".", "", 1).isdigit():
        number = float(text)
        return lambda _native: number
    if PATH.fullmatch(text) is None:
        raise ExpressionError(f"{whole!r}: {text!r} is neither a path, a number nor a text in '…'")
    return reader(text)


def _template(text: str) -> Reader:
    holes = [(of, reader(of)) for of in _HOLE.findall(text)]
    if not holes:
        return lambda _native: text
    # Texts between the holes: as many and one more.
    between = _HOLE.split(text)[::2]

    def fill(native: Native) -> str | None:
        pieces = [between[0]]
        for (_, of), after in zip(holes, between[1:], strict=True):
            value = of(native)
            if value is None:
                return None
            pieces += (text_of(value), after)
        return "".join(pieces)

    return fill


def _converter(call: str, whole: str) -> Converter:
    match = _CALL.fullmatch(call)
    if match is None or match[1] not in CONVERTERS:
        raise ExpressionError(f"{whole!r}: no converter {call!r}; there are: {', '.join(sorted(CONVERTERS))}")
    arguments = [one.strip() for one in match[2].split(",")] if match[2] else []
    try:
        return CONVERTERS[match[1]](*arguments)
    except (TypeError, ValueError) as error:
        raise ExpressionError(f"{whole!r}: {call!r} has wrong arguments ({error})") from error


def _split(text: str, mark: str) -> list[str]:
    """At the mark, where it is not in quotes."""
    parts, here, is_quoted, at = [], "", False, 0
    while at < len(text):
        if text[at] == "'":
            is_quoted = not is_quoted
        if not is_quoted and text.startswith(mark, at):
            parts.append(here)
            here, at = "", at + len(mark)
            continue
        here, at = here + text[at], at + 1
    return [part.strip() for part in (*parts, here)]
