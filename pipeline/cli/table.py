"""Messages as lines of a table, a layout for each kind."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.plain import shown

Cell = Callable[[Mapping[str, Any]], str]


def _field(name: str) -> Cell:
    return lambda value: "" if value.get(name) is None else shown(str(value[name]))


def _time(name: str) -> Cell:
    return lambda value: shown(str(value.get(name, ""))[:19].replace("T", " "))


def _number(name: str) -> Cell:
    return lambda value: _figure(value.get(name))


def _interval(value: Mapping[str, Any]) -> str:
    return f"[{_figure(value.get('lower'))}, {_figure(value.get('upper'))}]"


def _figure(number: Any) -> str:
    """Four digits; what is none of our numbers as it is."""
    if number is None:
        return ""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return shown(str(number))
    try:
        return f"{number:.4g}"
    except OverflowError:
        return str(number)


_Layout = tuple[tuple[str, int, Cell], ...]
#: By the field that only this kind has: heads, widths (a longer text is not cut), contents.
_LAYOUTS: Final[dict[str, _Layout]] = {
    "signal_value": (
        ("window_end (UTC)", 19, _time("window_end")),
        ("window", 6, _field("window")),
        ("segment", 28, _field("segment")),
        ("signal", 25, _field("signal")),
        ("value", 9, _number("value")),
        ("95 %", 20, _interval),
        ("n", 8, _number("denominator")),
    ),
    "moment_id": (
        ("at (UTC)", 19, _time("at")),
        ("rule", 22, _field("rule")),
        ("status", 9, _field("status")),
        ("channel", 7, _field("channel")),
        ("store", 10, _field("store_id")),
        ("device", 8, _field("device")),
        ("person", 0, _field("person")),
    ),
    "alert_id": (
        ("updated_at (UTC)", 19, _time("updated_at")),
        ("status", 8, _field("status")),
        ("severity", 8, _field("severity")),
        ("rule", 24, _field("rule")),
        ("explanation", 0, _field("explanation")),
    ),
    "journey_id": (
        ("ended_at (UTC)", 19, _time("ended_at")),
        ("funnel", 9, _field("funnel")),
        ("outcome", 9, _field("outcome")),
        ("channel", 7, _field("channel")),
        ("store", 10, _field("store_id")),
        ("device", 8, _field("device")),
        ("last_step", 14, _field("last_step")),
        ("value", 9, _number("value")),
        ("session", 0, _field("session_id")),
    ),
    "reason": (
        ("received_at (UTC)", 19, _time("received_at")),
        ("topic", 16, _field("topic")),
        ("partition", 9, _field("partition")),
        ("offset", 10, _field("offset")),
        ("reason", 13, _field("reason")),
        ("error", 0, _field("error")),
    ),
}


def table_lines(value: Any, with_head: bool) -> list[str]:
    """A message's line, under the heads where they are asked for; what has no layout as it is."""
    layout = _layout(value)
    if layout is None:
        return [shown(str(value))]
    heads = ["  ".join(f"{head:<{width}}" for head, width, _ in layout).rstrip()] if with_head else []
    return [*heads, "  ".join(f"{cell(value):<{width}}" for _, width, cell in layout).rstrip()]


def _layout(value: Any) -> _Layout | None:
    if not isinstance(value, dict):
        return None
    if "signal" in value and "window_end" in value:
        return _LAYOUTS["signal_value"]
    return next((layout for name, layout in _LAYOUTS.items() if name in value), None)
