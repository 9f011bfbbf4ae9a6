"""What the naive computation takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.erasures import mark_of
from schemas.vocabulary import CONTRACT, Vocabulary

BUCKET = 10_000
WINDOWS = {
    "1m": (60_000, 10_000),
    "5m": (300_000, 60_000),
    "15m": (900_000, 300_000),
    "1h": (3_600_000, 600_000),
}

Source = tuple[str, int]
"""Topic and partition."""


class LogRecord(NamedTuple):
    offset: int
    timestamp_ms: int
    value: bytes | None
    tick_ms: int | None


class EventRule(NamedTuple):
    type: str
    step: str | None
    channel: str | None


class FunnelRule(NamedTuple):
    name: str
    opens: Sequence[EventRule]
    completes: Sequence[EventRule]
    abandons: Sequence[EventRule]
    timeout_ms: int
    fills: Sequence[EventRule]
    empties: Sequence[EventRule]


class Wanted(NamedTuple):
    """A condition of a moment. None, or empty: any."""

    types: frozenset[str]
    """Of events; empty: of a journey."""
    funnel: str
    outcome: str
    step: str | None
    channel: str | None
    survey: str | None
    scores: tuple[float | None, float | None]
    """From and to."""
    value: float | None
    least: int
    """So many are needed."""


class MomentRule(NamedTuple):
    name: str
    wanted: Sequence[Wanted]
    within_ms: int
    unless: frozenset[str]
    cooldown_ms: int
    of_session: bool


@dataclass(frozen=True)
class NaiveRules:
    funnels: Sequence[FunnelRule]
    segments: Sequence[Sequence[str]]
    known: Mapping[str, Sequence[str]]
    lateness_ms: Mapping[str, int]
    """By channel."""
    currency: str
    most_later: int = 20_000
    """An event with so many later ones in its session is too late."""
    most_values: int = 2_000
    """Of a dimension that is not in ``known``, and of steps, so many are told apart."""
    admitted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By dimension those that are."""
    customer_key: bytes = b""
    words: Vocabulary = CONTRACT
    """Event types and dimensions."""
    moments: Sequence[MomentRule] = ()
    erased: frozenset[str] = frozenset()
    """The marks of who is."""

    def is_erased(self, person: str) -> bool:
        """``person``: the name as rows have it."""
        return person[2:3] == "\0" or (person[:2] in ("c:", "v:") and mark_of(person) in self.erased)


class JourneyKey(NamedTuple):
    channel: str
    session_id: str
    journey_id: str
    entered_ms: int


class JourneyValue(NamedTuple):
    funnel: str
    ended_ms: int
    outcome: str
    reason: str
    customer_id: str
    visitor_id: str
    store_id: str
    region: str
    device: str
    last_step: str
    value_units: int
    steps: tuple[tuple[str, int], ...]
    """Step, and the ms from the opening of the journey to the first event at it."""


TileKey = tuple[str, int, str]
"""Segment, bucket and source."""


class RecoveryKey(NamedTuple):
    person: str
    channel: str
    session_id: str
    journey_id: str
    entered_ms: int


class RecoveryValue(NamedTuple):
    funnel: str
    ended_ms: int
    value: float
    status: str
    recovered_ms: int | None
    recovered_channel: str
    recovered_session: str
    recovered_value: float
    store_id: str
    region: str
    device: str


class PurchaseKey(NamedTuple):
    person: str
    channel: str
    session_id: str
    event_id: str
    at_ms: int


class MomentKey(NamedTuple):
    moment_id: str
    channel: str
    session_id: str
    at_ms: int


class MomentValue(NamedTuple):
    rule: str
    person: str
    events: tuple[str, ...]


class Arm(NamedTuple):
    """Of whom a moment is, and whether it was held out under the share of its row."""

    rule: str
    person: str
    channel: str
    session_id: str
    at_ms: int
    is_held: bool
    share: float


class SignalValue(NamedTuple):
    numerator: float
    denominator: float
    value: float
    lower: float
    upper: float


SignalKey = tuple[str, str, str, int]
"""Signal, segment, window, and its end."""


@dataclass
class Tables:
    """Every table's rows by key. Absent text is the empty one, as in ClickHouse."""

    journeys: dict[JourneyKey, JourneyValue] = field(default_factory=dict)
    twins: dict[JourneyKey, list[JourneyValue]] = field(default_factory=dict)
    """Further rows of the same key, where the same events are in several partitions."""
    recoveries: dict[RecoveryKey, RecoveryValue] = field(default_factory=dict)
    purchases: dict[PurchaseKey, float] = field(default_factory=dict)
    """Of those that count, the value."""
    moments: dict[MomentKey, MomentValue] = field(default_factory=dict)
    crowds: set[str] = field(default_factory=set)
    """Persons with more facts than are kept of one, or behind a visitor that too many customers are: one id stands
    for many. Of these recoveries are not exact."""
    unsure: list[tuple[int, int]] = field(default_factory=list)
    """From when until when signals of persons may count somebody who is erased: as far as it had come by then."""

    def is_unsure(self, end_ms: int) -> bool:
        """Of the end of a window."""
        return any(since <= end_ms <= until for since, until in self.unsure)

    tiles: dict[tuple[str, int, str], dict[str, int]] = field(default_factory=dict)
    signals: dict[SignalKey, SignalValue] = field(default_factory=dict)
    dead_letters: dict[tuple[str, int, int], str] = field(default_factory=dict)
    watermarks: dict[Source, int] = field(default_factory=dict)
    accepted: int = 0
    duplicates: int = 0
