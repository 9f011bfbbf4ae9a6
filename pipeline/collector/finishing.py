"""From a draft to a touchpoint as the contract has it: ids, limits; checked by the pipeline's own decoder."""

from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.collector.catalogue import Catalogue
from pipeline.collector.converters import digest
from pipeline.collector.incoming import Native
from pipeline.collector.tables import QUANTITY, SKU, Draft, MappingError
from schemas.decoding import decode
from schemas.reasons import Refusal
from schemas.times import format_rfc3339
from schemas.vocabulary import Vocabulary

_encode: Final = msgspec.json.Encoder().encode
NO_CATALOGUE: Final = Catalogue()
_LONGEST_ID: Final = 64
_LONGEST_IDS: Final = 128
_LONGEST_WORD: Final = 64
#: Whose value is that of a line.
_LINES: Final = ("product_added", "product_removed")
_IDS: Final = ("session_id", "customer_id", "visitor_id", "order_id")
_WHO: Final = ("customer_id", "visitor_id", "order_id")
_WORDS: Final = ("store_id", "region", "device", "campaign", "step")
#: Told once, however often they come and by whatever way: a page loaded again, a pixel and a webhook.
_ORDERS: Final = frozenset({"order_completed", "sale_completed"})


class Nobody(NamedTuple):
    """Who it is must not be kept."""

    has_own_sessions: bool = False
    """Session ids are made anew for each session. Those of many senders are named after a visitor."""

    def leave_out(self, fields: dict[str, Any], source: str) -> None:
        """Session and event go by digests: a visitor's id, or an order's number, may be in their ids."""
        for name in _WHO:
            fields.pop(name, None)
        fields |= {"consent": False, "event_id": digest(f"nobody:{fields['event_id']}")}
        if not self.has_own_sessions:
            fields["session_id"] = digest(f"nobody:{source}:{fields['session_id']}")


class Finished(NamedTuple):
    """A touchpoint, ready to be sent."""

    channel: str
    session_id: str
    type: str
    at_ms: int
    payload: bytes
    native: bytes
    """What is remembered of it, so that a copy is known again."""
    order: bytes
    """The same of the order that it tells; empty where it tells none."""
    time_note: str
    """See :class:`~pipeline.collector.clocks.When`."""


def finish(
    draft: Draft,
    native: Native,
    words: Vocabulary,
    catalogue: Catalogue = NO_CATALOGUE,
    nobody: Nobody | None = None,
) -> Finished:
    """``nobody``: there is no consent. Raises MappingError where the contract does not take it."""
    fields, when, source = draft.fields, draft.when, native.source
    _ask(catalogue, fields, native.request.received_ms)
    if not fields.get("session_id"):
        raise MappingError("session_id: the event names neither a session nor a visitor or customer to have one")
    told = _event_id(fields, draft.number)
    fields |= {"occurred_at": format_rfc3339(when.at_ms), "event_id": told}
    order = _order_of(fields, source)
    if nobody is not None:
        nobody.leave_out(fields, str(source.get("source", "")))
    if order:  # the shop's own system tells of it too
        fields["event_id"] = digest(order)
    _keep_to_limits(fields)
    payload = _encode(fields)
    event = decode(payload, words)
    if isinstance(event, Refusal):
        raise MappingError(event.error)
    name = str(source.get("source", ""))
    return Finished(
        event.channel,
        event.session_id,
        event.type,
        event.at_ms,
        payload,
        _remembered(f"event:{name}:{told}"),
        _remembered(order) if order else b"",
        when.note,
    )


def _ask(catalogue: Catalogue, fields: dict[str, Any], now_ms: int) -> None:
    """Price and category of the event's product, where the event lacks them."""
    sku, quantity = fields.pop(SKU, None), fields.pop(QUANTITY, None)
    product = catalogue.find(str(sku), now_ms) if sku is not None else None
    if product is None:
        return
    if product.category is not None:
        fields["attributes"] = {"category": product.category, **fields.get("attributes", {})}
    if product.price is not None and "value" not in fields and fields["type"] in _LINES:
        fields["value"] = product.price * (1.0 if quantity is None else quantity)
        fields["currency"] = product.currency or fields.get("currency")


def _event_id(fields: dict[str, Any], number: int) -> str:
    """The sender's own id where it fits; of several touchpoints of one event each has one made of it."""
    own = fields.get("event_id")
    if own is None:
        raise MappingError("event_id: there is none")
    own = str(own)
    if number:
        return digest(f"{own}:{fields['type']}:{number}")
    return own if len(own) <= _LONGEST_ID else digest(own)


def _order_of(fields: dict[str, Any], source: Any) -> str:
    order = fields.get("order_id")
    if fields["type"] not in _ORDERS or order is None:
        return ""
    # Numbers of orders are small: those of two shops are two orders.
    whose = f"shop:{source['shop']}" if source.get("shop") else f"source:{source.get('source')}"
    return f"order:{whose}:{order}:{fields['type']}"


def _keep_to_limits(fields: dict[str, Any]) -> None:
    """Ids that are too long go by their digest, words are cut."""
    for name, value in fields.items():
        if not isinstance(value, str) or len(value) <= _LONGEST_WORD:
            continue
        if name in _WORDS:
            fields[name] = value[:_LONGEST_WORD]
        elif name in _IDS and len(value) > _LONGEST_IDS:
            fields[name] = digest(value)


def _remembered(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
