"""Each rule of funnels by an example: events of one session to its ended journeys."""

from typing import Any

import pytest

from pipeline.core.sessions.partition import Partition
from pipeline.model.rules import Rules
from tests.support import FETCHED_MS, OWN_RULES, RULES, START_MS, event_json, kept_sessions, log_of

MINUTE = 60_000
Outcome = tuple[str, str, str | None, int, int]
"""Journey id, outcome, reason, entered and ended in ms after the start."""


def journeys(
    *events: bytes, closing_ms: int = 6 * 60 * MINUTE, rules: Rules = RULES, channel: str = "web"
) -> dict[str, Any]:
    out = Partition(channel, rules).process(log_of([*events, closing_ms]), fetched_ms=FETCHED_MS)
    return {
        f"{row.journey.journey_id}@{row.journey.opened_by.at_ms - START_MS}": row.journey for row in out.journeys
    }


def added(at_ms: int, event_id: str = "a", **fields: Any) -> bytes:
    return event_json(at_ms, type="product_added", event_id=event_id, **fields)


def test_a_gap_equal_to_the_timeout_continues_and_one_above_ends() -> None:
    on_time = journeys(added(0), event_json(30 * MINUTE, type="order_completed"))
    assert on_time["cart:a@0"].outcome == "completed"
    assert on_time["cart:a@0"].ended_ms == START_MS + 30 * MINUTE
    late = journeys(added(0), event_json(30 * MINUTE + 1, type="order_completed"))
    assert late["cart:a@0"].outcome == "abandoned"
    assert late["cart:a@0"].reason == "timeout"
    assert late["cart:a@0"].ended_ms == START_MS + 30 * MINUTE


def test_any_event_counts_as_activity() -> None:
    found = journeys(
        added(0),
        event_json(20 * MINUTE, type="page_viewed"),
        event_json(45 * MINUTE, type="order_completed"),
    )
    assert found["cart:a@0"].outcome == "completed"


def test_an_event_after_the_timeout_is_taken_as_in_the_closed_state() -> None:
    found = journeys(added(0), added(31 * MINUTE, "b"))
    assert [j.outcome for j in found.values()] == ["abandoned", "abandoned"]
    assert found["cart:b@1860000"].ended_ms == START_MS + 61 * MINUTE


def test_a_second_opening_opens_nothing_new_and_a_completion_outside_means_nothing() -> None:
    found = journeys(event_json(0, type="order_completed"), added(1000), added(2000, "b"))
    assert list(found) == ["cart:a@1000"]


def test_explicit_abandonment_has_its_own_time_and_reason() -> None:
    found = journeys(
        event_json(0, type="queue_joined", event_id="q"), event_json(5_000, type="queue_left", event_id="l")
    )
    assert (found["queue:q@0"].reason, found["queue:q@0"].ended_ms) == ("explicit", START_MS + 5_000)


def test_a_journey_open_at_the_end_waits_for_the_watermark() -> None:
    timeout_and_delay = 30 * MINUTE + 5_000
    assert journeys(added(0), closing_ms=timeout_and_delay) == {}  # the watermark is at the timeout
    assert list(journeys(added(0), closing_ms=timeout_and_delay + 1)) == ["cart:a@0"]


@pytest.mark.parametrize(
    ("events", "units"),
    [
        ([added(0, value=10)], 100_000),
        ([added(0, value=10), added(1, "b", value=5)], 150_000),
        ([added(0, value=10), event_json(1, type="product_removed", value=25)], 0),
        ([added(0), added(1, "b", value=5, currency="USD")], 0),
        ([added(0, value=10), event_json(1, type="checkout_started", value=8.5)], 85_000),
        ([added(0, value=10), event_json(1, type="checkout_started")], 100_000),
        ([added(0, value=10), event_json(1, type="order_completed", value=7)], 70_000),
        ([added(0, value=10), event_json(1, type="sale_completed")], 100_000),
    ],
)
def test_value(events: list[bytes], units: int) -> None:
    assert journeys(*events)["cart:a@0"].value == units


def test_step_customer_and_dimensions() -> None:
    found = journeys(
        added(0, device="mobile", customer_id="anna"),
        event_json(1, type="page_viewed", step="address", device="desktop"),
        event_json(2, type="page_viewed", customer_id="ben"),
        event_json(3, type="order_completed", step="review"),
        event_json(4, type="page_viewed", step="later", customer_id="carl"),
    )
    journey = found["cart:a@0"]
    assert (journey.last_step, journey.customer_id) == ("review", "ben")
    assert journey.steps == (("address", 1), ("review", 3))
    assert journey.opened_by.dims[3] == "mobile"


def test_ties_are_broken_by_the_bytes_of_the_event_id() -> None:
    found = journeys(event_json(0, type="order_completed", event_id="b"), added(0, "a"))
    assert found["cart:a@0"].outcome == "completed"
    found = journeys(event_json(0, type="order_completed", event_id="a"), added(0, "b"))
    assert found["cart:b@0"].outcome == "abandoned"


def test_a_long_lived_session_keeps_only_what_can_still_change() -> None:
    partition = Partition("web", RULES)
    for hour in range(12):
        batch = [added(hour * 60 * MINUTE + n * MINUTE, f"{hour}-{n}") for n in range(0, 60, 5)]
        partition.process(log_of(batch, start=hour * 100), fetched_ms=FETCHED_MS)
    (session,) = kept_sessions(partition).values()
    assert len(session.entries) < 60
    out = partition.process(log_of([20 * 60 * MINUTE], start=5_000), fetched_ms=FETCHED_MS)
    assert [row.journey.journey_id for row in out.journeys] == ["cart:0-0"]
    assert len(partition.sessions) == 0


