"""Ages of journeys, in log-spaced bins: what tiles carry of a funnel's period life table.

A journey's age is the time since it was opened. Until it is as old as its funnel's timeout it cannot have
timed out, so there are only two ways to leave: completion and explicit abandonment. Who is at risk at an
age follows from the openings and endings by the bucket of *entry*, and when they end from the endings by
the bucket of *exit*; so no journey has to be looked at while nothing happens to it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pipeline.model.tiles import BUCKET_MS, opened_counter

_RATIO: Final = 2
#: A last bin shorter than 0.4 of the one before it is joined to it.
_SHORTEST_LAST: Final = 1.4


def age_edges(timeout_ms: int) -> tuple[int, ...]:
    """Edges of the bins in ms: 0, 10 s, then doubling, the last one the timeout."""
    edges = [0]
    following = BUCKET_MS
    while following * _SHORTEST_LAST < timeout_ms:
        edges.append(following)
        following *= _RATIO
    return (*edges, timeout_ms)


@dataclass(frozen=True, slots=True)
class AgeCounters:
    """Names of a funnel's counters by age, one for each bin.

    ``opened`` and ``left`` are in the tile of the bucket of entry, the others in that of the ending.
    """

    edges_ms: tuple[int, ...]
    opened: str
    left: tuple[str, ...]
    """Journeys opened in the bucket that later completed or were abandoned explicitly, at that age."""
    completed: tuple[str, ...]
    abandoned: tuple[str, ...]
    """Explicitly."""
    lived: tuple[str, ...]
    """Time that the journeys that ended had spent in the bin, ms."""
    at_risk: tuple[str, ...]
    """Time that all journeys spent in the bin, ms; not in tiles, for it follows from all of them."""

    @classmethod
    def of(cls, funnel: str, timeout_ms: int) -> "AgeCounters":
        edges = age_edges(timeout_ms)
        ages = [f"{edge // 1000}s" for edge in edges[:-1]]

        def names(what: str) -> tuple[str, ...]:
            return tuple(f"{funnel}_{what}_{age}" for age in ages)

        kinds = ("left", "completed", "abandoned", "lived", "at_risk")
        return cls(edges, opened_counter(funnel), *(names(kind) for kind in kinds))

    def bin_of(self, age_ms: int) -> int | None:
        """The bin that holds the age; None at the timeout and after it."""
        if age_ms >= self.edges_ms[-1]:
            return None
        return bisect_right(self.edges_ms, age_ms) - 1


def age_counters(timeouts_ms: Iterable[tuple[str, int]]) -> dict[str, AgeCounters]:
    """By funnel."""
    return {funnel: AgeCounters.of(funnel, timeout_ms) for funnel, timeout_ms in timeouts_ms}
