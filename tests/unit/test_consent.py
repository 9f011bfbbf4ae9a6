"""Consent: what an event without it leaves behind."""

from typing import Any

from pipeline.core.sessions.partition import Partition
from pipeline.core.sessions.visits import Named, after, begun
from pipeline.core.sessions.walk import Journey
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import MOST_CUSTOMERS
from pipeline.model.records import Record
from pipeline.outputs.journeys import journeys_output
from schemas.touchpoint import NOBODY
from tests.support import FETCHED_MS, RULES, event_json

MINUTE = 60_000


def test_nobody_is_no_visitor_in_any_row_or_message() -> None:
    """Also where a journey is taken back that an event without consent had opened."""
    for is_compiled in (True, False):
        partition = Partition("web", RULES, is_compiled=is_compiled)
        values = [
            event_json(0, type="product_added", event_id="a", visitor_id="phone", consent=False),
            event_json(45 * MINUTE, type="page_viewed", event_id="z", session_id="other"),
            event_json(-MINUTE, type="product_added", event_id="b", customer_id="anna", consent=False),
        ]
        ended: list[Journey] = []
        for offset, value in enumerate(values):
            out = partition.process([Record(offset, -1, value)], FETCHED_MS)
            ended += [journey for _, journey in out.journeys]
            for message in journeys_output("web", out.journeys, out.version).messages:
                body: Any = message.body
                assert (body.visitor_id, body.customer_id) == (None, None)
        assert {journey.outcome for journey in ended} == {"abandoned", "retracted"}
        assert {(journey.visitor_id, journey.customer_id) for journey in ended} == {(None, None)}


def test_what_is_before_very_many_noes_is_nobodys() -> None:
    visit = begun(0)
    for at in range(0, 4 * MOST_CUSTOMERS, 2):
        visit = after(after(visit, Named(at, at, None, NOBODY)), Named(at + 1, at + 1, "anna", None))
    assert len(visit.denied) == 2 * MOST_CUSTOMERS
    assert all(visit.is_denied(at) for at in range(0, 4 * MOST_CUSTOMERS, 2))
    assert not visit.is_denied(4 * MOST_CUSTOMERS - 1)
    assert after(visit, Named(9_000, 9_000, None, NOBODY)).denied[-1] == NEVER_MS
