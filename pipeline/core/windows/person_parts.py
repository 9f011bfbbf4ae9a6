"""Some hours of a segment, as rows are computed of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.statistics import Ints
from pipeline.core.windows.person_hours import PersonHour

_AT_A_TIME: Final = 32


class Joined:
    """Rows of hours that follow each other."""

    def __init__(self, hours: list[PersonHour]) -> None:
        self.buckets: Final[Ints] = np.concatenate([hour.rows.buckets for hour in hours])
        self.counts: Final[Ints] = np.concatenate([hour.rows.counts for hour in hours])


@dataclass(frozen=True, slots=True)
class Part:
    """As :func:`pipeline.core.windows.signal_rows.signal_rows` looks at it."""

    segment: str
    sums: Joined
    dirty: set[int]
    shrunk: Mapping[str, set[int]]


def together(parts: Iterator[Part]) -> Iterator[list[Part]]:
    """So many at a time that what is computed of them stays small."""
    some: list[Part] = []
    for part in parts:
        some.append(part)
        if len(some) == _AT_A_TIME:
            yield some
            some = []
    if some:
        yield some
