"""What the shop has decided: the same for every partition and for ``verify``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.model.funnels import Funnels
from pipeline.model.moments import MomentRule
from pipeline.model.segments import Segmenter
from schemas.events import CHANNELS
from schemas.versioning import OFFSET_BITS
from schemas.vocabulary import CONTRACT, Vocabulary

GENERATION_SHIFT: Final = OFFSET_BITS
"""A version is the generation shifted by so many bits, plus the log's next offset."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the shop has decided: the same for every partition and for ``verify``."""

    funnels: Funnels
    segmenter: Segmenter
    lateness_ms: int = 3_600_000
    """Allowed lateness, of the channels without one of their own."""
    own_lateness_ms: Mapping[str, int] = field(default_factory=dict)
    """By channel."""
    currency: str = "EUR"
    generation: int = 1
    vocabulary: Vocabulary = CONTRACT
    most_later: int = 20_000
    """An event with so many later ones in its session is too late: the price of an event has a bound."""
    moments: tuple[MomentRule, ...] = ()
    """About single persons."""
    customer_key: bytes = b""
    """Customer ids are replaced by their HMAC under this key; empty: kept as they are."""

    def lateness_of(self, channel: str) -> int:
        """Allowed lateness of a channel's events, ms."""
        return self.own_lateness_ms.get(channel, self.lateness_ms)

    @property
    def longest_lateness_ms(self) -> int:
        """Of all channels: so long what is merged of them can change."""
        return max(self.lateness_of(channel) for channel in CHANNELS)

    @property
    def about_persons(self) -> tuple[str, ...]:
        """Names of the rules of moments."""
        return tuple(rule.name for rule in self.moments)

    @property
    def first_version(self) -> int:
        """Of a log of which nothing has been read."""
        return self.generation << GENERATION_SHIFT
