"""What products are and cost, where an event does not say: a file of the shop's, read anew when it changes."""

import csv
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.collector.converters import number_of, text_of

logger = logging.getLogger(__name__)
_LINES: Final = (".ndjson", ".jsonl")
_LOOK_EVERY_MS: Final = 5_000


class Product(NamedTuple):
    price: float | None
    currency: str | None
    category: str | None


class CatalogueError(ValueError):
    """The file cannot be read; the message names the line."""


class Catalogue:
    """Products by their number (SKU)."""

    def __init__(self, path: Path | None = None) -> None:
        """``.ndjson``: an object a line; all others: CSV. Read: sku, price, currency, category.

        Without a path it is empty. Raises CatalogueError, OSError.
        """
        self._path = path
        self._looked_ms = 0
        self._stamp = (0, 0)
        self._products: Mapping[str, Product] = {}
        if path is not None:
            self._stamp, self._products = _stamp(path), _read(path)

    def __len__(self) -> int:
        return len(self._products)

    def find(self, sku: str, now_ms: int) -> Product | None:
        """The product, by the file as it was seconds ago. A file that cannot be read leaves the former one."""
        if self._path is not None and now_ms - self._looked_ms >= _LOOK_EVERY_MS:
            self._looked_ms = now_ms
            self._look(self._path)
        return self._products.get(sku)

    def _look(self, path: Path) -> None:
        try:
            stamp = _stamp(path)
            if stamp != self._stamp:
                self._products = _read(path)
                self._stamp = stamp
                logger.info("%s: %d products", path, len(self._products))
        except (OSError, CatalogueError) as error:
            logger.error("the catalogue stays as it was: %s", error)


def _stamp(path: Path) -> tuple[int, int]:
    told = path.stat()
    return told.st_mtime_ns, told.st_size


def _read(path: Path) -> dict[str, Product]:
    found = {}
    for line, row in _lines(path) if path.suffix in _LINES else _rows(path):
        try:
            found[text_of(row["sku"])] = Product(
                number_of(row["price"]) if row.get("price") not in (None, "") else None,
                text_of(row["currency"]).upper() if row.get("currency") else None,
                text_of(row["category"])[:64] if row.get("category") else None,
            )
        except KeyError as error:
            raise CatalogueError(f"{path}, line {line}: no {error}") from error
        except ValueError as error:
            raise CatalogueError(f"{path}, line {line}: {error}") from error
    return found


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise CatalogueError(f"{path}, line {reader.line_num}: {error}") from error


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise CatalogueError(f"{path}, line {number}: {error}") from error
            yield number, row
