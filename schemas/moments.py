"""Messages on ``cx.moments`` (key: person): a rule about one person has fired, or what it fired on is not so."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.cloudevents import printable
from schemas.events import Channel
from schemas.versioning import SchemaVersion

MOMENTS_TOPIC: Final = "cx.moments"
MOMENT_TYPE: Final = "cx.moment"
FIRED: Final = "fired"
WITHDRAWN: Final = "withdrawn"


class MomentMessage(BaseModel):
    """A higher version of (moment_id, channel, session_id, at) replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    id: str
    """The same at each sending of the same content."""
    moment_id: str
    """``rule:person:event_id``, of the event at which it fired; of a journey its opening one's."""
    rule: str
    person: str
    """``c:`` and a customer, ``v:`` and a visitor, or ``s:``, channel, ``:`` and a session of nobody known."""
    channel: Channel
    session_id: str
    at: str
    """RFC 3339: when the event happened, or the journey ended."""
    status: Literal["fired", "withdrawn"]
    """``withdrawn``: with what has come since, it did not fire there."""
    events: list[str]
    """Ids of the events that led to it, in order, the last 50; none where it is withdrawn."""
    store_id: str | None
    region: str | None
    device: str | None
    version: Annotated[int, Field(ge=0)]


def moment_message_id(moment_id: str, channel: str, session_id: str, at_ms: int, version: int) -> str:
    texts = [printable(text).replace("/", "%2F") for text in (moment_id, channel, session_id)]
    return f"{'/'.join(texts)}/{at_ms}/{version}"
