"""Messages on ``cx.journeys`` (key: session_id): journeys that have ended, or never were."""

from typing import Annotated, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from schemas.cloudevents import printable
from schemas.events import Channel
from schemas.versioning import SchemaVersion

JOURNEYS_TOPIC: Final = "cx.journeys"
JOURNEY_TYPE: Final = "cx.journey"


class JourneyMessage(BaseModel):
    """An ended journey. A higher version of (channel, session_id, journey_id, entered_at) replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    id: str
    """The same at each sending of the same content."""
    journey_id: str
    """``funnel:event_id`` of the opening event."""
    funnel: str
    session_id: str
    customer_id: str | None
    visitor_id: str | None = None
    """Not in messages of version 1.0."""
    channel: Channel
    store_id: str | None
    region: str | None
    device: str | None
    entered_at: str
    """RFC 3339."""
    ended_at: str
    """RFC 3339; of a retracted journey, the time it was entered."""
    outcome: Literal["completed", "abandoned", "emptied", "retracted"]
    """``emptied``: it timed out with nothing left in it. No signal of abandonment counts it."""
    reason: Literal["timeout", "explicit", "emptied"] | None
    last_step: str | None
    value: Annotated[float, Field(ge=0)]
    """In the shop's currency."""
    version: Annotated[int, Field(ge=0)]


class JourneyBody(msgspec.Struct, gc=False):
    """Write side of :class:`JourneyMessage`: the same fields in the same order, made in a third of the time."""

    schema_version: str
    id: str
    journey_id: str
    funnel: str
    session_id: str
    customer_id: str | None
    visitor_id: str | None
    channel: str
    store_id: str | None
    region: str | None
    device: str | None
    entered_at: str
    ended_at: str
    outcome: str
    reason: str | None
    last_step: str | None
    value: float
    version: int


def journey_message_id(channel: str, session_id: str, journey_id: str, entered_ms: int, version: int) -> str:
    session = printable(session_id).replace("/", "%2F")
    return f"{channel}/{session}/{printable(journey_id)}/{entered_ms}/{version}"
