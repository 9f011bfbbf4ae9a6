"""The tables are the naive ones where values are many, sessions long, and clocks ahead, behind or missing."""

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from annotated_types import Ge
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.core.sessions.partition import Partition
from pipeline.model.dimensions import OTHER, Value, Values
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.segments import Segmenter
from pipeline.settings import PipelineSettings, SegmentsSettings
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import Source
from pipeline.tools.verify.rules import naive_rules
from tests.support import (
    DEFAULTS,
    FETCHED_MS,
    RULES,
    START_MS,
    Store,
    assert_same,
    event_json,
    log_of,
    naive_logs,
    new_windows,
    run_core,
)

MINUTE = 60_000
MOST_VALUES, MOST_LATER = 2, 3
WEB: Source = ("touchpoints.web", 0)
WEB_1: Source = ("touchpoints.web", 1)


class ListedValues(Values):
    """Writes down what it is asked to admit, as ``cx.values`` does."""

    def __init__(self) -> None:
        super().__init__(MOST_VALUES, DEFAULTS.segments.known)
        self.listed: list[Value] = []

    def admit(self, values: Iterable[Value]) -> None:
        some = list(values)
        self.listed += some
        super().admit(some)


def capped(most_later: int = MOST_LATER) -> tuple[Rules, ListedValues]:
    values = ListedValues()
    segmenter = Segmenter(DEFAULTS.segments.combinations, values)
    return replace(RULES, segmenter=segmenter, most_later=most_later), values


def naive_for(values: ListedValues) -> Any:
    few = DEFAULTS.model_copy(update={"segments": SegmentsSettings(most_values=MOST_VALUES)})
    return replace(naive_rules(few, values.listed), most_later=MOST_LATER)


STAMPS = st.sampled_from([-1, 0, 0, 0, 30_000, -295_000, -301_000, 3_600_000])
"""A record's time less its event's; -1: the record has none."""


@st.composite
def entry(draw: st.DrawFn, sessions: str) -> tuple[bytes | int, int]:
    """An event or a tick, and its record's time."""
    at_ms, stamp = draw(st.integers(0, 90)) * MINUTE // 2, draw(STAMPS)
    timestamp_ms = -1 if stamp == -1 else START_MS + at_ms + stamp
    if draw(st.integers(0, 5)) == 0:
        return at_ms, timestamp_ms
    fields = {
        "type": draw(
            st.sampled_from(["product_added", "order_completed", "checkout_started", "checkout_step_viewed"])
        ),
        "event_id": draw(st.sampled_from("abcdef")),
        "session_id": sessions + draw(st.sampled_from("112")),
        "store_id": draw(st.sampled_from([None, "s1", "s2", "s3", "s4", OTHER])),
        "device": draw(st.sampled_from([None, "d1", "d2", "d3"])),
        "step": draw(st.sampled_from([None, "p1", "p2", "p3", OTHER])),
        "value": draw(st.sampled_from([None, 19.99])),
    }
    return event_json(at_ms, **fields), timestamp_ms


def records(entries: list[tuple[bytes | int, int]]) -> list[Record]:
    plain = log_of([content for content, _ in entries])
    return [record._replace(timestamp_ms=at) for record, (_, at) in zip(plain, entries, strict=True)]


@settings(max_examples=150, deadline=None)
@given(st.lists(entry("s"), max_size=30), st.lists(entry("t"), max_size=20), st.integers(0, 2**32))
def test_any_log_gives_its_naive_tables_given_the_values_admitted(
    first: list[tuple[bytes | int, int]], second: list[tuple[bytes | int, int]], seed: int
) -> None:
    logs = {WEB: records(first), WEB_1: records(second)}
    rules, values = capped()
    found = Store()
    run_core(logs, seed, found, new_windows(rules), rules)
    assert all(count <= MOST_VALUES for count in values.counts().values())
    assert_same(found.tables(), compute(naive_logs(logs), naive_for(values)))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_as_many_later_events_as_settings_allow_at_least_make_one_too_late(is_compiled: bool) -> None:
    (least,) = (one.ge for one in PipelineSettings.model_fields["session_events"].metadata if isinstance(one, Ge))
    rules, _ = capped(most_later=int(str(least)))
    at_once = [event_json(n * 1_000, event_id=str(n)) for n in range(1, rules.most_later + 1)]
    log = log_of([*at_once, event_json(0, event_id="late")])
    for size in (len(log), 100):
        partition, letters = Partition("web", rules, is_compiled=is_compiled), 0
        for start in range(0, len(log), size):
            letters += len(partition.process(log[start : start + size], FETCHED_MS).dead_letters)
        assert letters == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(entry("s"), max_size=40), st.integers(0, 2**32))
@example([(event_json(0, type="product_added", session_id="s1", event_id=e), -1) for e in "abcdefgh"], 1)
def test_both_ways_of_taking_records_cut_anywhere_give_the_same(
    entries: list[tuple[bytes | int, int]], seed: int
) -> None:
    """With either engine, in other batches: the same events count (laws 1 and 2)."""
    log, chance = records(entries), random.Random(seed)
    rules, _ = capped(most_later=1_000)
    rules.segmenter.values.admit([("store_id", "s2"), ("store_id", "s3"), ("device", "d1"), ("device", "d2")])
    rules.segmenter.values.admit([("step", "p3"), ("step", "p1")])
    stores = []
    for is_compiled, size in ((True, 1_000), (False, 1_000), (True, 1 + chance.randrange(5))):
        partition, store = Partition("web", rules, is_compiled=is_compiled), Store()
        for start in range(0, len(log), size):
            store.take(WEB, partition.process(log[start : start + size], FETCHED_MS))
        stores.append((store.tables(), partition.accepted, partition.watermark_ms))
    assert stores[0] == stores[1] == stores[2]
