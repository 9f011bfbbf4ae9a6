"""Files to touchpoints. A row that cannot be read is reported with its line, counted, not sent."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from pipeline.tools.replay.files import lines, rows
from schemas.decoding import decode
from schemas.reasons import Refusal
from schemas.times import format_rfc3339
from schemas.vocabulary import CONTRACT, Vocabulary

Fields = dict[str, Any]


class FileEvent(NamedTuple):
    """One event of a file. ``line``: of the row it came from."""

    line: int
    at_ms: int
    channel: str
    session_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class BadRow:
    line: int
    problem: str


Row = FileEvent | BadRow
#: What is wrong with a row, and not with the file.
_BAD_ROW: Final = (KeyError, ValueError, ArithmeticError)
Reader = Callable[[Path], Iterator[Row]]


def _event(line: int, at: datetime, fields: Fields) -> Row:
    at_ms = round(at.replace(tzinfo=UTC).timestamp() * 1000)
    kept = {name: value for name, value in fields.items() if value not in (None, "")}
    # NaN is no JSON: a ValueError here is a bad row.
    text = json.dumps(kept | {"occurred_at": format_rfc3339(at_ms)}, allow_nan=False)
    return _checked(line, text.encode())


def _checked(line: int, payload: bytes, words: Vocabulary = CONTRACT) -> Row:
    event = decode(payload, words)
    if isinstance(event, Refusal):
        return BadRow(line, event.error)
    return FileEvent(line, event.at_ms, event.channel, event.session_id, payload)


def read_touchpoints(path: Path, words: Vocabulary = CONTRACT) -> Iterator[Row]:
    """NDJSON, one touchpoint event a line; sent as it stands. Empty lines are passed over."""
    for number, line in lines(path):
        yield _checked(number, line, words)


def _each(path: Path, delimiter: str, convert: Callable[[int, Any], Iterator[Row]]) -> Iterator[Row]:
    for line, row in rows(path, delimiter):
        try:
            _require_whole(row)
            yield from convert(line, row)
        except _BAD_ROW as error:
            yield BadRow(line, _problem(error))


def _require_whole(row: Mapping[str | None, str | None]) -> None:
    if None in row or None in row.values():
        raise ValueError("the line has too many or too few columns (is it cut short?)")


def _problem(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no column {error}"
    return "a number cannot be read" if isinstance(error, ArithmeticError) else str(error)


def read_call_centre(path: Path) -> Iterator[Row]:
    """A call centre's queue: TSV, one call a line; those that waited and were served or hung up."""
    return _each(path, "\t", _call)


def _call(line: int, row: dict[str, str]) -> Iterator[Row]:
    if int(row["q_time"]) <= 0 or row["outcome"] not in ("AGENT", "HANG"):
        return
    day = row["date"]
    joined = datetime.strptime(f"19{day} {row['q_start']}", "%Y%m%d %H:%M:%S")
    left = datetime.strptime(f"19{day} {row['q_exit']}", "%Y%m%d %H:%M:%S")
    if left < joined:
        left = left.replace(day=left.day) + _ONE_DAY
    base = {
        "channel": "pos",
        "store_id": "call-centre",
        "session_id": f"call-{line}",
        "customer_id": row["customer_id"] if row["customer_id"] != "0" else None,
    }
    kind = "queue_served" if row["outcome"] == "AGENT" else "queue_left"
    yield _event(line, joined, base | {"type": "queue_joined", "event_id": f"call-{line}-in"})
    yield _event(line, left, base | {"type": kind, "event_id": f"call-{line}-out"})


_ONE_DAY: Final = datetime(1970, 1, 2) - datetime(1970, 1, 1)
_REES46: Final = {
    "view": "product_viewed",
    "cart": "product_added",
    "remove_from_cart": "product_removed",
    "purchase": "order_completed",
}


def read_rees46(path: Path) -> Iterator[Row]:
    """A shop's clickstream as published by REES46: CSV, one event a line. A row that stands there twice is one
    event.
    """
    yield from _each(path, ",", _Clicks().event)


