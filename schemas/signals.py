"""Messages on ``cx.signals.satisfaction`` and ``cx.signals.abandonment`` (key: segment)."""

from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from schemas.cloudevents import printable_rest
from schemas.versioning import SchemaVersion

SATISFACTION_TOPIC: Final = "cx.signals.satisfaction"
ABANDONMENT_TOPIC: Final = "cx.signals.abandonment"
SATISFACTION_TYPE: Final = "cx.signal.satisfaction"
ABANDONMENT_TYPE: Final = "cx.signal.abandonment"
SATISFACTION_SIGNALS: Final = ("csat", "nps", "ces", "friction")


class SignalMessage(BaseModel):
    """One signal of one segment over one window that is over. A higher version replaces a lower one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    id: str
    """The same at each sending of the same content."""
    signal: str
    segment: str
    """``all``, ``channel=web``, ``channel=web|device=mobile``, ..."""
    window: str
    """``1m``, ``5m``, ``15m`` or ``1h``."""
    window_end: str
    """RFC 3339; the window covers [window_end - window, window_end)."""
    numerator: float
    denominator: Annotated[float, Field(ge=0)]
    """The n of the signal; 0 takes an earlier version back. Of a nowcast, how many journeys followed to
    their end would tell as much."""
    value: float
    lower: float
    """Lower bound of the 95 % interval."""
    upper: float
    """Upper bound of the 95 % interval."""
    version: Annotated[int, Field(ge=0)]
    complete: bool = True
    """Whether everything that happened in the window is in it. False: a source lags or stands still; the row
    comes again when it has caught up."""


class SignalBody(msgspec.Struct, gc=False):
    """Write side of :class:`SignalMessage`: the same fields in the same order, made in a third of the time."""

    schema_version: str
    id: str
    signal: str
    segment: str
    window: str
    window_end: str
    numerator: float
    denominator: float
    value: float
    lower: float
    upper: float
    version: int
    complete: bool


def topic_of(signal: str) -> str:
    return SATISFACTION_TOPIC if signal in SATISFACTION_SIGNALS else ABANDONMENT_TOPIC


def type_of(signal: str) -> str:
    return SATISFACTION_TYPE if signal in SATISFACTION_SIGNALS else ABANDONMENT_TYPE


def signal_id(signal: str, segment: str, window: str, end_ms: int, version: int, is_complete: bool = True) -> str:
    """The row that came too early has another one: a partition that turns out to be empty raises no version."""
    rest = "" if is_complete else "/incomplete"
    return f"{signal}/{printable_rest(segment)}/{window}/{end_ms}/{version}{rest}"
