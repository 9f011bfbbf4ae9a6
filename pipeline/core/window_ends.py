"""Rolling windows, and which of their ends there are (DESIGN.md, section 2.3)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.core.buckets import Ints
from pipeline.core.tiles import BUCKET_MS


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window of ``length_ms``, covering [end - length, end), ending on every ``step_ms``."""

    name: str
    length_ms: int
    step_ms: int


WINDOWS: Final = (
    Window("1m", 60_000, 10_000),
    Window("5m", 300_000, 10_000),
    Window("15m", 900_000, 60_000),
    Window("1h", 3_600_000, 60_000),
)
LONGEST_WINDOW_MS: Final = 3_600_000


def last_end(watermark_ms: int, window: Window) -> int:
    """The last end that the watermark has reached."""
    return watermark_ms - watermark_ms % window.step_ms


def next_end(watermark_ms: int, window: Window) -> int:
    """The first end after the watermark."""
    return last_end(watermark_ms, window) + window.step_ms


def ends_covering(buckets: Ints, window: Window, after_ms: int | None, limit_ms: int) -> Ints:
    """Window ends in (after, limit] whose window holds one of the buckets; ascending."""
    step = window.step_ms
    first = -(-(buckets + BUCKET_MS) // step) * step
    if after_ms is not None:
        first = np.maximum(first, after_ms + step)
    last = np.minimum((buckets + window.length_ms) // step * step, limit_ms)
    counts = np.maximum((last - first) // step + 1, 0)
    starts = np.repeat(first, counts)
    nth = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(starts + nth * step)
