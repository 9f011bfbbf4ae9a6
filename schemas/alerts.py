"""Messages on ``cx.alerts`` (key: alert_id): one incident from pending through firing to resolved."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.versioning import SchemaVersion

ALERTS_TOPIC: Final = "cx.alerts"
ALERT_TYPE: Final = "cx.alert"


class Cause(BaseModel):
    """A part of the alert's segment that accounts for what is missing (or too much)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    where: str
    """The dimensions beyond the alert's segment, and the step: ``device=mobile|step=payment``."""
    share: float
    """Of the difference between observed and expected; can exceed 1 where others are better than usual."""
    of_expected: float
    """What the part would have had of the expected."""


class AlertMessage(BaseModel):
    """An alert as it stands. A higher version of the same ``alert_id`` replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    id: str
    """The same at each sending of the same content."""
    alert_id: str
    """The same from pending to resolved."""
    rule: str
    signal: str
    segment: str
    """May widen while the alert is open, to hold all that belongs to the incident."""
    status: Literal["pending", "firing", "resolved"]
    severity: str
    opened_at: str
    """RFC 3339, event time: end of the window in which it was found first."""
    updated_at: str
    """RFC 3339, event time."""
    resolved_at: str | None
    observed: float
    expected: float
    n: Annotated[float, Field(ge=0)]
    window_s: int
    """The window that observed, expected and n are of."""
    has_data: bool
    """False while too little comes in to tell; the alert then stays open."""
    retracted: bool = False
    """It is resolved because it never was: so late events have shown. The table has that as its status."""
    causes: list[Cause]
    """The surest first."""
    missing: float | None
    """Completions expected since it began that have not come; null for what is not of a funnel."""
    at_stake: float | None
    """What they are worth; null where no value of such journeys is known."""
    currency: str | None
    """Of ``at_stake``."""
    explanation: str
    """All of this in a sentence."""
    version: Annotated[int, Field(ge=0)]
