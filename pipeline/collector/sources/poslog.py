"""POSLog, the log of tills (ARTS, now OMG), as XML of any version and vendor, and as JSON with the same names.

Read by local name: vendors put their own namespaces around. Source: the published POSLog schemas 2.1 to 6.0.
Training, controls and tender counts are no customer's; operators are people of the shop and are dropped. A file
with the transactions of a whole day is history: for ``replay``.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import number_of, text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.tables import Field, Rule, Table

_TRUE: Final = ("true", "1", True)
_VOIDED: Final = ("Voided", "PostVoided", "Cancelled", "Canceled")
_SUSPENDED: Final = ("Suspended",)
_GRAND: Final = ("TransactionGrandAmount", "TransactionNetAmount")
_STATUS: Final = "RetailTransaction.@TransactionStatus"


def _take_apart(_request: Incoming, body: Body) -> Apart:
    transactions = _transactions(body)
    events = [step for one in transactions for step in _steps(one)]
    return Apart(events, is_trusted=True)


def _transactions(body: Body) -> list[dict[str, Any]]:
    """Each as names with values, of XML as of JSON; attributes have an @ before their name."""
    if body.kind is Kind.XML:
        try:
            tree = plain(fromstring(body.content, forbid_dtd=True))
        except (ParseError, DefusedXmlException, ValueError) as error:
            raise NotTakenApartError(f"XML: {error or type(error).__name__}") from error
    elif body.kind is Kind.JSON:
        tree = body.content
    else:
        raise NotTakenApartError("a POSLog is wanted, as XML or as JSON")
    found = list(_called("Transaction", tree))
    if not found:
        raise NotTakenApartError("there is no Transaction in it")
    return found


def plain(element: Element) -> Any:
    """An element as JSON would have it: its children by local name, several as a list, its text as ``#``."""
    content: dict[str, Any] = {f"@{_local(name)}": value for name, value in element.attrib.items()}
    for child in element:
        name, value = _local(str(child.tag)), plain(child)
        if name in content:
            before = content[name]
            content[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            content[name] = value
    text = (element.text or "").strip()
    if not content:
        return text
    return content | ({"#": text} if text else {})


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2]


