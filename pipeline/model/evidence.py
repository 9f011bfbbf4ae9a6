"""Evidence: what is counted of a segment in a step or an hour of event time."""

from typing import Final, NamedTuple

from pipeline.model.tiles import Counters

STEP_MS: Final = 30_000
"""How often detection looks; a multiple of the tiles' buckets."""
HOUR_MS: Final = 3_600_000
"""Of an hour that nothing can change any more, the whole is told: from it is learned what is usual."""
DAY_MS: Final = 24 * HOUR_MS


class Evidence(NamedTuple):
    """Counters of one segment in [start, start + STEP_MS), or in a whole hour."""

    segment: str
    start_ms: int
    counters: Counters


def step_of(at_ms: int) -> int:
    """Start of the step that holds the instant."""
    return at_ms - at_ms % STEP_MS


def hour_start(at_ms: int) -> int:
    """Start of the hour that holds the instant."""
    return at_ms - at_ms % HOUR_MS


def final_after(lateness_ms: int) -> int:
    """By when a whole hour is final: the hour that begins so long after it began, ms."""
    return (1 + -(-lateness_ms // HOUR_MS)) * HOUR_MS
