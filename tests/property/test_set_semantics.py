"""Law 1: the final tables are a function of the set of valid events, checked against ``naive``."""

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import NaiveRules, Source
from schemas.events import EVENT_TYPES
from tests.support import (
    NAIVE,
    OWN_NAIVE,
    OWN_RULES,
    RULES,
    Store,
    assert_same,
    event_json,
    log_of,
    naive_logs,
    new_windows,
    run_core,
    run_cuts,
)

MINUTE = 60_000
HOUR = 60 * MINUTE

# Few sessions, few ids and times on the timeouts' edges: collisions and ties are what is looked for.
GAPS = st.sampled_from([0, 1, 999, 5_000, 10_000, 2 * MINUTE, 2 * MINUTE + 1, 10 * MINUTE, 15 * MINUTE])
KINDS = st.one_of(
    st.sampled_from(["product_added", "order_completed", "checkout_started", "products_searched", "queue_joined"]),
    st.sampled_from(["product_added", "product_removed"]),
    st.sampled_from(EVENT_TYPES),
)
#: The first is a dead letter but where the shop has added it.
OWN_KINDS = st.one_of(
    KINDS, st.sampled_from(["order_collected", "order_completed", "cart_viewed", "form_started"])
)


@st.composite
def touchpoints(draw: st.DrawFn, longest_ms: int, sessions: str) -> list[bytes]:
    """Events of one web partition, in order of time, spanning at most ``longest_ms``."""
    at_ms, events = 0, []
    for _ in range(draw(st.integers(1, 25))):
        at_ms += draw(GAPS)
        if at_ms > longest_ms:
            break
        events.append(event_json(at_ms, **draw(fields(sessions))))
    return events


@st.composite
def fields(draw: st.DrawFn, sessions: str, kinds: st.SearchStrategy[str] = KINDS) -> dict[str, Any]:
    kind = draw(kinds)
    found: dict[str, Any] = {
        "type": kind,
        "event_id": draw(st.sampled_from(["a", "b", "é", "c-1", "c-2", "c-3"])),
        "session_id": sessions + draw(st.sampled_from(["1", "1", "2"])),
        "customer_id": draw(st.sampled_from([None, "anna", "ben"])),
        "visitor_id": draw(st.sampled_from([None, None, "phone", "desk"])),
        "consent": draw(st.sampled_from([None, None, True, False])),
        "store_id": draw(st.sampled_from([None, "5|th=%"])),
        "device": draw(st.sampled_from([None, "mobile"])),
        "step": draw(st.sampled_from([None, "payment", "address", "pickup"])),
        "attributes": draw(st.sampled_from([None, {"loyalty": "gold"}, {"loyalty": 1, "tier": "5|th=%"}])),
        "value": draw(st.sampled_from([None, 0, 0.00005, 19.99, 1e12])),
        "currency": draw(st.sampled_from([None, None, "EUR", "USD"])),
    }
    if kind == "survey_answered":
        survey = draw(st.sampled_from(["csat", "nps", "ces"]))
        found |= {"survey": survey, "score": draw(st.sampled_from([0, 1, 4, 5, 3.9999]))}
        if survey == "nps":
            found["score"] = draw(st.sampled_from([0, 6, 6.5, 7, 8.9, 9, 10]))
        if survey == "ces":  # 0 is none: a dead letter, whose offset is another one in another order
            found["score"] = draw(st.sampled_from([1, 4, 5, 3.9999, 7]))
    return found


WEB: Source = ("touchpoints.web", 0)
WEB_1: Source = ("touchpoints.web", 1)


@settings(max_examples=100)
@given(touchpoints(40 * MINUTE, "s"), touchpoints(40 * MINUTE, "t"), st.integers(0, 2**32))
def test_any_order_duplication_and_cut_gives_the_naive_tables_of_the_ordered_log(
    first: list[bytes], second: list[bytes], seed: int
) -> None:
    closing = 2 * HOUR
    ordered = {WEB: log_of([*first, closing]), WEB_1: log_of([*second, closing])}
    expected = compute(naive_logs(ordered), NAIVE)

    chance = random.Random(seed)
    disturbed: dict[Source, list[Record]] = {}
    for source, events in ((WEB, first), (WEB_1, second)):
        # Which of two events with one identity comes first decides, so repeats follow their original.
        once = list({_identity(e): e for e in reversed(events)}.values())
        chance.shuffle(once)
        repeats = [(chance.uniform(n, len(once)), e) for n, e in enumerate(once) if chance.random() < 0.3]
        numbered = [*((float(n), e) for n, e in enumerate(once)), *repeats]
        numbered.sort(key=lambda pair: pair[0])
        disturbed[source] = log_of([*(e for _, e in numbered), closing])
    found = Store()
    run_core(disturbed, seed, found, new_windows())
    assert_same(found.tables(), expected)


