"""Recovery: what a state is made of, and what stops it."""

import hashlib

import pytest

from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import BEGINNING
from pipeline.durability.store import CheckpointError
from pipeline.model.records import ClockRefusal
from pipeline.model.rules import Rules
from schemas.reasons import Reason
from tests.checkpointing import HOUR, SOURCE, Worker, added
from tests.support import RULES, START_MS, log_of


def stored(offset: int = 5) -> MemoryCheckpoints:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(*(added(n) for n in range(offset)))
    worker.checkpoint()
    return store


def test_a_committed_offset_without_a_manifest_stops() -> None:
    store = MemoryCheckpoints()
    store.commits[SOURCE] = 0
    assert Worker(store).resumed_at == BEGINNING  # nothing was ever done
    store.commits[SOURCE] = 12
    with pytest.raises(CheckpointError, match=r"touchpoints.web:0: .*offset 12.*CX_PIPELINE__REBUILD"):
        Worker(store)
    assert Worker(store, rebuild=True).resumed_at == BEGINNING


def test_other_rules_stop() -> None:
    store = stored()
    with pytest.raises(CheckpointError, match="other funnels, segments, lateness, currency or customer key"):
        Worker(store, digest="other")
    again = Worker(store, digest="other", rebuild=True)
    assert (again.resumed_at, again.leases.committable()) == (BEGINNING, {SOURCE: 0})


def test_a_higher_generation_begins_anew_a_lower_one_stops() -> None:
    store = stored()
    store.commits[SOURCE] = 5
    newer = Rules(RULES.funnels, RULES.segmenter, generation=2)
    worker = Worker(store, newer)
    assert (worker.resumed_at, worker.leases.committable()) == (BEGINNING, {SOURCE: 0})
    worker.process(added(0))
    worker.checkpoint()
    assert Worker(store, newer).resumed_at == 1
    with pytest.raises(CheckpointError, match="generation 2, CX_PIPELINE__GENERATION is 1"):
        Worker(store)


def test_records_that_are_gone_before_they_were_read_stop() -> None:
    store = stored(5)
    store.starts[SOURCE] = 5
    assert Worker(store).resumed_at == 5
    store.starts[SOURCE] = 9
    with pytest.raises(CheckpointError, match="records 5 to 8 are gone"):
        Worker(store)


def test_a_shard_that_is_not_as_it_was_stored_stops() -> None:
    store = stored()
    log = store.logs[SOURCE]
    at = next(n for n, record in enumerate(log) if record is not None and "sessions" in record[0])
    record = log[at]
    assert record is not None
    log[at] = (record[0], b"[]")
    with pytest.raises(CheckpointError, match="not as it was stored"):
        Worker(store)
    assert Worker(store, rebuild=True).resumed_at == BEGINNING
    log[at] = None
    with pytest.raises(CheckpointError, match="are not there: sessions"):
        Worker(store)


def refusal(event: bytes) -> ClockRefusal:
    return ClockRefusal(START_MS, "record's time: 400.000 s past its fetch", hashlib.sha256(event).hexdigest())


def test_what_the_wall_clock_refused_once_is_refused_again() -> None:
    store = stored(2)
    store.refused[SOURCE] = {2: refusal(added(5)), 1: refusal(added(1))}
    worker = Worker(store)
    out = worker.lease.state.process(log_of([added(5), added(6)], start=2), START_MS + HOUR)
    (letter,) = out.dead_letters
    assert (letter.offset, letter.reason, letter.received_ms) == (2, Reason.IN_FUTURE, START_MS)
    assert out.accepted == 1
    assert letter.by_clock


def test_what_the_wall_clock_refused_is_refused_after_a_second_crash_and_without_a_manifest() -> None:
    store = stored(2)
    store.refused[SOURCE] = {5: refusal(added(6))}
    second = Worker(store)
    second.process(added(3), added(4))
    second.checkpoint()
    store.refused[SOURCE] = {}  # before the place that the newest manifest says to look from
    third = Worker(store)
    out = third.lease.state.process(log_of([added(5), added(6)], start=4), START_MS + HOUR)
    assert [letter.offset for letter in out.dead_letters] == [5]

    without = MemoryCheckpoints()
    without.refused[SOURCE] = {0: refusal(added(5))}
    out = Worker(without).lease.state.process(log_of([added(5), added(6)]), START_MS + HOUR)
    assert [letter.offset for letter in out.dead_letters] == [0]


def test_a_refusal_of_a_log_that_was_there_before_refuses_no_other_record() -> None:
    store = MemoryCheckpoints()
    store.refused[SOURCE] = {0: refusal(added(77))}
    out = Worker(store).lease.state.process(log_of([added(5)]), START_MS + HOUR)
    assert (out.accepted, out.dead_letters) == (1, [])
