"""What the HTTP API takes and gives: parameters, rows, problems."""

import re
from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas.events import Channel
from schemas.times import END_OF_TIME_MS

Window = Literal["1m", "5m", "15m", "1h"]
Segment = Annotated[str, StringConstraints(max_length=512)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_TYPES: Final = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC, to the millisecond."""


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


class Row(BaseModel):
    model_config = _TYPES


class SignalRow(Row):
    """A signal of a window that is over, as the topic's SignalMessage; or of the one that is filling."""

    signal: str
    segment: str
    window: str
    window_end: Time
    numerator: float
    denominator: float
    """The n."""
    value: float
    lower: float
    """Of the 95 % interval."""
    upper: float
    complete: bool
    """Whether all that happened in the window is in it; false while it is filling, or where a source lags."""
    version: int | None
    """Null while the window is filling."""


class JourneyRow(Row):
    """An ended journey. Who the customer is, only ``cx.journeys`` tells."""

    journey_id: str
    funnel: str
    channel: str
    session_id: str
    store_id: str
    """Empty where the journey has none, as region, device, reason and last_step."""
    region: str
    device: str
    entered_at: Time
    ended_at: Time
    outcome: str
    reason: str
    last_step: str
    value: float
    version: int


class AlertRow(Row):
    """An alert as it stands."""

    alert_id: str
    rule: str
    signal: str
    segment: str
    status: str
    severity: str
    opened_at: Time
    updated_at: Time
    resolved_at: Time | None
    observed: float
    expected: float
    n: float
    window_s: int
    """Observed, expected and n are of so long."""
    causes: list[tuple[str, float]]
    """What accounts for it, the surest first: dimensions and step, and the share of the difference."""
    missing: float | None
    """Completions expected since it began that have not come; null for what is not of a funnel."""
    at_stake: float | None
    """What they are worth; null where that is not known."""
    currency: str
    """Of ``at_stake``; empty where there is none."""
    explanation: str
    version: int


class SegmentRow(Row):
    segment: str
    events: float
    """In the last hour of its data."""


class HoursRow(Row):
    """A segment by the hour, over the last day."""

    segment: str
    hours: list[tuple[Time, float, float]]
    """End of the full hour, value (of money the sum) and n; the oldest first."""


class UsualRow(Row):
    """What is usual at this hour."""

    signal: str
    value: float
    n: float
    hours: int
    """So many hours stand behind it."""
    basis: Literal["week", "day", "all"]
    """The same hour of the week, of the day, or all of the last 24."""


class LettersRow(Row):
    """Dead letters of one kind. What is in them, ``cx-signals deadletters list`` tells."""

    topic: str
    reason: str
    letters: int
    bytes: int
    newest_at: Time


class CompletenessRow(Row):
    """An hour of the last day: how many of its windows of five minutes hold all that happened in them."""

    until: Time
    windows: int
    complete: int


class TrendRow(Row):
    segment: str
    points: list[tuple[Time, float]]
    """Time and value, the oldest first; at most 31."""


class DayRow(Row):
    """A signal over the last day, and what is usual at these hours."""

    signal: str
    points: list[tuple[Time, float, float]]
    """Of the hours that ended then, every twenty minutes: time, value (of money the sum) and n."""
    usual: list[tuple[Time, float, float]]
    """The band by full hours, two standard deviations around the same hour of earlier days: end, lower, upper.

    An hour of which fewer than three days are known is left out.
    """


class Exit(Row):
    step: str
    """Empty where the journey had none."""
    abandoned: int
    value: float
    """Of those abandoned journeys, in the shop's currency."""


class FunnelRow(Row):
    funnel: str
    completed: int
    abandoned: int
    emptied: int
    """Ended by timeout with nothing left in them; no signal counts these."""
    exits: list[Exit]
    """Where those who abandoned had come to; the most frequent ten."""


class RecoveryRow(Row):
    """What has become of the abandoned journeys of a funnel."""

    funnel: str
    abandoned: int
    """All of them, of whomever."""
    known: int
    """Those of which it is known who it was: of these all that follows."""
    open: int
    """Neither bought yet, nor have seven days passed."""
    completed_elsewhere: int
    """Bought on another way before the journey ended."""
    recovered: int
    """Bought within seven days after it."""
    recovered_elsewhere: int
    """Of these on another channel."""
    lost: int
    value_recovered: float
    """Of the purchases, each counted once, in the shop's currency."""
    value_lost: float
    """Of the lost journeys."""
    median_s: float
    """Of the recovered the median time from the journey's end to the purchase; 0 where there are none."""


class SourceRow(Row):
    """What a source of the collector has sent in the last hours."""

    source: str
    kind: str
    requests: int
    mapped: int
    """Touchpoints."""
    ignored: int
    """Events that are none."""
    invalid: int
    """Events that could not be mapped: they are dead letters."""
    copies: int
    orders_again: int
    """Orders that had been told before, by this or another source of the shop."""
    too_late: int
    """Touchpoints too far behind to count."""
    newest_at: Time
    """Event time of the newest touchpoint."""
    told_at: Time
    """Up to when this is known."""


R = TypeVar("R", bound=Row)


class Page(BaseModel, Generic[R]):
    """Some rows, and how to ask for those after them."""

    model_config = _TYPES

    rows: list[R]
    as_of: Time | None = None
    """Where the rows are those of the present: the end of the newest window; null where there is none."""
    next: str | None = None
    """``cursor`` of the next page; null: there is none."""


class Fault(BaseModel):
    parameter: str
    message: str


class Problem(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """In a sentence, with what is allowed."""
    faults: list[Fault] = []