class _Clicks:
    """Rows of one clickstream; those of one second are remembered, for copies stand near one another."""

    def __init__(self) -> None:
        self._time = ""
        self._seen: set[tuple[str, ...]] = set()

    def event(self, line: int, row: dict[str, str]) -> Iterator[Row]:
        at = row["event_time"]
        if at != self._time:
            self._time, self._seen = at, set()
        content = tuple(row.values())
        if content not in self._seen:
            self._seen.add(content)
            yield _click(line, row)


def _click(line: int, row: dict[str, str]) -> Row:
    if not row["user_session"]:
        raise ValueError("no user_session")
    kind = _REES46.get(row["event_type"])
    if kind is None:
        raise ValueError(f"event_type: {row['event_type']!r} is none of {', '.join(_REES46)}")
    at = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S UTC")
    return _event(
        line,
        at,
        {
            "type": kind,
            "event_id": f"rees46-{line}",
            "channel": "web",
            "session_id": row["user_session"],
            "customer_id": row["user_id"],
            "value": float(row["price"]) if row["price"] else None,
        },
    )


@dataclass(slots=True)
class _Invoice:
    line: int
    row: dict[str, str]
    total: Decimal = Decimal(0)
    sold: bool = False
    """Whether anything was handed over: a line with a positive quantity."""


def read_online_retail(path: Path) -> Iterator[Row]:
    """Invoice lines of UCI's Online Retail: CSV; one event an invoice, at its first line's time.

    Numbers alone are sales, those with a C before them cancellations; others (bad debt) are neither. A sale of
    nothing is a stock check.
    """
    invoices: dict[str, _Invoice] = {}
    for line, row in rows(path, ","):
        try:
            _require_whole(row)
            whole = cast(dict[str, str], row)
            quantity = Decimal(whole["Quantity"] or "0")
            amount = quantity * Decimal(whole["UnitPrice"] or "0")
            invoice = invoices.setdefault(whole["InvoiceNo"], _Invoice(line, whole))
            invoice.total += amount
            invoice.sold = invoice.sold or quantity > 0
        except _BAD_ROW as error:
            yield BadRow(line, _problem(error))
    for number, invoice in invoices.items():
        try:
            yield _sale(number, invoice)
        except _BAD_ROW as error:
            yield BadRow(invoice.line, _problem(error))


def _sale(number: str, invoice: _Invoice) -> Row:
    is_cancelled = number.startswith("C")
    if not number.removeprefix("C").isdigit():
        raise ValueError(f"InvoiceNo: {number!r} is neither a sale nor a cancellation (C...)")
    if not is_cancelled and not invoice.sold:
        raise ValueError(f"invoice {number}: nothing was sold (no positive quantity)")
    name, row = f"till-{number}", invoice.row
    return _event(
        invoice.line,
        datetime.strptime(row["InvoiceDate"], "%Y-%m-%d %H:%M:%S"),
        {
            "type": "order_refunded" if is_cancelled else "sale_completed",
            "event_id": name,
            "session_id": name,
            "channel": "pos",
            "order_id": number,
            "store_id": row["Country"],
            "customer_id": row["CustomerID"].removesuffix(".0"),
            "value": float(round(abs(invoice.total), 2)),
        },
    )


def read_nps(path: Path) -> Iterator[Row]:
    """Answers to 'would you recommend us': CSV with responded_at and score."""
    return _each(path, ",", _answer)


def _answer(line: int, row: dict[str, str]) -> Iterator[Row]:
    at = datetime.strptime(row["responded_at"], "%Y-%m-%dT%H:%M:%SZ")
    name = f"nps-{line}"
    fields = {"type": "survey_answered", "survey": "nps", "score": float(row["score"]), "channel": "app"}
    yield _event(line, at, fields | {"session_id": name, "event_id": name})


FORMATS: Final[dict[str, Reader]] = {
    "touchpoints": read_touchpoints,
    "call-centre": read_call_centre,
    "rees46": read_rees46,
    "online-retail": read_online_retail,
    "nps": read_nps,
}


def reader_of(file_format: str, words: Vocabulary) -> Reader:
    """The reader of a format. Touchpoints of our own are in the words of the shop."""
    return partial(read_touchpoints, words=words) if file_format == "touchpoints" else FORMATS[file_format]
