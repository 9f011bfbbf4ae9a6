"""POSLog of tills: made from the standard's public documents."""

import re

import pytest

from tests.collector.support import intake, problem, request, touchpoints

POSLOG = """<?xml version="1.0"?>
<POSLog xmlns="http://www.nrf-arts.org/IXRetail/namespace/" xmlns:acs="urn:x"><Transaction>
 <RetailStoreID>17</RetailStoreID><WorkstationID>3</WorkstationID><SequenceNumber>42</SequenceNumber>
 <BusinessDayDate>2026-11-28</BusinessDayDate><OperatorID>Jane</OperatorID><CurrencyCode>EUR</CurrencyCode>
 <BeginDateTime>2026-11-28T04:58:00</BeginDateTime><EndDateTime>2026-11-28T04:59:00</EndDateTime>
 <RetailTransaction TransactionStatus="Finished">
  <LineItem><acs:SequenceNumber>1</acs:SequenceNumber><Sale><ItemID>1</ItemID><ExtendedAmount>2.50</ExtendedAmount></Sale></LineItem>
  <LineItem VoidFlag="true"><Sale><ItemID>2</ItemID><ExtendedAmount>7.00</ExtendedAmount></Sale></LineItem>
  <LineItem><Tender><Amount>2.50</Amount></Tender></LineItem>
  <LineItem><LoyaltyReward><LoyaltyID>L-5</LoyaltyID></LoyaltyReward></LineItem>
  <Total TotalType="TransactionGrandAmount">2.50</Total>
 </RetailTransaction></Transaction>
 <Transaction><ControlTransaction/></Transaction></POSLog>"""


def test_a_ticket_of_a_till() -> None:
    found = touchpoints(intake("poslog", time_zone="Europe/Berlin"), request(POSLOG.encode()))
    assert [(event["type"], event["occurred_at"], event.get("value")) for event in found] == [
        ("basket_opened", "2026-11-28T03:58:00.000Z", None),
        ("product_added", "2026-11-28T03:58:00.001Z", 2.5),
        ("product_removed", "2026-11-28T03:58:00.002Z", 7.0),
        ("sale_completed", "2026-11-28T03:59:00.000Z", 2.5),
    ]
    assert {event["session_id"] for event in found} == {"17:3:2026-11-28:42"}
    assert {event["store_id"] for event in found} == {"17"}
    assert {event["customer_id"] for event in found} == {"L-5"}
    assert "Jane" not in str(found)


def test_the_zone_of_a_store() -> None:
    zones = {"17": "America/New_York"}
    found = touchpoints(intake("poslog", store_zones=zones), request(POSLOG.encode()))
    assert found[-1]["occurred_at"] == "2026-11-28T09:59:00.000Z"


@pytest.mark.parametrize(
    ("before", "after", "types"),
    [
        (
            'Status="Finished"',
            'Status="Voided"',
            ["basket_opened", "product_added", "product_removed", "basket_voided"],
        ),
        (
            "<Transaction>\n",
            '<Transaction CancelFlag="true">\n',
            ["basket_opened", "product_added", "product_removed", "basket_voided"],
        ),
        ("<Transaction>\n", '<Transaction TrainingModeFlag="true">\n', []),
        ('Status="Finished"', 'Status="Suspended"', []),
        (
            "<BeginDateTime>2026-11-28T04:58:00</BeginDateTime>",
            "",
            ["product_added", "product_removed", "sale_completed"],
        ),
    ],
)
def test_how_a_ticket_ends(before: str, after: str, types: list[str]) -> None:
    assert before in POSLOG
    found = touchpoints(intake("poslog"), request(POSLOG.replace(before, after, 1).encode()))
    assert [event["type"] for event in found] == types


RETURN = "<LineItem{}><Return><ExtendedAmount>-3.00</ExtendedAmount></Return></LineItem><Total"


def told_by_till(xml: str) -> list[tuple[str, float | None]]:
    found = touchpoints(intake("poslog"), request(xml.encode()))
    return [(event["type"], event.get("value")) for event in found if not event["type"].startswith("product")]


def test_a_mixed_ticket_is_a_refund_and_a_sale() -> None:
    mixed = POSLOG.replace("<Total", RETURN.format(""), 1).replace(">2.50</Total>", ">-0.50</Total>")
    assert told_by_till(mixed) == [("order_refunded", 3.0), ("basket_opened", None), ("sale_completed", 2.5)]
    voided = POSLOG.replace("<Total", RETURN.format(' VoidFlag="true"'), 1)
    assert told_by_till(voided) == [("basket_opened", None), ("sale_completed", 2.5)]
    off = mixed.replace('Status="Finished"', 'Status="Voided"')
    assert told_by_till(off) == [("basket_opened", None), ("basket_voided", None)]


def test_who_only_brings_something_back_has_no_basket() -> None:
    back = re.sub(r"<LineItem[ >].*</LineItem>", RETURN.format("")[:-6], POSLOG, flags=re.DOTALL)
    assert told_by_till(back) == [("order_refunded", 3.0)]


def test_a_ticket_without_a_number_of_its_own_is_refused() -> None:
    nameless = POSLOG.replace("<SequenceNumber>42</SequenceNumber>", "", 1)
    assert "session_id" in problem("poslog", nameless.encode())
    named = nameless.replace("<CurrencyCode>", "<TransactionID>T9</TransactionID><CurrencyCode>", 1)
    assert touchpoints(intake("poslog"), request(named.encode()))[0]["session_id"] == "17:T9"


def test_poslog_as_json() -> None:
    ticket = {
        "BusinessUnit": {"UnitID": "17"},
        "BusinessDayDate": "2026-11-28",
        "WorkstationID": "3",
        "SequenceNumber": 42,
        "EndDateTime": "2026-11-28T03:59:00Z",
        "RetailTransaction": {
            "LineItem": [{"Sale": {"ExtendedAmount": {"#": "2.50"}}}],
            "Total": {"@TotalType": "TransactionNetAmount", "#": "2.50"},
        },
    }
    found = touchpoints(intake("poslog"), request({"Transaction": [ticket]}))
    assert [event["type"] for event in found] == ["product_added", "sale_completed"]


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY b "x">]><POSLog>&b;</POSLog>',
        b"<POSLog><Transaction></POSLog>",
        b"<Other/>",
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Transaction>&b;</Transaction>',
    ],
)
def test_entities_and_other_xml_are_refused(xml: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML|Transaction"):
        intake("poslog").take(request(xml))
