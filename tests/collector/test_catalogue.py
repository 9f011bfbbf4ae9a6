"""What products cost, where events do not say."""

import os
from pathlib import Path

import pytest

from pipeline.collector.catalogue import Catalogue, CatalogueError
from pipeline.collector.clocks import Clock
from pipeline.collector.finishing import finish
from pipeline.collector.incoming import Apart, Native
from pipeline.collector.sources import FAMILIES
from pipeline.collector.tables import Mapper
from schemas.decoding import decode
from schemas.touchpoint import Touchpoint
from schemas.vocabulary import Vocabulary
from tests.collector.support import NOW_MS, request

CSV = "sku,name,category,price,currency\n507,Shoe,shoes,18.99,EUR\n612,Jacket,jackets,,\n"
WORDS = Vocabulary(attributes=("category",))


def added(catalogue: Catalogue, **properties: object) -> Touchpoint:
    event = {
        "type": "track",
        "event": "Product Added",
        "messageId": "m",
        "anonymousId": "a",
        "properties": properties,
    }
    native = Native(event, {}, request(), {"source": "s"}, 0)
    drafts = Mapper(FAMILIES["segment"].table).map(native, Clock(NOW_MS, Apart([])))
    assert isinstance(drafts, list)
    found = decode(finish(drafts[0], native, WORDS, catalogue).payload, WORDS)
    assert isinstance(found, Touchpoint)
    return found


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    (tmp_path / "products.csv").write_text(CSV)
    return Catalogue(tmp_path / "products.csv")


def test_price_and_category_where_an_event_lacks_them(catalogue: Catalogue) -> None:
    found = added(catalogue, product_id="507", quantity=2)
    assert (found.amount, found.currency, found.further) == (379_800, "EUR", ("shoes",))


def test_what_an_event_says_stands(catalogue: Catalogue) -> None:
    found = added(catalogue, product_id="507", quantity=2, price=1, currency="USD")
    assert (found.amount, found.currency, found.further) == (20_000, "USD", ("shoes",))


def test_what_the_catalogue_does_not_know_stays_unknown(catalogue: Catalogue) -> None:
    assert added(catalogue, product_id="1").amount is None
    assert added(catalogue, product_id="612").amount is None
    assert added(catalogue, product_id="612").further == ("jackets",)


def test_it_is_read_anew_when_it_changes_and_kept_when_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "products.ndjson"
    path.write_text('{"sku": "1", "price": 2}\n')
    catalogue = Catalogue(path)
    assert catalogue.find("1", NOW_MS) == (2.0, None, None)
    path.write_text('{"sku": "1", "price": "3.5", "currency": "eur"}\n')
    os.utime(path, ns=(1, 1))
    assert catalogue.find("1", NOW_MS + 1) == (2.0, None, None)
    assert catalogue.find("1", NOW_MS + 6_000) == (3.5, "EUR", None)
    path.write_text("rubbish\n")
    assert catalogue.find("1", NOW_MS + 12_000) == (3.5, "EUR", None)
    path.unlink()
    assert catalogue.find("1", NOW_MS + 18_000) == (3.5, "EUR", None)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("p.csv", "name,price\na,1\n", "line 2: no 'sku'"),
        ("p.csv", "sku,price\na,1\nb,much\n", "line 3: no number: 'much'"),
        ("p.ndjson", '{"sku": "a"}\n\n{"sku"\n', "line 3"),
        ("p.ndjson", '{"sku": 1.5}\n', "line 1: neither a text"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, name: str, content: str, error: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CatalogueError, match=error):
        Catalogue(tmp_path / name)
