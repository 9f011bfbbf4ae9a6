"""Which window ends are put out at a time, and the rows that come of it."""

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.core.statistics import Ints
from pipeline.core.windows.signals import SignalColumns
from pipeline.core.windows.window_ends import Reached


@dataclass(frozen=True, slots=True)
class SignalRows:
    """Rows of one signal, of several segments and windows: parallel columns, ends in ms since the epoch."""

    version: int
    is_complete: bool
    """Whether all sources have passed these ends."""
    segments: list[str]
    windows: list[str]
    ends_ms: Ints
    columns: SignalColumns


class Emission(NamedTuple):
    """Which ends one emission puts out."""

    complete: Reached
    due: Reached
    """Those after the complete ones that are put out without waiting any longer."""
    usual: Reached
    """Those of which it is known what is usual."""
    is_correcting: bool
    told_ms: int | None
    """Rows of ends up to it may have been put out before they were complete."""

    @property
    def reached(self) -> tuple[Reached, ...]:
        return self.complete, self.due, self.usual
