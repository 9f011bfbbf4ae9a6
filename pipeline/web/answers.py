"""What the HTTP API gives: rows, pages of them, problems."""

from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

_TYPES: Final = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC, to the millisecond."""


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


class StepRow(Row):
    """How one step of a funnel was passed, by journeys that were completed or abandoned.

    From a step: it was the last one that they came to for the first time.
    """

    funnel: str
    step: str
    """Empty: the opening, before any step."""
    entered: int
    """Journeys that came to it."""
    completed: int
    """Those of them that were completed from it."""
    left: int
    """Those that were abandoned from it."""
    median_s: float | None
    """From coming to it to the next step, or to completion; null where all left."""
    next: list[tuple[str, int]]
    """The steps that followed and how often, the most frequent five."""


class ArmRow(Row):
    """Known persons for whom a rule has fired over a week ago."""

    persons: int
    bought: int
    """Of these, within a week of the first time."""


class EffectRow(Row):
    """Share of buyers among those told of less that among those held out, with bounds that hold however often one
    looks.
    """

    difference: float
    lower: float
    upper: float


class RateRow(Row):
    """Moments of 1,000 persons who have come, over an hour, with the bounds of the 95 % interval."""

    value: float
    lower: float
    upper: float
    persons: int
    """How many have come."""


class MomentsRow(Row):
    """How often a rule about single persons has fired in a day. Whom it was about, this API never tells."""

    rule: str
    says: str
    fired: int
    withdrawn: int
    """Told and taken back since, or never told."""
    newest_at: Time | None
    """Of those that have fired."""
    hours: list[int]
    """How many fired in each of the 24 hours, the oldest first."""
    rate: RateRow | None
    """The newest of the last two hours, as the signal ``<rule>_moment_rate``; None: nobody has come."""
    holdout: float
    """Share of the known persons of whom it is recorded that it fired, and who are not told of; 0: all are."""
    told: ArmRow | None
    """Since some are held out, and of all segments."""
    held: ArmRow | None
    effect: EffectRow | None
    """What telling has changed; None while there is nobody in one of the two."""


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
