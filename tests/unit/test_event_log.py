"""The packed log of a session behaves as a sorted list of events."""

import time
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sessions.event_log import NOWHERE, Entry, EventLog, names_of
from schemas.events import EVENT_TYPES

WEB, APP = ("web", None, "north", "mobile", None), ("web", "s", None, None, "spring")


def entries() -> st.SearchStrategy[Entry]:
    texts = st.one_of(st.none(), st.sampled_from(["payment", "address", "é"]), st.text(min_size=1, max_size=64))
    return st.builds(
        Entry,
        st.integers(0, 20),
        st.one_of(st.sampled_from("abc"), st.text(min_size=1, max_size=64)),
        st.sampled_from(EVENT_TYPES),
        st.one_of(st.none(), st.integers(0, 10**16)),
        texts,
        texts,
        st.sampled_from([WEB, APP]),
    )


def put(log: EventLog, model: list[Entry], entry: Entry) -> None:
    """Put it last where it is later than all, else where it belongs, as a session does."""
    at = bisect_left(model, entry.key, key=lambda one: one.key)
    if not model or entry.at_ms > model[-1].at_ms:
        assert log.entry_at(log.put_last(entry)) == entry
    elif at < len(model) and model[at].key == entry.key:
        assert log.put(entry) == NOWHERE
        return
    else:
        assert log.entry_at(log.put(entry)) == entry
    model.insert(at, entry)


@settings(max_examples=200)
@given(st.lists(entries(), max_size=40), entries(), st.integers(0, 21))
def test_events_are_kept_in_order_each_once(given_entries: list[Entry], sought: Entry, cutoff: int) -> None:
    log, model = EventLog(names_of(WEB)), list[Entry]()
    for entry in given_entries:
        put(log, model, entry)
    assert log.log == model
    position = log.position_of(*sought.key)
    assert [one for _, one in log.entries(position)] == [one for one in model if one.key >= sought.key]
    log.drop_before(log.position_of(cutoff, ""))
    log.drop_names()
    assert log.log == [one for one in model if one.at_ms >= cutoff]
    again = EventLog(log.names)
    again.restore(bytes(log.packed))
    assert again.log == log.log


@settings(max_examples=20)
@given(st.permutations(range(300)), st.integers(0, 300))
def test_a_long_log_is_looked_up_as_a_short_one(order: list[int], cutoff: int) -> None:
    """Positions of some events are kept then, and moved when one is put before them."""
    log, model = EventLog(names_of(WEB)), list[Entry]()
    for number in order:
        put(log, model, Entry(number // 3, f"{number:03d}", "page_viewed", None, None, None, WEB))
    assert log.log == model
    for entry in model:
        assert log.entry_at(log.position_of(*entry.key)) == entry
    log.drop_before(log.position_of(cutoff, ""))
    for entry in log.log:
        assert log.put(entry) == NOWHERE
    assert log.log == [one for one in model if one.at_ms >= cutoff]


@pytest.mark.parametrize("order", ["mixed", "descending"])
def test_many_events_at_one_time_are_not_walked_one_by_one(order: str) -> None:
    """An import may stamp all of a day with one second. Walked one by one they took minutes."""
    log, started = EventLog(names_of(WEB)), time.process_time()
    ids = [f"{number * 2_654_435_761 % 2**32:010d}" for number in range(20_000)]
    for event_id in ids if order == "mixed" else sorted(ids, reverse=True):
        log.put(Entry(5, event_id, "page_viewed", None, None, None, WEB))
    assert [entry.event_id for entry in log.log] == sorted(ids)
    assert time.process_time() - started < 30


def test_names_are_shared_until_one_is_added_and_forgotten_when_there_are_many() -> None:
    shared = names_of(WEB)
    log, other = EventLog(shared), EventLog(shared)
    log.put_last(Entry(0, "a", "page_viewed", None, None, None, WEB))
    assert log.names is shared
    for number in range(1, 200):
        log.put_last(Entry(number, "a", "page_viewed", None, f"step-{number}", None, WEB))
    assert other.names == (None, WEB)
    kept = log.log[-10:]
    log.drop_before(log.position_of(190, ""))
    log.drop_names()
    assert log.log == kept
    assert len(log.names) == 12


def test_every_type_has_room() -> None:
    """Types are packed into eight bits."""
    assert len(EVENT_TYPES) <= 256
