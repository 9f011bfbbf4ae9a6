"""Rows that need not be stored: others that wait with them replace them."""

from collections.abc import Sequence
from itertools import compress
from typing import Any

from sinks.base import Columns


def joined(chunks: Sequence[Columns]) -> list[list[Any]]:
    """The columns of all rows."""
    columns: list[list[Any]] = [[] for _ in chunks[0]]
    for chunk in chunks:
        for into, column in zip(columns, chunk, strict=True):
            into.extend(column)
    return columns


def newest(chunks: Sequence[Columns], key: Sequence[int], version: int) -> list[list[Any]]:
    """The columns of the rows without those of which a later one has the key and no lower version.

    ``key``, ``version``: the numbers of their columns. The table keeps the highest version of a key, so it comes
    to the same; where it refuses the newest for good, what that one replaced is not there either. Rows stay in
    order.
    """
    if len(chunks) == 1:
        return joined(chunks)
    seen: dict[tuple[Any, ...], int] = {}
    kept: list[Columns] = []
    for chunk in reversed(chunks):
        keys = list(zip(*(chunk[number] for number in key), strict=True))
        chosen = [seen.get(one, -1) < at for one, at in zip(keys, chunk[version], strict=True)]
        if any(chosen):
            kept.append(chunk if all(chosen) else [list(compress(column, chosen)) for column in chunk])
        seen.update(compress(zip(keys, chunk[version], strict=True), chosen))
    return joined(kept[::-1])
