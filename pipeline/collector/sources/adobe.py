"""Adobe: XDM experience events of the Web SDK (alloy), of event forwarding and of files, and AEM's data layer.

Source: Adobe's public XDM schemas and the Web SDK's own requests. The Web SDK asks for a visitor's id with its
first request and keeps that in a cookie of the page: where the organisation is configured, the answer gives one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import digest, text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import time_or_none
from pipeline.collector.tables import Rule, Table

_COOKIE: Final = "kndctr_"
_OURS: Final = re.compile("[0-9a-f]{32}")
_KEPT_S: Final = 34_128_000
_LINES: Final = {
    "value": "productListItems | sum(priceTotal)",
    "currency": "productListItems[0].currencyCode | upper",
}
_ORDER: Final = {
    "value": "commerce.order.priceTotal | num",
    "currency": "commerce.order.currencyCode | upper",
    "order_id": "commerce.order.purchaseID | str",
}
_PLACED: Final = {
    "value": "eventInfo.priceTotal | num",
    "currency": "eventInfo.currencyCode | upper",
    "order_id": "eventInfo.purchaseOrderNumber | str",
}


def _event(content: Any) -> dict[str, Any]:
    """XDM without the prefix that some exports put before its names."""
    plain = _without_prefix(content)
    if not isinstance(plain, dict):
        raise NotTakenApartError("an event is a JSON object")
    xdm = plain.get("xdm")
    return {**plain, **xdm} if isinstance(xdm, dict) else plain


def _without_prefix(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.removeprefix("xdm:"): _without_prefix(one) for name, one in value.items()}
    return [_without_prefix(one) for one in value] if isinstance(value, list) else value


def _take_apart(_request: Incoming, body: Body) -> Apart:
    content = body.content
    if body.kind is not Kind.JSON:
        raise NotTakenApartError("JSON is wanted")
    if isinstance(content, list):
        return Apart([_event(one) for one in content], is_trusted=True)
    for name in ("events", "messages"):
        if isinstance(content.get(name), list):
            events = [_event(_entity(one)) for one in content[name]]
            return Apart(events, content, time_or_none(content.get("sentAt")), is_trusted=name == "messages")
    return Apart([_event(_entity(content))], is_trusted=True)


def _entity(message: Any) -> Any:
    """What the Experience Platform's streaming wraps an event in."""
    inner = found(message, ("body", "xdmEntity"))
    return message if inner is None else inner


def _identity(native: Native) -> str | None:
    """The visitor: an ECID where it stands, else what the SDK keeps in its cookie."""
    own = found(native.event, ("identityMap", "ECID", 0, "id"))
    if own is not None:
        return text_of(own)
    for entry in found(native.batch, ("meta", "state", "entries")) or ():
        if isinstance(entry, Mapping) and str(entry.get("key", "")).startswith(_COOKIE):
            own = str(entry.get("value"))
            return own if _OURS.fullmatch(own) else digest(own)[:32]
    own = native.event.get("visitor")
    return text_of(own) if own else _given_to(native.request, native.source)


def _given_to(request: Incoming, source: Mapping[str, Any]) -> str | None:
    """The id that a request is given which asks for one; the same when it comes again."""
    asked = request.query.get("requestId")
    if (
        not asked
        or not source.get("organisation")
        or _COOKIE.encode() in request.raw
        or b'"ECID"' not in request.raw
    ):
        return None
    return digest(asked)[:32]


def _session(native: Native) -> str | None:
    own, whose = native.event.get("session"), _identity(native)
    if own:
        return text_of(own)
    return f"{whose}.{native.day}" if whose else None


def _customer(native: Native) -> str | None:
    space = native.source.get("customer_namespace")
    own = found(native.event, ("identityMap", str(space), 0, "id")) if space else None
    return None if own is None else text_of(own)


def _event_id(native: Native) -> str:
    own = native.event.get("_id") or native.event.get("id")
    if own:
        return text_of(own)
    request = native.request.query.get("requestId")
    if request:
        return digest(f"{request}:{native.index}")
    return digest(msgspec.json.encode(native.event, order="deterministic").decode())


def _kind(native: Native) -> str:
    return str(native.event.get("eventType") or native.event.get("event") or "")


def _keys(request: Incoming, _body: Body) -> list[str]:
    named = (request.query.get("configId"), request.query.get("dataStreamId"), request.headers.get("x-api-key"))
    return [one for one in named if one]


def _device(native: Native) -> str | None:
    own = found(native.event, ("device", "type"))
    return text_of(own).lower() if own else device_of(native.request.headers.get("user-agent", ""))


def _reply(request: Incoming, source: Mapping[str, Any]) -> Reply:
    """What the SDK wants: a handle; and for a browser that has no id yet one that it keeps in its cookie."""
    handle: list[dict[str, Any]] = []
    if (own := _given_to(request, source)) is not None:
        key = f"{_COOKIE}{str(source['organisation']).replace('@', '_')}_identity"
        kept = {"key": key, "value": own, "maxAge": _KEPT_S}
        handle.append({"type": "state:store", "payload": [kept]})
    body = {"requestId": request.query.get("requestId", ""), "handle": handle}
    return Reply(200, msgspec.json.encode(body))


TABLE: Final = Table(
    kind=_kind,
    rules={
        "web.webpagedetails.pageViews": [Rule("page_viewed")],
        "commerce.productViews": [Rule("product_viewed")],
        "commerce.productListAdds": [Rule("product_added", _LINES)],
        "commerce.productListRemovals": [Rule("product_removed", _LINES)],
        "commerce.productListViews": [Rule("cart_viewed")],
        "commerce.checkouts": [Rule("checkout_started", {**_LINES})],
        "commerce.purchases": [Rule("order_completed", _ORDER)],
        "commerce.backofficeOrderPlaced": [Rule("order_completed", _ORDER)],
        "commerce.backofficeOrderCancelled": [Rule("order_cancelled", _ORDER)],
        "commerce.backofficeCreditMemoIssued": [
            Rule("order_refunded", {**_ORDER, "value": "commerce.order.refundTotal | num"})
        ],
        "commerce.inStorePurchase": [
            Rule(
                "sale_completed",
                {**_ORDER, "channel": "'pos'", "session_id": "commerce.order.purchaseID | prefix(order-)"},
            )
        ],
        "web.formFilledOut": [Rule("form_submitted")],
        "cif:addToCart": [Rule("product_added")],
        "cif:removeFromCart": [Rule("product_removed")],
        "cif:placeOrder": [Rule("order_completed", _PLACED)],
        "cmp:show": [Rule("page_viewed")],
    },
    fields={
        "event_id": _event_id,
        "occurred_at": "timestamp | iso",
        "channel": lambda native: str(native.source.get("channel", "web")),
        "session_id": _session,
        "customer_id": _customer,
        "visitor_id": _identity,
        "device": _device,
        "campaign": "web.webPageDetails.URL | query(utm_campaign)",
        "sku": "productListItems[0].SKU | str ?? eventInfo.SKU | str",
        "quantity": "productListItems[0].quantity | num ?? eventInfo.quantity | num",
        "store_id": "placeContext.POIinteraction.POIDetail.POIID | cap(64)",
    },
)
FAMILIES: Final = (Family("adobe", TABLE, _take_apart, _reply, keys_of=_keys, is_in_pages=True),)
