"""Messages on ``cx.recoveries`` (key: person): what has become of an abandoned journey of somebody known."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.cloudevents import printable
from schemas.events import Channel
from schemas.versioning import SchemaVersion

RECOVERIES_TOPIC: Final = "cx.recoveries"
RECOVERY_TYPE: Final = "cx.recovery"
OPEN: Final = "open"
ELSEWHERE: Final = "completed_elsewhere"
RECOVERED: Final = "recovered"
LOST: Final = "lost"
RETRACTED: Final = "retracted"


class RecoveryMessage(BaseModel):
    """A higher version of (person, channel, session_id, journey_id, entered_at) replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    id: str
    """The same at each sending of the same content."""
    person: str
    """``c:`` and a customer, or ``v:`` and a visitor."""
    funnel: str
    channel: Channel
    session_id: str
    journey_id: str
    """As in ``cx.journeys``."""
    entered_at: str
    """RFC 3339."""
    ended_at: str
    """RFC 3339; of a retracted one, the time it was entered."""
    value: Annotated[float, Field(ge=0)]
    """Of the journey, in the shop's currency."""
    status: Literal["open", "completed_elsewhere", "recovered", "lost", "retracted"]
    """``completed_elsewhere``: it was bought on another way before the journey ended. ``recovered``: within seven
    days after. ``lost``: not. ``retracted``: it was no abandonment, or not this person's."""
    recovered_at: str | None
    """RFC 3339, of the purchase; null where there is none."""
    recovered_channel: Channel | None
    recovered_session: str | None
    recovered_value: Annotated[float, Field(ge=0)]
    """Of the purchase; 0 where another journey of the same funnel that it recovered ended later."""
    store_id: str | None
    region: str | None
    device: str | None
    version: Annotated[int, Field(ge=0)]


def recovery_message_id(
    person: str, channel: str, session_id: str, journey_id: str, entered_ms: int, version: int
) -> str:
    texts = [printable(text).replace("/", "%2F") for text in (person, channel, session_id, journey_id)]
    return f"{'/'.join(texts)}/{entered_ms}/{version}"
