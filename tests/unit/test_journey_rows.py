"""An ended journey as a message and as a row of the table: the same said twice."""

import msgspec

from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.outputs import JourneyRow
from pipeline.core.sessions.walk import Journey
from pipeline.outputs.journeys import journey_columns, journey_messages
from schemas.journeys import JourneyMessage
from schemas.times import format_rfc3339
from sinks.tables import COLUMNS, JOURNEYS

OPENED = Entry(
    1_500,
    "e-1",
    "checkout_started",
    None,
    "address",
    "c-1",
    "v-1",
    "o-1",
    ("web", "store-1", "north", "phone", "spring"),
)
BARE = Entry(0, "e-2", "product_added", None, None, None, None, None, ("web", None, None, None, None))
STEPS = (("address", 0), ("payment", 2**32))
ROWS = [
    JourneyRow(
        "s-1",
        Journey("checkout", OPENED, 61_501, "abandoned", "timeout", 199_900, "payment", "c-2", "v-2", STEPS),
    ),
    JourneyRow("s-2", Journey("cart", BARE, 0, "retracted", None, 0, None, None, None)),
]


def test_the_row_says_what_the_message_says() -> None:
    columns = dict(zip(COLUMNS[JOURNEYS], journey_columns("web", ROWS, 7), strict=True))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row, message in zip(rows, journey_messages("web", ROWS, 7), strict=True):
        told = JourneyMessage.model_validate(msgspec.to_builtins(message.body)).model_dump()
        assert message.key == told["session_id"]
        steps = list(zip(row.pop("steps"), row.pop("step_after_ms"), strict=True))
        assert steps == ([("address", 0), ("payment", 2**32 - 1)] if message.key == "s-1" else [])
        assert dict(message.headers)["ce_id"].decode() == told.pop("id")
        del told["schema_version"]
        times = {name: format_rfc3339(row[name]) for name in ("entered_at", "ended_at")}
        assert {name: value or "" for name, value in told.items() if name != "value"} == {
            name: value for name, value in (row | times).items() if name != "value"
        }
        assert row["value"] == told["value"]


def test_nothing_of_a_journey_is_mixed_up() -> None:
    body = msgspec.json.decode(msgspec.json.encode(next(journey_messages("web", ROWS, 7)).body))
    assert body == {
        "schema_version": body["schema_version"],
        "id": "web/s-1/checkout:e-1/1500/7",
        "journey_id": "checkout:e-1",
        "funnel": "checkout",
        "session_id": "s-1",
        "customer_id": "c-2",
        "visitor_id": "v-2",
        "channel": "web",
        "store_id": "store-1",
        "region": "north",
        "device": "phone",
        "entered_at": "1970-01-01T00:00:01.500Z",
        "ended_at": "1970-01-01T00:01:01.501Z",
        "outcome": "abandoned",
        "reason": "timeout",
        "last_step": "payment",
        "value": 19.99,
        "version": 7,
    }
