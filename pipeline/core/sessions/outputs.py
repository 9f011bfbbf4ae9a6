"""What a batch of one partition gives."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.core.sessions.walk import Journey
from pipeline.model.records import DeadLetter
from pipeline.model.tiles import Tile
from schemas.facts import Observation, Statement


class JourneyRow(NamedTuple):
    """A journey to be written; ``journey.outcome`` may be ``retracted``."""

    session_id: str
    journey: Journey


@dataclass(slots=True)
class Outputs:
    """What a batch gives. ``version`` is that of every row in it."""

    version: int = 0
    watermark_ms: int | None = None
    journeys: list[JourneyRow] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    facts: list[Statement] = field(default_factory=list)
    """Of persons, for ``cx.facts``."""
    visits: list[Statement] = field(default_factory=list)
    """Of visitors, for ``cx.visits``."""
    observations: list[Observation] = field(default_factory=list)
    """For ``cx.visits``."""
    dead_letters: list[DeadLetter] = field(default_factory=list)
    accepted: int = 0
    newest_ms: int | None = None
    """The newest event accepted."""
    duplicates: int = 0
    ticks: int = 0
    misplaced: int = 0
    """Records whose session belongs in another partition: it may be split."""
    long_sessions: dict[str, int] = field(default_factory=dict)
    """Sessions with more events than are kept, and how many are: one id for many visitors, or a bot."""
    refused_ticks: int = 0
    """Ticks too far ahead, which have moved nothing."""

    def accept(self, newest_ms: int, count: int = 1) -> None:
        """Count events, of which the newest is of this time."""
        self.accepted += count
        self.newest_ms = newest_ms if self.newest_ms is None else max(self.newest_ms, newest_ms)

    @property
    def records(self) -> int:
        """Records that were no ticks."""
        return self.accepted + self.duplicates + len(self.dead_letters)