def test_click_and_collect_begins_with_an_order_that_is_picked_up_and_with_no_other() -> None:
    """The example of docs/funnels.md."""
    ordered = event_json(0, type="order_completed", event_id="o", step="pickup")
    fetched = event_json(90 * MINUTE, type="order_collected", event_id="c")
    found = journeys(ordered, fetched, rules=OWN_RULES)
    assert {name: one.outcome for name, one in found.items()} == {"pickup:o@0": "completed"}
    delivered = event_json(0, type="order_completed", event_id="o", step="payment")
    assert journeys(delivered, fetched, rules=OWN_RULES) == {}
    waited = journeys(ordered, rules=OWN_RULES)
    assert {name: (one.outcome, one.reason) for name, one in waited.items()} == {
        "pickup:o@0": ("abandoned", "timeout")
    }


def test_a_step_is_asked_for_where_the_shop_says_so() -> None:
    bought = event_json(MINUTE, type="order_completed", event_id="b")
    at_step = event_json(MINUTE, type="order_completed", event_id="b", step="payment")
    assert journeys(added(0), bought, rules=OWN_RULES)["cart:a@0"].outcome == "abandoned"
    assert journeys(added(0), at_step, rules=OWN_RULES)["cart:a@0"].outcome == "completed"


def test_a_channel_is_asked_for_where_the_shop_says_so() -> None:
    """Forms begin in the app; on the web at the address of a cart."""
    for channel, opened in (("app", {"form:f@0"}), ("web", {"form:v@1"})):
        begun = event_json(0, type="form_started", event_id="f", channel=channel)
        viewed = event_json(1, type="cart_viewed", event_id="v", channel=channel, step="address")
        found = journeys(begun, viewed, rules=OWN_RULES, channel=channel)
        assert set(found) == opened, channel


def test_a_funnel_that_is_switched_off_is_not_followed_and_a_renamed_one_has_its_new_name() -> None:
    searched = event_json(0, type="products_searched", event_id="s")
    assert set(journeys(searched)) == {"search:s@0"}
    assert journeys(searched, rules=OWN_RULES) == {}
    basket = event_json(0, type="basket_opened", event_id="b", channel="pos", store_id="s")
    assert set(journeys(basket, rules=OWN_RULES, channel="pos")) == {"till:b@0"}


def test_the_dimensions_of_a_journey_are_those_of_its_opening_event_also_those_of_the_shop() -> None:
    first = added(0, attributes={"loyalty": "gold", "tier": 7})
    found = journeys(first, event_json(1, attributes={"loyalty": "tin"}), rules=OWN_RULES)
    assert found["cart:a@0"].opened_by.dims == ("web", None, None, None, None, "gold", None)


def removed(at_ms: int, event_id: str = "r", **fields: Any) -> bytes:
    return event_json(at_ms, type="product_removed", event_id=event_id, **fields)


def ending(found: dict[str, Any], name: str = "cart:a@0") -> tuple[str, str | None]:
    return found[name].outcome, found[name].reason


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ([removed(1)], ("emptied", "emptied")),
        ([added(1, "b"), removed(2)], ("abandoned", "timeout")),
        ([added(1, "b"), removed(2), removed(3, "s")], ("emptied", "emptied")),
        ([removed(1), removed(2, "s"), added(3, "b")], ("abandoned", "timeout")),  # never below none
        ([removed(1), event_json(2, type="order_completed")], ("completed", None)),
    ],
)
def test_a_cart_that_times_out_with_nothing_in_it_is_emptied(
    after: list[bytes], outcome: tuple[str, str | None]
) -> None:
    found = journeys(added(0, value=20), *after)
    assert ending(found) == outcome
    if outcome[0] == "emptied":
        assert found["cart:a@0"].ended_ms == journeys(added(0), *after)["cart:a@0"].ended_ms


def test_an_emptied_cart_is_in_no_counter_but_that_of_its_opening() -> None:
    out = Partition("web", RULES).process(
        log_of([added(0, value=5), removed(1), 60 * MINUTE]), fetched_ms=FETCHED_MS
    )
    counted = {name for tile in out.tiles if tile.segment == "all" for name, n in tile.counters.items() if n}
    assert counted == {"events", "cart_opened"}


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_late_event_can_empty_a_cart_and_another_fill_it_again(is_compiled: bool) -> None:
    partition, offset, seen = Partition("web", RULES, is_compiled=is_compiled), 0, []
    batches: list[list[bytes | int]] = [[added(0), 31 * MINUTE], [removed(10)], [added(20, "z")]]
    for values in batches:
        out = partition.process(log_of(values, start=offset), fetched_ms=FETCHED_MS)
        offset += len(values)
        seen.append([row.journey.outcome for row in out.journeys if row.journey.journey_id == "cart:a"])
    assert seen == [["abandoned"], ["emptied"], ["abandoned"]]


def test_checkouts_have_no_lines_and_a_shop_can_say_what_has() -> None:
    begun = event_json(0, type="checkout_started", event_id="a")
    assert ending(journeys(begun, removed(1)), "checkout:a@0") == ("abandoned", "timeout")
    form = event_json(0, type="cart_viewed", event_id="a", step="address")
    filled = event_json(1, type="product_viewed", event_id="f", step="payment")
    assert ending(journeys(form, rules=OWN_RULES), "form:a@0") == ("emptied", "emptied")
    assert ending(journeys(form, filled, rules=OWN_RULES), "form:a@0") == ("abandoned", "timeout")
    emptied = event_json(2, type="page_viewed", event_id="g")
    assert ending(journeys(form, filled, emptied, rules=OWN_RULES), "form:a@0") == ("emptied", "emptied")
