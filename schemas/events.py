"""The touchpoint event: one customer's one touch of the web shop, the app or the till.

Events arrive as one JSON object per Kafka message on ``touchpoints.<channel>``, keyed by
``session_id``. Event names follow Segment's e-commerce specification in snake_case, extended for
tills, queues and feedback.
"""

from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.functional_validators import field_validator

from schemas.times import parse_rfc3339
from schemas.units import to_units

EventType = Literal[
    "page_viewed",
    "products_searched",
    "product_viewed",
    "product_added",
    "product_removed",
    "cart_viewed",
    "checkout_started",
    "checkout_step_viewed",
    "checkout_step_completed",
    "payment_info_entered",
    "order_completed",
    "order_cancelled",
    "order_refunded",
    "coupon_denied",
    "form_started",
    "form_submitted",
    "error_shown",
    "rage_clicked",
    "dead_clicked",
    "support_contact_started",
    "support_contact_resolved",
    "support_contact_left",
    "survey_answered",
    "queue_joined",
    "queue_served",
    "queue_left",
    "basket_opened",
    "basket_voided",
    "sale_completed",
]
Channel = Literal["web", "app", "pos"]
Survey = Literal["csat", "nps", "ces"]

EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)
CHANNELS: Final[tuple[str, ...]] = get_args(Channel)
TOPIC_PREFIX: Final = "touchpoints."
TOUCHPOINT_TOPICS: Final = tuple(TOPIC_PREFIX + channel for channel in CHANNELS)

#: The scale of a survey that names none. NPS and CES know no other.
DEFAULT_SCALE: Final[dict[str, float]] = {"csat": 5.0, "nps": 10.0, "ces": 7.0}
LEAST_CES: Final = 1.0
"""The lowest answer of a scale from 1 to 7."""
MAX_MESSAGE_BYTES: Final = 1_048_576
MAX_ATTRIBUTES_BYTES: Final = 4_096
MAX_NESTING: Final = 500
SURVEY_FIELDS: Final = ("survey", "score", "scale")
#: Key of the validation context that carries the size of ``attributes`` as received.
ATTRIBUTES_BYTES: Final = "attributes_bytes"


def _date_time(text: str) -> str:
    parse_rfc3339(text)
    return text


Id64 = Annotated[str, Field(min_length=1, max_length=64)]
Id128 = Annotated[str, Field(min_length=1, max_length=128)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", min_length=3, max_length=3)]
Score = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OccurredAt = Annotated[str, AfterValidator(_date_time), Field(json_schema_extra={"format": "date-time"})]


class TouchpointEvent(BaseModel):
    """One touchpoint. Unknown fields are ignored; ``null`` means absent; no type is converted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)

    event_id: Id64
    """Yours to choose, unique in its session; the same event sent twice counts once."""
    type: EventType
    """What happened, one of the types below."""
    occurred_at: OccurredAt
    """RFC 3339 with offset, such as ``2026-03-02T09:00:00.250Z``: when it happened."""
    channel: Channel
    """``web``, ``app`` or ``pos``; the topic must be that of the channel."""
    session_id: Id128
    """The visit; also the key of the message."""
    customer_id: Id128 | None = None
    """Who it is, if the shop knows."""
    visitor_id: Id128 | None = None
    """The browser or device of somebody who need not be known."""
    order_id: Id128 | None = None
    """Of ``order_completed``, ``sale_completed``, ``order_cancelled`` and ``order_refunded``: which order."""
    consent: bool | None = None
    """``false``: who it is, and which order, is not kept, the event counts; absent: as ``true``."""
    store_id: Id64 | None = None
    """The store; required on channel ``pos``."""
    region: Id64 | None = None
    """A dimension: where the customer or the store is."""
    device: Id64 | None = None
    """A dimension: ``mobile``, ``desktop``, ``tablet`` or another word of yours."""
    campaign: Id64 | None = None
    """A dimension: what brought the customer here."""
    value: Amount | None = None
    """An amount of money: of a product added or removed its price, of an order or sale the total."""
    currency: Currency | None = None
    """ISO 4217 code of ``value``; absent: the shop's. Amounts in other currencies do not count."""
    step: Id64 | None = None
    """Where in the checkout, or where an error was shown."""
    survey: Survey | None = None
    """Of ``survey_answered``: ``csat``, ``nps`` or ``ces``."""
    score: Score | None = None
    """Of ``survey_answered``: the answer."""
    scale: Scale | None = None
    """Of ``survey_answered``: the highest answer; absent: 5 (csat), 10 (nps), 7 (ces)."""
    attributes: dict[str, Any] | None = None
    """Whatever else you want to send along, at most 4,096 bytes of JSON; its texts can be dimensions of yours."""

    @model_validator(mode="before")
    @classmethod
    def _survey_fields_mean_nothing_elsewhere(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("type") != "survey_answered":
            return {name: value for name, value in data.items() if name not in SURVEY_FIELDS}
        return data

    @field_validator("attributes")
    @classmethod
    def _attributes_are_small(cls, value: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        size = (info.context or {}).get(ATTRIBUTES_BYTES, 0)
        if size > MAX_ATTRIBUTES_BYTES:
            raise ValueError(f"{size} bytes of JSON text, at most {MAX_ATTRIBUTES_BYTES} are allowed")
        return value

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.channel == "pos" and self.store_id is None:
            raise ValueError("store_id is required on channel pos")
        if self.type == "survey_answered":
            self._check_survey()
        return self

    def _check_survey(self) -> None:
        if self.survey is None or self.score is None:
            raise ValueError("survey and score are required on survey_answered")
        usual = DEFAULT_SCALE[self.survey]
        scale = usual if self.scale is None else self.scale
        if self.survey != "csat" and scale != usual:
            raise ValueError(f"scale of {self.survey} must be {usual:g}")
        if not to_units(scale):
            raise ValueError(f"scale {scale:g} is too small: scores are kept to 1/10,000")
        if self.survey == "ces" and self.score < LEAST_CES:
            raise ValueError(f"score {self.score:g} is below {LEAST_CES:g}, the lowest of ces")
        if self.score > scale:
            raise ValueError(f"score {self.score:g} is above its scale {scale:g}")
