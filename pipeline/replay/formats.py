"""Files to touchpoints. A row that cannot be read is reported with its line, counted, not sent."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas.decoding import decode
from schemas.reasons import Refusal
from schemas.times import format_rfc3339

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
Reader = Callable[[Path], Iterator[Row]]


def _event(line: int, at: datetime, fields: Fields) -> Row:
    at_ms = round(at.replace(tzinfo=UTC).timestamp() * 1000)
    kept = {name: value for name, value in fields.items() if value not in (None, "")}
    return _checked(line, json.dumps(kept | {"occurred_at": format_rfc3339(at_ms)}).encode())


def _checked(line: int, payload: bytes) -> Row:
    event = decode(payload)
    if isinstance(event, Refusal):
        return BadRow(line, event.error)
    return FileEvent(line, event.at_ms, event.channel, event.session_id, payload)


def read_touchpoints(path: Path) -> Iterator[Row]:
    """NDJSON, one touchpoint event a line; sent as it stands. Empty lines are passed over."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _checked(number, line.rstrip(b"\r\n"))


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        for row in reader:
            yield reader.line_num, row


def _each(path: Path, delimiter: str, convert: Callable[[int, Any], Iterator[Row]]) -> Iterator[Row]:
    for line, row in _rows(path, delimiter):
        try:
            if None in row or None in row.values():
                raise ValueError("the line has too many or too few columns (is it cut short?)")
            yield from convert(line, row)
        except (KeyError, ValueError, ArithmeticError) as error:
            what = f"no column {error}" if isinstance(error, KeyError) else str(error)
            yield BadRow(line, what)


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
    """A shop's clickstream as published by REES46: CSV, one event a line."""
    return _each(path, ",", _click)


def _click(line: int, row: dict[str, str]) -> Iterator[Row]:
    if not row["user_session"]:
        raise ValueError("no user_session")
    at = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S UTC")
    yield _event(
        line,
        at,
        {
            "type": _REES46[row["event_type"]],
            "event_id": f"rees46-{line}",
            "channel": "web",
            "session_id": row["user_session"],
            "customer_id": row["user_id"],
            "value": float(row["price"]) if row["price"] else None,
        },
    )


def read_online_retail(path: Path) -> Iterator[Row]:
    """Invoice lines of UCI's Online Retail: CSV; one event an invoice, at its first line's time."""
    invoices: dict[str, tuple[int, Any, Decimal]] = {}
    for line, row in _rows(path, ","):
        try:
            if None in row.values():
                raise ValueError("the line has too few columns (is it cut short?)")
            number = str(row["InvoiceNo"])
            amount = Decimal(row["Quantity"] or "0") * Decimal(row["UnitPrice"] or "0")
            first = invoices.get(number, (line, row, Decimal(0)))
            invoices[number] = (first[0], first[1], first[2] + amount)
        except (KeyError, ValueError, ArithmeticError) as error:
            yield BadRow(line, str(error))
    for number, (line, invoice, total) in invoices.items():
        try:
            yield _invoice(line, number, invoice, total)
        except ValueError as error:
            yield BadRow(line, str(error))


def _invoice(line: int, number: str, row: dict[str, str], total: Decimal) -> Row:
    name = f"till-{number}"
    customer = row["CustomerID"].removesuffix(".0")
    return _event(
        line,
        datetime.strptime(row["InvoiceDate"], "%Y-%m-%d %H:%M:%S"),
        {
            "type": "order_refunded" if number.startswith("C") else "sale_completed",
            "event_id": name,
            "session_id": name,
            "channel": "pos",
            "store_id": row["Country"],
            "customer_id": customer,
            "value": float(round(abs(total), 2)),
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
