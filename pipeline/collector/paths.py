"""Reading a value out of an event: ``context.page.url``, ``items[0].price``, ``@header``, ``?query``, ``^batch``.

path   where it is looked for
a.b[0] in the event; ``[0]`` an element of a list
^a.b   in what is said once for the whole request
@name  a header of the request, in lower case
?name  a parameter of the query
%name  a constant of the source's configuration; also ``%day`` (the event's, UTC), ``%index``, ``%path``
"""

import re
from collections.abc import Callable
from typing import Any, Final

from pipeline.collector.incoming import Native

Reader = Callable[[Native], Any]
PATH: Final = re.compile(r"[@?^%]?[\w$:\-]+(?:\[\d+\])*(?:\.[\w$:\-]+(?:\[\d+\])*)*")
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def reader(path: str) -> Reader:
    """What reads the path; gives None where nothing stands there, or nothing but an empty text."""
    mark, rest = (path[0], path[1:]) if path[0] in "@?^%" else ("", path)
    if mark == "@":
        name = rest.lower()
        return lambda native: native.request.headers.get(name) or None
    if mark == "?":
        return lambda native: native.request.query.get(rest) or None
    if mark == "%":
        return _OF_PLACE.get(rest) or (lambda native: native.source.get(rest))
    steps = tuple(int(number) if number else name for name, number in _STEP.findall(rest))
    if mark == "^":
        return lambda native: found(native.batch, steps)
    if len(steps) == 1 and isinstance(steps[0], str):
        only = steps[0]
        return lambda native: native.event.get(only) or _unless_empty(native.event, only)
    if len(steps) == 2 and isinstance(steps[0], str) and isinstance(steps[1], str):
        return _of_two(steps[0], steps[1])
    return lambda native: found(native.event, steps)


def _of_two(outer: str, inner: str) -> Reader:
    """The same for the most usual paths, at half the cost."""

    def read(native: Native) -> Any:
        around = native.event.get(outer)
        value = around.get(inner) if type(around) is dict else None
        return None if value == "" else value

    return read


def _unless_empty(event: Any, name: str) -> Any:
    """A zero or a False is something; an empty text is nothing."""
    value = event.get(name)
    return None if value == "" else value


def found(value: Any, steps: tuple[str | int, ...]) -> Any:
    """What stands at the end of the steps; None where there is nothing."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return None if value == "" else value


_OF_PLACE: Final[dict[str, Reader]] = {
    "day": lambda native: native.day,
    "index": lambda native: native.index,
    "path": lambda native: native.request.path.strip("/") or None,
}