@st.composite
def revived(draw: st.DrawFn) -> bytes:
    """Events of one session that open and close journeys, in any order, timeouts apart."""
    kinds = ["product_added", "product_removed", "order_completed", "checkout_started", "page_viewed"]
    kind = draw(st.sampled_from(kinds))
    return event_json(draw(st.integers(0, 8)) * 8 * MINUTE, type=kind, event_id=draw(st.sampled_from("abc")))


def logs(sessions: str) -> st.SearchStrategy[list[bytes | int]]:
    """Anything in any order: events late beyond bound, ticks, events of the wrong channel."""
    at_ms = st.integers(0, 5 * HOUR)
    event = st.builds(lambda at, more: event_json(at, **more), at_ms, fields(sessions, OWN_KINDS))
    stray = st.builds(lambda at: event_json(at, channel="app"), at_ms)
    return st.lists(st.one_of(event, event, event, at_ms, stray), max_size=25)


@pytest.mark.parametrize(
    ("shop", "naive"), [(RULES, NAIVE), (OWN_RULES, OWN_NAIVE)], ids=["as it is", "words of its own"]
)
@settings(max_examples=100)
@given(first=logs("s"), second=logs("t"), seed=st.integers(0, 2**32))
def test_any_log_at_all_cut_in_any_way_gives_its_naive_tables(
    shop: Rules, naive: NaiveRules, first: list[bytes | int], second: list[bytes | int], seed: int
) -> None:
    both = {WEB: log_of(first), WEB_1: log_of(second)}
    expected = compute(naive_logs(both), naive)
    found = Store()
    run_core(both, seed, found, new_windows(shop), shop)
    assert_same(found.tables(), expected)


def events(*kinds: tuple[int, str, str]) -> list[bytes | int]:
    return [event_json(minutes * MINUTE, event_id=event_id, type=kind) for minutes, event_id, kind in kinds]


#: The cart of minute 32 is there without the last two events, not with the first of them only, and with both.
TWO_LATE = events(
    (0, "a", "product_added"),
    (32, "a", "product_added"),
    (64, "a", "product_added"),
    (8, "a", "product_added"),
    (8, "b", "order_completed"),
)


#: An abandonment that is none, for what came late has emptied the cart.
EMPTIED_LATE: list[bytes | int] = [
    *events((32, "a", "product_added"), (56, "b", "page_viewed")),
    87 * MINUTE,
    *events((40, "c", "product_removed")),
]
#: The checkout of minute 24 was open when time had come to minute 77; both that open and close it came late.
CLOSED_LATE: list[bytes | int] = [
    77 * MINUTE,
    *events((32, "c", "product_added"), (24, "a", "checkout_started"), (24, "c", "order_completed")),
]


@example(items=TWO_LATE, crashed_at=4, cuts={3})
@example(items=EMPTIED_LATE, crashed_at=3, cuts=set())
@example(items=CLOSED_LATE, crashed_at=3, cuts=set())
@settings(max_examples=500)
@given(
    st.lists(st.one_of(revived(), revived(), st.integers(0, 2 * HOUR)), min_size=2, max_size=8),
    st.integers(1, 8),
    st.sets(st.integers(1, 8), max_size=2),
)
def test_what_a_crashed_run_published_is_undone_by_the_next(
    items: list[bytes | int], crashed_at: int, cuts: set[int]
) -> None:
    """Law 2, the phantom journey: cut otherwise, the replay would never publish what the crash did."""
    log = log_of(items)
    expected = compute(naive_logs({WEB: log}), NAIVE)
    found, windows = Store(), new_windows()
    run_cuts(WEB, log, range(1, min(crashed_at, len(log)) + 1), found, windows)
    run_cuts(WEB, log, [*sorted(cut for cut in cuts if cut < len(log)), len(log)], found, windows)
    assert_same(found.tables(), expected)


def _identity(event: bytes) -> tuple[str, str, str]:
    import json

    fields = json.loads(event)
    return fields["session_id"], fields["event_id"], fields["occurred_at"]
