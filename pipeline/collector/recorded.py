"""Requests from a file: recorded ones, one body, or rows of a table; for trying a mapping out and for history."""

import csv
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from pipeline.collector.incoming import Incoming
from schemas.times import parse_rfc3339

_TABLES: Final = {".csv": ",", ".tsv": "\t"}
_LINES: Final = (".ndjson", ".jsonl")


class RecordedError(ValueError):
    """The file cannot be read; the message says where and why."""


class Recorded(NamedTuple):
    line: int
    """Where it stands, from 1."""
    request: Incoming


def requests_in(path: Path, below: str, headers: Mapping[str, str], skipped: int = 0) -> Iterator[Recorded]:
    """The requests of a file.

    ``.ndjson``: a body a line, or a recorded request (``method``, ``path``, ``headers``, ``body_b64``,
    ``received_at``). ``.csv``, ``.tsv``: a row a body, as JSON of texts, the names from the first line; then
    ``skipped`` lines are passed over. All others: one body. ``below``: the source's path, which recorded ones may
    begin with. ``headers``: of those that have none. Raises RecordedError, OSError.
    """
    if path.suffix in _TABLES:
        yield from _rows(path, headers, skipped)
    elif path.suffix in _LINES:
        yield from _lines(path, below, headers)
    else:
        yield Recorded(1, _plain(path.read_bytes(), headers))


def _rows(path: Path, headers: Mapping[str, str], skipped: int) -> Iterator[Recorded]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file, delimiter=_TABLES[path.suffix], strict=True)
            for number, row in enumerate(reader):
                if number < skipped:
                    continue
                if None in row or None in row.values():
                    raise RecordedError(f"{path}, line {reader.line_num}: too many or too few columns")
                yield Recorded(reader.line_num, _plain(msgspec.json.encode(row), headers))
        except (csv.Error, UnicodeDecodeError) as error:
            raise RecordedError(f"{path}: {error}") from error


def _lines(path: Path, below: str, headers: Mapping[str, str]) -> Iterator[Recorded]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield Recorded(number, _of_line(line.strip(), f"{path}, line {number}", below, headers))


def _of_line(line: bytes, place: str, below: str, headers: Mapping[str, str]) -> Incoming:
    try:
        told = msgspec.json.decode(line)
        if not isinstance(told, dict) or "body_b64" not in told:
            return _plain(line, headers)
        return _recorded(told, below)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise RecordedError(f"{place}: neither JSON nor a recorded request ({error})") from error


def _recorded(told: Mapping[str, Any], below: str) -> Incoming:
    address = urlsplit(told["path"])
    path = address.path.removeprefix(below) if address.path.startswith(f"{below}/") else address.path
    return Incoming(
        told["method"],
        path or "/",
        dict(parse_qsl(address.query, keep_blank_values=True)),
        {name.lower(): value for name, value in told["headers"].items()},
        b64decode(told["body_b64"]),
        parse_rfc3339(told["received_at"]),
        address.query,
    )


def _plain(body: bytes, headers: Mapping[str, str]) -> Incoming:
    return Incoming("POST", "/", {}, headers, body, time.time_ns() // 1_000_000)
