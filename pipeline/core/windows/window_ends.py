"""Rolling windows, and which of their ends there are (docs/signals.md)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.statistics import Ints
from pipeline.core.windows.segment_rows import groups_of, spread, times_of
from pipeline.model.tiles import BUCKET_MS


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window of ``length_ms``, covering [end - length, end), ending on every ``step_ms``."""

    name: str
    length_ms: int
    step_ms: int


WINDOWS: Final = (
    Window("1m", 60_000, 10_000),
    Window("5m", 300_000, 60_000),
    Window("15m", 900_000, 300_000),
    Window("1h", 3_600_000, 600_000),
)
LONGEST_WINDOW_MS: Final = 3_600_000
_ENDS_AT_A_TIME: Final = 8_192
_LENGTHS_MS: Final = np.array([window.length_ms for window in WINDOWS], dtype=np.int64)


def last_end(watermark_ms: int, window: Window) -> int:
    """The last end that the watermark has reached."""
    return watermark_ms - watermark_ms % window.step_ms


class Reached(NamedTuple):
    """Ends after what was reached before (None: nothing was), up to what is reached now. Event times, ms."""

    before_ms: int | None
    now_ms: int | None

    def known(self, window: Window) -> int | None:
        """The last end that was reached before."""
        return last_end(self.before_ms, window) if self.before_ms is not None else None

    def limit(self, window: Window) -> int | None:
        """The last end that is reached now; None where none is that was not before."""
        if self.now_ms is None:
            return None
        known, limit = self.known(window), last_end(self.now_ms, window)
        return limit if known is None or known < limit else None


class Ends:
    """Window ends of several segments: parallel columns in order of segment, window and end."""

    def __init__(self, keys: Ints) -> None:
        """``keys``: of groups, one for each segment and window, and ends; ascending, each once."""
        self.keys: Final = keys
        groups = groups_of(keys)
        self.segments: Final[Ints] = groups // len(WINDOWS)
        """Numbers of the segments."""
        self.windows: Final[Ints] = groups % len(WINDOWS)
        """Places in WINDOWS."""
        self.ends_ms: Final[Ints] = times_of(self.keys)
        self.starts_ms: Final[Ints] = self.ends_ms - _LENGTHS_MS[self.windows]

    @classmethod
    def of(cls, keys: Sequence[Ints]) -> "Ends":
        """Those of all these keys, in any order."""
        return cls(np.unique(np.concatenate(keys)))

    def __len__(self) -> int:
        return len(self.keys)

    def pieces(self) -> Iterator["Ends"]:
        """The same ends, so many at a time that what is computed of them stays small."""
        if 0 < len(self) <= _ENDS_AT_A_TIME:
            yield self
            return
        for first in range(0, len(self), _ENDS_AT_A_TIME):
            yield Ends(self.keys[first : first + _ENDS_AT_A_TIME])

    def among(self, piece: "Ends") -> "Ends":
        """Those that are in a piece of ends that hold them all."""
        first, last = self.keys.searchsorted((piece.keys[0], piece.keys[-1] + 1)).tolist()
        return self if last - first == len(self) else Ends(self.keys[first:last])

    def places_of(self, others: "Ends") -> Ints:
        """Where the others are among these, which hold them all."""
        return self.keys.searchsorted(others.keys)


def covering(
    segments: Ints, buckets: Ints, window: int, after_ms: int | None = None, limit_ms: int | None = None
) -> Ints:
    """Keys of the ends in (after, limit] of windows that hold one of the segment's buckets; not in order.

    ``segments``: the number of each bucket's segment. ``window``: its place in WINDOWS.
    """
    length, step = WINDOWS[window].length_ms, WINDOWS[window].step_ms
    first = -(-(buckets + BUCKET_MS) // step) * step
    if after_ms is not None:
        first = np.maximum(first, after_ms + step)
    last = (buckets + length) // step * step
    if limit_ms is not None:
        last = np.minimum(last, limit_ms)
    return spread(segments * len(WINDOWS) + window, first, last, step)
