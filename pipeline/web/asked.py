"""What the HTTP API takes: parameters of its addresses."""

import re
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas.events import Channel
from schemas.times import END_OF_TIME_MS

Window = Literal["1m", "5m", "15m", "1h"]
Segment = Annotated[str, StringConstraints(max_length=512)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_TYPES: Final = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)


def _is_rfc3339(text: object) -> object:
    if isinstance(text, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", text) is None:
        raise ValueError("a time as RFC 3339 writes it is wanted: 2026-11-29T03:12:00Z")
    return text  # numbers would be taken for seconds since the epoch


Instant = Annotated[AwareDatetime, BeforeValidator(_is_rfc3339)]


class Parameters(BaseModel):
    """Query parameters. Each may be given once; a name that is not listed is refused."""

    model_config = _TYPES


class Paged(Parameters):
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Rows of a page, at most."""
    cursor: Annotated[str | None, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,2000}$")] = None
    """``next`` of the page before."""


class Spanned(Paged):
    since: Annotated[Instant | None, Field(alias="from")] = None
    """Not before this time, RFC 3339."""
    until: Annotated[Instant | None, Field(alias="to")] = None
    """Before this time, RFC 3339."""

    @property
    def span_ms(self) -> tuple[int, int]:
        """Both ends, within the times that events can have (1970 to 2199)."""
        since = 0 if self.since is None else _clipped_ms(self.since)
        return since, END_OF_TIME_MS if self.until is None else _clipped_ms(self.until)


class Moment(Parameters):
    at: Instant | None = None
    """As it stood at this time, RFC 3339, as far as rows of it are still kept; default: now."""

    @property
    def at_ms(self) -> int | None:
        return None if self.at is None else _clipped_ms(self.at)


def _clipped_ms(time: AwareDatetime) -> int:
    return min(max(round(time.timestamp() * 1000), 0), END_OF_TIME_MS)


class CurrentParameters(Paged, Moment):
    segment: Segment | None = None
    """Only this segment: ``all``, ``channel=web``, ``channel=web|device=mobile``, ..."""
    dimension: Name | None = None
    """Only the segments of exactly these dimensions: ``store_id``, ``channel|device``, ..."""
    signal: Name | None = None
    """Only this signal."""
    window: Window = "5m"
    """Of this window."""


class HistoryParameters(Spanned):
    signal: Name
    """Which signal."""
    segment: Segment = "all"
    """Of which segment."""
    window: Window = "5m"
    """Of which window. Those of 1m and 5m are kept for days, see the settings of retention."""


class DayParameters(Moment):
    segment: Segment = "all"
    """Of which segment."""


class TrendsParameters(Moment):
    signal: Name
    """Which signal."""
    dimension: Name
    """Of all segments of exactly these dimensions."""
    window: Window = "15m"
    """Of which window."""


class HoursParameters(Moment):
    signal: Name
    """Which signal."""
    dimension: Name
    """Of all segments of exactly these dimensions."""


class UsualParameters(Moment):
    segment: Segment = "all"
    """Of which segment."""


class LettersParameters(Parameters):
    hours: Annotated[int, Field(ge=1, le=168)] = 24
    """Of so many hours up to now."""


class CompletenessParameters(Parameters):
    pass


class JourneysParameters(Spanned):
    funnel: Name
    """Which funnel."""
    outcome: Literal["completed", "abandoned", "emptied"] | None = None
    """How they ended."""
    channel: Channel | None = None
    """Only this channel."""
    store_id: Name | None = None
    """Only this store."""
    region: Name | None = None
    """Only this region."""
    device: Name | None = None
    """Only this device."""


class AlertsParameters(Spanned, Moment):
    status: Literal["open", "pending", "firing", "resolved"] | None = None
    """``open``: pending or firing."""
    rule: Name | None = None
    """Only of this rule."""
    segment: Segment | None = None
    """Only of this segment."""


class SegmentsParameters(Paged):
    dimension: Name | None = None
    """Only those of exactly these dimensions."""


class FunnelsParameters(Moment):
    segment: Segment = "all"
    """Of which segment."""
    window: Window = "15m"
    """Journeys that ended in the newest window of this length."""


class MomentsParameters(Moment):
    segment: Segment = "all"
    """Of which segment; of segments of a dimension that no moment has there are none."""


class RecoveriesParameters(Moment):
    segment: Segment = "all"
    """Of which segment."""
    days: Annotated[int, Field(ge=1, le=90)] = 7
    """Of journeys that were entered in so many days up to the newest event."""


class SourcesParameters(Parameters):
    hours: Annotated[int, Field(ge=1, le=168)] = 24
    """Of so many hours up to now."""


class StreamParameters(Parameters):
    segment: Segment = "all"
    """Of this segment, and of the channels and the stores."""
    window: Window = "5m"
    """Of this window."""
