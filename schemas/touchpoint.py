"""The event as the pipeline works with it: checked, its time and amounts as integers."""

from typing import Final, final

NOBODY: Final = ""
"""In place of a visitor's id, of which none is empty: there was no consent, and what follows is nobody's."""


@final
class Touchpoint:
    """What is read of a :class:`~schemas.events.TouchpointEvent`, and what follows from it."""

    __slots__ = (
        "amount",
        "at_ms",
        "campaign",
        "channel",
        "currency",
        "customer_id",
        "device",
        "event_id",
        "further",
        "order_id",
        "region",
        "scale_units",
        "score_units",
        "session_id",
        "step",
        "store_id",
        "survey",
        "type",
        "visitor_id",
    )

    @property
    def dims(self) -> tuple[str | None, ...]:
        """The values of all dimensions, in the order of the vocabulary."""
        return (self.channel, self.store_id, self.region, self.device, self.campaign, *self.further)

    def __init__(
        self,
        at_ms: int,
        event_id: str,
        type_: str,
        channel: str,
        session_id: str,
        customer_id: str | None,
        visitor_id: str | None,
        order_id: str | None,
        store_id: str | None,
        region: str | None,
        device: str | None,
        campaign: str | None,
        amount: int | None,
        currency: str | None,
        step: str | None,
        further: tuple[str | None, ...] = (),
    ) -> None:
        self.at_ms: Final = at_ms
        """Event time, milliseconds since the epoch."""
        self.event_id: Final = event_id
        self.type: Final = type_
        self.channel: Final = channel
        self.session_id: Final = session_id
        self.customer_id: Final = customer_id
        self.visitor_id: Final = visitor_id
        """``NOBODY``: there was no consent, and there is no customer and no order either."""
        self.order_id: Final = order_id
        self.store_id: Final = store_id
        self.region: Final = region
        self.device: Final = device
        self.campaign: Final = campaign
        self.amount: Final = amount
        """``value`` in units of 1/10,000."""
        self.currency: Final = currency
        self.step: Final = step
        self.further: Final = further
        """The shop's further dimensions, in the order of its vocabulary; None: absent."""
        self.survey: str | None = None
        """Of an answer; None for all other types."""
        self.score_units = 0
        """In units of 1/10,000, as the scale."""
        self.scale_units = 0
