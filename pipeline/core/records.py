"""What goes into phase one and what comes out of it."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.core.funnels import Funnels, Journey
from pipeline.core.segments import Segmenter
from pipeline.core.tiles import Counters
from schemas.deadletters import KEPT_PAYLOAD_BYTES
from schemas.privacy import Pseudonyms, fingerprint
from schemas.reasons import Reason, Refusal
from schemas.versioning import OFFSET_BITS

GENERATION_SHIFT: Final = OFFSET_BITS
"""A version is the generation shifted by so many bits, plus the log's next offset."""


class Record(NamedTuple):
    """One record of a touchpoint topic."""

    offset: int
    timestamp_ms: int
    """The broker's or producer's time of the record; negative where there is none."""
    value: bytes | None
    tick_ms: int | None = None
    """The time of a tick; None for all other records."""


class ClockRefusal(NamedTuple):
    """A record that an earlier reading refused by its wall clock."""

    received_ms: int
    error: str
    sha256: str
    """Of the record's value: an offset of a log that started anew is another record."""


class DeadLetter(NamedTuple):
    """A record that is no event, with everything needed to see why and to find it again."""

    offset: int
    received_ms: int
    reason: Reason
    error: str
    payload: bytes
    """What is kept of it: the first 64 KiB, without customer ids where a key is set."""
    size: int
    """Bytes of the whole record."""
    sha256: str
    """Of the whole record, as it came; where a key is set, its HMAC under that key."""
    by_clock: bool = False
    """Refused by the wall clock of this reading: a later one must find this letter, or would differ."""

    @classmethod
    def of(
        cls, offset: int, received_ms: int, refusal: Refusal, record: bytes, customer_key: bytes = b""
    ) -> "DeadLetter":
        kept, error = record, refusal.error
        if customer_key:
            pseudonyms = Pseudonyms(customer_key)
            kept, error = pseudonyms.in_payload(record), pseudonyms.in_error(error)
        sha256 = fingerprint(customer_key, record)
        return cls(offset, received_ms, refusal.reason, error, kept[:KEPT_PAYLOAD_BYTES], len(record), sha256)


class JourneyRow(NamedTuple):
    """A journey to be written; ``journey.outcome`` may be ``retracted``."""

    session_id: str
    journey: Journey


class Tile(NamedTuple):
    segment: str
    bucket_ms: int
    counters: Counters


@dataclass(slots=True)
class Outputs:
    """What a batch gives. ``version`` is that of every row in it."""

    version: int = 0
    watermark_ms: int | None = None
    journeys: list[JourneyRow] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What the shop has decided: the same for every partition and for ``verify``."""

    funnels: Funnels
    segmenter: Segmenter
    lateness_ms: int = 3_600_000
    currency: str = "EUR"
    generation: int = 1
    most_later: int = 20_000
    """An event with so many later ones in its session is too late: the price of an event has a bound."""
    customer_key: bytes = b""
    """Customer ids are replaced by their HMAC under this key; empty: kept as they are."""

    @property
    def first_version(self) -> int:
        """Of a log of which nothing has been read."""
        return self.generation << GENERATION_SHIFT
