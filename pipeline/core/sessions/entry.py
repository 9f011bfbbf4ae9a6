"""What a session keeps of one event."""

from typing import Any, Final, final

from pipeline.model.dimensions import Dims


@final
class Entry:
    """What a session keeps of one event. Compares by value, sorts by its key."""

    __slots__ = ("amount", "at_ms", "customer_id", "dims", "event_id", "order_id", "step", "type", "visitor_id")

    def __init__(
        self,
        at_ms: int,
        event_id: str,
        type_: str,
        amount: int | None,
        step: str | None,
        customer_id: str | None,
        visitor_id: str | None,
        order_id: str | None,
        dims: Dims,
    ) -> None:
        self.at_ms: Final = at_ms
        self.event_id: Final = event_id
        self.type: Final = type_
        self.amount: Final = amount
        """In 1/10,000 of the shop's currency; None where absent or in another currency."""
        self.step: Final = step
        self.customer_id: Final = customer_id
        self.visitor_id: Final = visitor_id
        self.order_id: Final = order_id
        self.dims: Final = dims

    @property
    def key(self) -> tuple[int, str]:
        """By which events are in order. Text compares by code points here, the order of its UTF-8 bytes."""
        return self.at_ms, self.event_id

    @property
    def fields(self) -> tuple[Any, ...]:
        """All it holds, in the order in which it is made."""
        who = self.customer_id, self.visitor_id, self.order_id
        return self.at_ms, self.event_id, self.type, self.amount, self.step, *who, self.dims

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.key)
