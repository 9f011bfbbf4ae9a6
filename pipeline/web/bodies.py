"""Answers as plain data: a row's fields by name, and a page of such rows."""

from collections.abc import Sequence
from typing import Any

from pipeline.web import answers as api
from schemas.times import format_rfc3339

Body = dict[str, Any]


def body(model: type[api.Row], row: Sequence[Any], *times: str) -> Body:
    """``row``: values in the order of the fields. ``times``: fields that are ms since the epoch, or None."""
    found = dict(zip(model.model_fields, row, strict=True))
    for name in times:
        if found[name] is not None:
            found[name] = format_rfc3339(found[name])
    return found


def page(rows: list[Body], as_of_ms: int | None, following: str | None) -> Body:
    """``following``: the cursor of the next one; None: there is none."""
    as_of = None if as_of_ms is None else format_rfc3339(as_of_ms)
    return {"rows": rows, "as_of": as_of, "next": following}