def _called(name: str, tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of that name, wherever it is; and the whole where it is one itself."""
    if isinstance(tree, list):
        for one in tree:
            yield from _called(name, one)
    elif isinstance(tree, dict):
        if "RetailTransaction" in tree and name not in tree:
            yield tree
        for key, value in tree.items():
            if key == name:
                yield from (one for one in _list(value) if isinstance(one, dict))
            elif isinstance(value, dict | list) and key != "RetailTransaction":
                yield from _called(name, value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _at(tree: Any, *names: str) -> Any:
    for name in names:
        tree = tree[0] if isinstance(tree, list) and tree else tree
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def text(value: Any) -> str | None:
    """The text of an element with or without attributes."""
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, Mapping):
        value = value.get("#")
    return None if value in (None, "") else text_of(value)


def _is(value: Any) -> bool:
    return (value.lower() if isinstance(value, str) else value) in _TRUE


def _steps(transaction: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What happened at the till, one after another."""
    retail = _at(transaction, "RetailTransaction")
    if not isinstance(retail, dict) or _is(transaction.get("@TrainingModeFlag")):
        yield {"kind": "training" if retail else "no sale"}
        return
    status = str(_at(transaction, "RetailTransaction", "@TransactionStatus") or "")
    if status in _SUSPENDED:
        yield {"kind": "suspended"}
        return
    lines = [one for one in _list(retail.get("LineItem")) if isinstance(one, dict)]
    is_void = status in _VOIDED or _is(transaction.get("@CancelFlag"))
    returned = 0.0 if is_void else sum(_returned(line) for line in lines)
    base, begin, end = _base(transaction), text(_first(transaction, "BeginDateTime")), _end_of(transaction)
    sold = [one for number, line in enumerate(lines) for one in _sold(line, number, begin, end)]
    if returned:
        yield {**base, "kind": "returned", "at": end, "part": "returned", "value": returned}
    if returned and not sold:
        return  # nobody has come to buy
    if begin:
        yield {**base, "kind": "begin", "at": begin, "part": "begin"}
    yield from ({**base, **one} for one in sold)
    total = _total(retail)
    if is_void:
        yield {**base, "kind": "void", "at": end, "part": "end"}
    else:
        # The total is less what was given back: that is told by itself.
        yield {
            **base,
            "kind": "end",
            "at": end,
            "part": "end",
            "value": None if total is None else total + returned,
        }


def _returned(line: dict[str, Any]) -> float:
    back = _at(line, "Return")
    is_none = back is None or _is(line.get("@VoidFlag")) or _is(line.get("@CancelFlag"))
    return 0.0 if is_none else abs(number_of(text(_at(back, "ExtendedAmount")) or 0))


def _sold(line: dict[str, Any], number: int, begin: str | None, end: str | None) -> Iterator[dict[str, Any]]:
    """A line's time is its own, else the ticket's beginning and a millisecond for each line before it."""
    sale = _at(line, "Sale")
    if sale is None or _is(line.get("@CancelFlag")):
        return
    kind = "removed" if _is(line.get("@VoidFlag")) else "added"
    when = {"at": text(line.get("BeginDateTime")) or begin, "later_ms": number + 1, "until": end}
    yield {**when, "kind": kind, "part": f"line-{number}", "value": text(_at(sale, "ExtendedAmount"))}


def _base(transaction: dict[str, Any]) -> dict[str, Any]:
    retail = transaction["RetailTransaction"]
    store = text(transaction.get("RetailStoreID")) or text(_at(transaction, "BusinessUnit", "UnitID"))
    places = (transaction.get(name) for name in ("WorkstationID", "BusinessDayDate", "SequenceNumber"))
    named = [text(one) for one in places]
    own = text(transaction.get("TransactionID"))
    # A number alone comes again the next day, or at the next till: without the rest it tells nothing apart.
    parts = [store, *named] if all((store, *named)) else [store, own] if own else []
    ticket = ":".join(part or "" for part in parts) or None
    customer = text(_at(retail, "Customer", "CustomerID")) or text(_at(retail, "LoyaltyAccount", "LoyaltyID"))
    if customer is None:
        lines = (_at(line, "LoyaltyReward", "LoyaltyID") for line in _list(retail.get("LineItem")))
        customer = next((text(one) for one in lines if one is not None), None)
    currency = text(transaction.get("CurrencyCode")) or text(retail.get("CurrencyCode"))
    return {"store": store, "ticket": ticket, "customer": customer, "currency": currency}


def _first(transaction: dict[str, Any], name: str) -> Any:
    own = transaction.get(name)
    return own if own is not None else _at(transaction, "RetailTransaction", name)


def _end_of(transaction: dict[str, Any]) -> str | None:
    """Version 6 has several times, told apart by their kind."""
    for name in ("EndDateTime", "ReceiptDateTime", "POSLogDateTime"):
        some = _list(_first(transaction, name))
        own = next(
            (one for one in some if _at(one, "@TypeCode") in (None, "Transaction")), some[0] if some else None
        )
        if (found := text(own)) is not None:
            return found
    return None


def _total(retail: dict[str, Any]) -> float | None:
    by_kind = {str(_at(one, "@TotalType")): text(one) for one in _list(retail.get("Total"))}
    own = next((by_kind[kind] for kind in _GRAND if by_kind.get(kind)), None)
    return None if own is None else number_of(own)


def _time(native: Native) -> int | None:
    """Of a step: its line's, else the beginning and so many milliseconds, not past the end."""
    at_ms = _ms(native, native.event.get("at"))
    if at_ms is None:
        return _ms(native, native.event.get("until"))
    until_ms = _ms(native, native.event.get("until"))
    at_ms += int(native.event.get("later_ms", 0))
    return at_ms if until_ms is None else min(at_ms, until_ms)


def _ms(native: Native, value: Any) -> int | None:
    """Mostly without a zone: then that of the store, or of the source."""
    if not value:
        return None
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        zones = native.source.get("store_zones") or {}
        name = zones.get(native.event.get("store")) or native.source.get("time_zone") or "UTC"
        at = at.replace(tzinfo=ZoneInfo(name))
    return int(at.astimezone(UTC).timestamp() * 1000)


def _positive(native: Native) -> float | None:
    value = native.event.get("value")
    return None if value is None else abs(number_of(value))


_MONEY: Final[dict[str, Field]] = {"value": _positive, "currency": "currency | upper"}
_TICKET: Final = {"order_id": "ticket | str"}
TABLE: Final = Table(
    kind="kind",
    rules={
        "begin": [Rule("basket_opened")],
        "added": [Rule("product_added", _MONEY)],
        "removed": [Rule("product_removed", _MONEY)],
        "returned": [Rule("order_refunded", _MONEY)],
        "void": [Rule("basket_voided")],
        "end": [Rule("sale_completed", {**_MONEY, **_TICKET})],
    },
    fields={
        "event_id": "'{ticket}:{part}'",
        "occurred_at": _time,
        "channel": "'pos'",
        "session_id": "ticket | str",
        "customer_id": "customer | str",
        "store_id": "store | cap(64)",
    },
)
FAMILIES: Final = (Family("poslog", TABLE, _take_apart, Reply(200), scheme="header", user_agent="''"),)
