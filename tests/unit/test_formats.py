"""File formats to touchpoints, with invented rows; bad rows are told with their line."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.tools.replay.formats import FORMATS, BadRow, FileEvent, Row

CALLS = """\
vru+line\tcall_id\tcustomer_id\tpriority\ttype\tdate\tvru_entry\tvru_exit\tvru_time\tq_start\tq_exit\tq_time\toutcome\tser_start\tser_exit\tser_time\tserver
AA01\t1\t77\t2\tPS\t990131\t0:00:31\t0:00:36\t5\t23:59:30\t0:00:30\t60\tHANG\t0\t0\t0\tX
AA01\t2\t0\t0\tPS\t990131\t0:00:31\t0:00:36\t5\t9:00:00\t9:02:00\t120\tAGENT\t0\t0\t0\tX
AA01\t3\t0\t0\tPS\t990131\t0:00:31\t0:00:36\t5\t0:00:00\t0:00:00\t0\tAGENT\t0\t0\t0\tX
AA01\t4\t0
"""
RETAIL = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1001,A,LANTERN,2,2010-12-01 08:26:00,1.25,123.0,Norway
1001,B,HOLDER,3,2010-12-01 08:26:00,0.10,123.0,Norway
C1002,A,LANTERN,-1,2010-12-01 09:00:00,1.25,,Norway
1003,A,LANTERN,x,2010-12-01 09:00:00,1.25,,Norway
"""
CLICKS = """\
event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
2019-10-01 00:00:05 UTC,cart,1,2,,,35.79,u-1,s-1
2019-10-01 00:00:09 UTC,purchase,1,2,,,35.79,u-1,s-1
2019-10-01 00:00:10 UTC,dance,1,2,,,35.79,u-1,s-1
2019-10-01 00:00:11 UTC,view,1,2,,,,u-1,
"""
NPS = """\
responded_at,survey,score
2018-01-02T03:04:05Z,Order,9
2018-01-02T03:04:05Z,Order,11
"""


def read(tmp_path: Path, form: str, text: str) -> tuple[list[dict[str, Any]], list[BadRow]]:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    rows: list[Row] = list(FORMATS[form](path))
    events = [json.loads(row.payload) for row in rows if isinstance(row, FileEvent)]
    return events, [row for row in rows if isinstance(row, BadRow)]


def test_calls_join_a_queue_and_are_served_or_leave_also_over_midnight_and_a_months_end(tmp_path: Path) -> None:
    events, bad = read(tmp_path, "call-centre", CALLS)
    assert [(e["type"], e["occurred_at"], e.get("customer_id")) for e in events] == [
        ("queue_joined", "1999-01-31T23:59:30.000Z", "77"),
        ("queue_left", "1999-02-01T00:00:30.000Z", "77"),
        ("queue_joined", "1999-01-31T09:00:00.000Z", None),
        ("queue_served", "1999-01-31T09:02:00.000Z", None),
    ]
    assert [row.line for row in bad] == [5]


def test_an_invoice_is_one_sale_with_its_lines_summed(tmp_path: Path) -> None:
    events, bad = read(tmp_path, "online-retail", RETAIL)
    assert [(e["type"], e["value"], e["store_id"], e.get("customer_id")) for e in events] == [
        ("sale_completed", 2.8, "Norway", "123"),
        ("order_refunded", 1.25, "Norway", None),
    ]
    assert [row.line for row in bad] == [5]


def test_clicks_keep_their_session_and_price(tmp_path: Path) -> None:
    events, bad = read(tmp_path, "rees46", CLICKS)
    assert [(e["type"], e["session_id"], e["value"]) for e in events] == [
        ("product_added", "s-1", 35.79),
        ("order_completed", "s-1", 35.79),
    ]
    assert [(row.line, row.problem) for row in bad] == [
        (4, "event_type: 'dance' is none of view, cart, remove_from_cart, purchase"),
        (5, "no user_session"),
    ]


def test_answers_are_checked_like_any_event(tmp_path: Path) -> None:
    events, (bad,) = read(tmp_path, "nps", NPS)
    assert [(e["survey"], e["score"]) for e in events] == [("nps", 9.0)]
    assert bad.line == 3
    assert "score" in bad.problem


@pytest.mark.parametrize("line", ["{}", "nonsense", '{"event_id": "a"}'])
def test_touchpoints_are_sent_as_they_stand_or_reported(tmp_path: Path, line: str) -> None:
    good = (
        '{"event_id":"a","type":"page_viewed","occurred_at":"2026-03-02T09:00:00Z",'
        '"channel":"web","session_id":"s","unknown":1}'
    )
    events, bad = read(tmp_path, "touchpoints", f"{good}\n\n{line}\n")
    assert events == [json.loads(good)]
    assert [row.line for row in bad] == [3]
