"""Files as people have them: read, or refused in one line that says what to do."""

import gzip
from pathlib import Path

import pytest

from pipeline.tools.replay.files import FileError
from pipeline.tools.replay.formats import FORMATS, BadRow, FileEvent
from tests.support import event_json

INPUTS = Path(__file__).parent / "inputs"
EVENT = event_json(0)
HEAD = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"


def read(path: Path, form: str = "touchpoints") -> tuple[int, list[str]]:
    """How many events, and what is said of the other rows."""
    rows = list(FORMATS[form](path))
    return sum(isinstance(row, FileEvent) for row in rows), [
        row.problem for row in rows if isinstance(row, BadRow)
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + EVENT + b"\n" + EVENT + b"\n",
        gzip.compress(EVENT + b"\n\n" + EVENT),
        EVENT + b"\r\n\r\n" + EVENT + b"\r\n",
    ],
    ids=["BOM", "gzip", "CRLF"],
)
def test_ways_to_write_the_same_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read(path) == (2, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (EVENT.decode().encode("utf-16"), "UTF-16"),
        (EVENT + b"\r" + EVENT, "CR alone"),
        (b"[" + EVENT + b"]", "JSON array"),
        (gzip.compress(EVENT)[:-9], "gzip data is damaged"),
        (b"\x1f\x8bnonsense", "gzip data is damaged"),
        (b"PK\x03\x04", "ZIP archive"),
    ],
)
def test_what_is_no_such_file_is_said_in_a_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileError, match=said) as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_a_line_without_an_end_is_not_taken_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b'{"a": "' + b"x" * 5_000_000 + b'"}\n' + EVENT)
    events, problems = read(path)
    assert events == 1
    assert "at most 1048576" in problems[0]


@pytest.mark.parametrize("form", ["rees46", "online-retail", "nps"])
def test_a_table_in_another_encoding_names_the_line(form: str, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n1,2\n1,caf\xe9\n")
    with pytest.raises(FileError, match=r"line 3: is not UTF-8; iconv"):
        read(path, form)


def test_a_quote_that_nobody_closes_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(HEAD + '2019-10-01 00:00:05 UTC,"cart,1,2,,,35.79,u-1,s-1\n' + "x,y\n" * 50_000)
    with pytest.raises(FileError, match=r"line 2: .*quote"):
        read(path, "rees46")


def test_a_row_that_stands_there_twice_is_one_event(tmp_path: Path) -> None:
    row = "2019-10-01 00:00:05 UTC,cart,1,2,,,35.79,u-1,s-1\n"
    path = tmp_path / "file.csv"
    path.write_text(HEAD + row + row.replace("cart", "view") + row + row.replace("05", "06"))
    assert read(path, "rees46") == (3, [])


def test_only_sales_and_cancellations_are_taken_of_invoices(tmp_path: Path) -> None:
    head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    path = tmp_path / "file.csv"
    path.write_text(
        head
        + "A563185,B,Adjust bad debt,1,2011-08-12 14:50:00,11062.06,,United Kingdom\n"
        + "536589,21777,stock check,-10,2010-12-01 16:50:00,0,,United Kingdom\n"
        + "536590,21777,a gift,1,2010-12-01 16:50:00,0,,United Kingdom\n"
        + "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,United Kingdom\n"
        + "536591,21777,much,1e90,2010-12-01 16:50:00,1e90,,United Kingdom\n"
    )
    events, problems = read(path, "online-retail")
    assert events == 2
    assert ["A563185" in problems[0], "nothing was sold" in problems[1]] == [True, True]


def test_the_small_inputs_that_failed() -> None:
    forms = {
        "retail": "online-retail",
        "rees46": "rees46",
        "nps": "nps",
        "touchpoints": "touchpoints",
        "lone": "touchpoints",
    }
    counts: dict[str, int | str] = {}
    for path in sorted(INPUTS.iterdir()):
        form = next((form for name, form in forms.items() if path.name.startswith(name)), None)
        if form is not None:
            try:
                counts[path.name] = read(path, form)[0]
            except FileError:
                counts[path.name] = "refused"
    assert counts == {
        "lone-surrogate.ndjson": 0,
        "nps-odd.csv": 3,
        "rees46-double-rows.csv": 1,
        "rees46-odd.csv": 4,
        "retail-latin1.csv": "refused",
        "retail-odd-rows.csv": 1,
        "touchpoints-array.json": "refused",
        "touchpoints-bom.ndjson": 3,
        "touchpoints-cr.ndjson": "refused",
        "touchpoints-utf16.ndjson": "refused",
        "touchpoints.ndjson.gz": 3,
    }
