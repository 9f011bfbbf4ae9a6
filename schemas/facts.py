"""Facts: what is known of a person, and the messages on ``cx.visits`` and ``cx.facts`` that carry them.

A fact is an abandoned journey of a funnel in which things are bought, a purchase, or a cancellation; and what
rules about moments name: events, and how journeys ended. Facts of a session with a customer go to ``cx.facts``;
those of a session with a visitor only go to ``cx.visits``, where the person is found who is behind the visitor,
and from there to ``cx.facts``. A statement says that a fact is one of this person's, or no longer is; a newer one
of the same source replaces it. All of a person are in one partition.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from schemas.versioning import LARGEST_VERSION, SchemaVersion

FACTS_TOPIC: Final = "cx.facts"
FACTS_TYPE: Final = "cx.facts"
VISITS_TOPIC: Final = "cx.visits"
VISITS_TYPE: Final = "cx.visits"
ABANDONED: Final = "abandoned"
PURCHASE: Final = "purchase"
CANCELLATION: Final = "cancellation"
EVENT: Final = "event"
"""Another event, of a type that rules about moments name."""
OUTCOME: Final = "outcome:"
"""Begins the kind of a journey that ended as rules about moments name it: ``outcome:completed``."""
CUSTOMER: Final = "c:"
"""Begins the name of a person who is known as a customer."""
VISITOR: Final = "v:"
"""Begins the name of a person of whom only the visitor is known."""
KNOWN: Final = (CUSTOMER, VISITOR)
SESSION: Final = "s:"
"""Begins the name of one of whom nothing is known but the session: channel, ``:``, session."""

if TYPE_CHECKING:
    _Kind: TypeAlias = str
    _Channel: TypeAlias = str
else:  # a fact is read three times as fast as with patterns, and nobody has to prove what is written
    _Kind = Literal[
        "abandoned",
        "purchase",
        "cancellation",
        "event",
        "outcome:completed",
        "outcome:abandoned",
        "outcome:emptied",
    ]
    _Channel = Literal["web", "app", "pos"]

_DAY_MS: Final = 86_400_000
_YEAR_2200_MS: Final = 7_258_118_400_000
_Time = Annotated[int, msgspec.Meta(ge=-_DAY_MS, le=_YEAR_2200_MS)]
_Version = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_VERSION)]
_MOST: Final = 200
"""Characters of an id, a little more than events may have."""
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=_MOST)]
_Short = Annotated[str, msgspec.Meta(max_length=_MOST)]


class Fact(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Something that a person has done. The fields of ``key`` say which; the others may be corrected."""

    kind: _Kind
    funnel: _Short
    """Of a journey; of an event its type, also of a purchase or cancellation that rules about moments name."""
    channel: _Channel
    session_id: _Text
    event_id: _Text
    """Of a journey the opening event's."""
    at_ms: _Time
    """Of a journey when it was entered."""
    ended_ms: _Time
    """Of a journey when it ended; else as ``at_ms``."""
    value: Annotated[float, msgspec.Meta(ge=0)]
    """In the shop's currency."""
    order_id: _Short | None
    """Of purchases and cancellations."""
    dims: tuple[_Short | None, ...]
    """Of an event its dimensions but the channel; of a journey those of its opening event."""
    step: _Short | None = None
    """Of an event; of a journey the last one, where rules about moments name such journeys."""
    survey: _Short | None = None
    score: float | None = None
    """Of an answer, on its survey's usual scale."""

    @property
    def key(self) -> "FactKey":
        return key_of(self)


FactKey = tuple[str, str, str, str, str, int]
key_of: Final[Callable[[Fact], FactKey]] = attrgetter(
    "kind", "funnel", "channel", "session_id", "event_id", "at_ms"
)
"""Which fact it is: in C, a third of what the property takes."""


class Statement(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Whether a fact is one of somebody's. Of one that is not, only its key counts."""

    who: _Text
    """On ``cx.facts`` a person; on ``cx.visits`` a visitor."""
    holds: bool
    fact: Fact
    via: int = 0
    """Of those from ``cx.visits``, by which visitor: CRC-32 of the id."""


class Observation(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event that named both a visitor and a customer."""

    visitor_id: _Text
    customer_id: _Text
    at_ms: _Time


class FactsRead(msgspec.Struct):
    """Read side of :class:`FactsMessage`."""

    source: Annotated[str, msgspec.Meta(pattern=r"^(touchpoints\.(web|app|pos)|cx\.visits):[0-9]{1,9}\Z")]
    version: _Version
    watermark: _Time | None
    more: bool
    statements: list[Statement]

    @property
    def passed_ms(self) -> int | None:
        return self.watermark


class VisitsRead(msgspec.Struct):
    """Read side of :class:`VisitsMessage`."""

    source: Annotated[str, msgspec.Meta(pattern=r"^touchpoints\.(web|app|pos):[0-9]{1,9}\Z")]
    version: _Version
    watermark: _Time | None
    more: bool
    statements: list[Statement]
    observations: list[Observation]

    @property
    def passed_ms(self) -> int | None:
        return self.watermark


_FactRow = tuple[
    str, str, str, str, str, int, int, float, str | None, list[str | None], str | None, str | None, float | None
]


class FactsMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    source: str
    """``topic:partition``, of touchpoints or of ``cx.visits``."""
    version: Annotated[int, Field(ge=0)]
    """Generation x 2**44 + the source's next offset."""
    watermark: int | None
    """Passed by the source, ms since the epoch; null before its first event, and in all parts but the last."""
    more: bool
    """Whether further parts of the same batch follow in this partition."""
    statements: list[tuple[str, bool, _FactRow, int]]
    """Who (a person; on ``cx.visits`` a visitor), whether the fact is theirs, and the fact: kind, funnel, channel,
    session, event, time, end, value, order, dimensions, step, survey, score; and by which visitor it is known, as
    the CRC-32 of the id, else 0."""


class VisitsMessage(FactsMessage):
    observations: list[tuple[str, str, int]]
    """Visitor, customer and time of events that named both."""


def facts_message_id(source: str, version: int, partition: int, part: int) -> str:
    return f"{source}/{version}/{partition}/{part}"
