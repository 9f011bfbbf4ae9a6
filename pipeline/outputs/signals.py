"""Signals: message and row. Compiled, for it is done for every one of them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from pipeline.core.windows.emission import SignalRows
from pipeline.outputs.outgoing import Outgoing, Output
from schemas.cloudevents import headers
from schemas.signals import SignalBody, signal_id, topic_of, type_of
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import SIGNALS

#: The same ends come for every signal and segment: a third of what a message costs (decisions/0006).
_end_text: Final = lru_cache(maxsize=65_536)(format_rfc3339)


def signals_output(rows: SignalRows) -> Output:
    """Of rows of one signal."""
    of = rows.columns
    ends: list[int] = rows.ends_ms.tolist()
    numbers: list[list[float]] = [x.tolist() for x in (of.numerator, of.denominator, of.value, of.lower, of.upper)]
    count = len(ends)
    columns: list[list[Any]] = [
        [of.signal] * count,
        rows.segments,
        rows.windows,
        ends,
        *numbers,
        [int(rows.is_complete)] * count,
        [rows.version] * count,
    ]
    return Output(topic_of(of.signal), signal_messages(rows, ends, numbers), SIGNALS, columns)


def signal_messages(rows: SignalRows, ends: list[int], numbers: list[list[float]]) -> Iterator[Outgoing]:
    """What is to be sent of each row, keyed by segment.

    ``numbers``: of the rows numerator, denominator, value, lower and upper bound.
    """
    signal, version, is_complete = rows.columns.signal, rows.version, rows.is_complete
    kind, segments, windows = type_of(signal), rows.segments, rows.windows
    numerators, denominators, values, lowers, uppers = numbers
    for at, end_ms in enumerate(ends):
        segment, window = segments[at], windows[at]
        event_id = signal_id(signal, segment, window, end_ms, version, is_complete)
        body = SignalBody(
            SCHEMA_VERSION,
            event_id,
            signal,
            segment,
            window,
            _end_text(end_ms),
            numerators[at],
            denominators[at],
            values[at],
            lowers[at],
            uppers[at],
            version,
            is_complete,
        )
        # NamedTuple's own constructor is a Python function; this is C.
        yield tuple.__new__(Outgoing, (body, headers(kind, event_id), segment, -1))
