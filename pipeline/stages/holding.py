"""How long rows wait for sources that lag: time of the wall, which the core knows nothing of."""

from collections import deque
from typing import Final, NamedTuple

from pipeline.core.sources import Progress

HISTORY_HOLD_S: Final = 600.0
"""While history is being read: nobody waits for it, and what is put out too early is put out twice."""
_MARK_S: Final = 1.0
#: So many times as fast as the wall clock the slowest source moves where history is being read.
_HISTORY_SPEED: Final = 2.0


class _Mark(NamedTuple):
    at_s: float
    newest_ms: int
    passed_ms: int | None
    """What all sources had passed."""


class Holding:
    """Notes how far the sources are, and tells which window ends have waited long enough."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._marks: deque[_Mark] = deque()

    def due_ms(self, now_s: float, progress: Progress) -> int | None:
        """Ends up to it are put out, complete or not: the first source passed them so long ago."""
        newest, passed, is_apart = progress
        if newest is None:
            return None
        hold_s = HISTORY_HOLD_S if self._is_history(now_s, passed, is_apart) else self._hold_s
        if not self._marks or now_s - self._marks[-1].at_s >= _MARK_S:
            self._marks.append(_Mark(now_s, newest, passed))
        while len(self._marks) > 1 and self._marks[1].at_s <= now_s - max(HISTORY_HOLD_S, self._hold_s):
            self._marks.popleft()
        before = self._before(now_s - hold_s)
        return before.newest_ms if before is not None else None

    def _is_history(self, now_s: float, passed_ms: int | None, is_apart: bool) -> bool:
        """Whether the sources are apart because history is read, and not because one of them stands still."""
        if not is_apart:
            return False
        before = self._before(now_s - self._hold_s)
        if before is None:
            return True  # it has only begun
        if passed_ms is None or before.passed_ms is None:
            return before.passed_ms is None
        return passed_ms - before.passed_ms > _HISTORY_SPEED * 1000 * (now_s - before.at_s)

    def _before(self, at_s: float) -> _Mark | None:
        """The newest mark that is as old as that."""
        return next((mark for mark in reversed(self._marks) if mark.at_s <= at_s), None)
