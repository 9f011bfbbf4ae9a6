"""Checkpoints: which shards are written, kept and removed."""

import pytest

from pipeline.core.sessions.shards import SESSIONS_PER_SHARD, shard_room
from pipeline.durability.memory import MemoryCheckpoints
from tests.checkpointing import FIRST, HOUR, SOURCE, TILES, Worker, added
from tests.support import START_MS, event_json, kept_sessions


def test_shards_are_small_where_sessions_are_few() -> None:
    """What one event has written again stays small, and so does the list of shards in the manifest."""
    assert [shard_room(alive) for alive in (0, 1_023, 1_024, 2_048, 16_384, 10**7)] == [16, 16, 32, 64, 256, 256]


def test_what_no_manifest_names_any_more_is_removed() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0), added(5_000))
    worker.checkpoint()
    worker.process(5 * HOUR)  # everything is forgotten
    worker.checkpoint()
    store.compact()
    assert len(store.manifests(SOURCE)[0].freed) == 2
    worker = Worker(store)  # the next one inherits what is to be removed
    for _ in range(3):
        worker.now += 601
        worker.process(5 * HOUR)
        worker.checkpoint()
    store.compact()
    left = [record[0] for record in store.logs[SOURCE] if record is not None]
    assert left == ["touchpoints.web:0/manifest"]


def test_a_large_shard_is_stored_in_parts() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(*(event_json(n, event_id=f"{n:064}") for n in range(6_000)))
    worker.checkpoint()
    sizes = [len(record[1]) for record in store.logs[SOURCE] if record is not None and record[1] is not None]
    assert max(sizes) <= 512 * 1024
    assert len(sizes) > 3
    assert Worker(store).content() == worker.content()


def steps(worker: Worker, seconds: int, *, events: int) -> None:
    """So many seconds with so many events in each."""
    for _ in range(seconds):
        worker.now += 1
        worker.process(*(added(worker.offset * 100 + n) for n in range(events)))
        worker.checkpointer.step()


def test_a_worker_at_rest_is_checkpointed_after_ten_seconds_and_a_slow_one_after_two_minutes() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.checkpointer.step()
    steps(worker, 9, events=1)
    assert store.manifests(SOURCE) == []
    steps(worker, 110, events=1)
    assert store.manifests(SOURCE) == [], "something comes every second"
    steps(worker, 1, events=1)
    assert worker.leases.committable() == {SOURCE: worker.offset}
    steps(worker, 9, events=1)
    before = worker.offset
    for _ in range(2):
        assert worker.leases.committable() != {SOURCE: before}
        worker.now += 1
        worker.checkpointer.step()
    assert worker.leases.committable() == {SOURCE: before}, "at rest for two seconds"


def test_where_much_comes_a_partition_is_checkpointed_every_ten_seconds() -> None:
    worker = Worker(MemoryCheckpoints())
    worker.checkpointer.step()
    steps(worker, 9, events=600)
    assert worker.leases.committable() == {}
    steps(worker, 1, events=600)
    assert worker.leases.committable() == {SOURCE: worker.offset}


def test_phase_two_is_kept_too() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.leases.acquire(TILES)
    lease = worker.leases.windows[TILES]
    lease.state.merge(
        "web:0", FIRST + 7, START_MS, [("all", START_MS, {"events": 3, "cart_value_abandoned_sq": 10**30})]
    )
    list(lease.state.emit())
    lease.cut_at = 3
    worker.checkpoint()
    again = Worker(store)
    offset, _ = again.leases.acquire(TILES)
    assert offset == 3
    restored = again.leases.windows[TILES].state
    assert restored.sources.version == FIRST + 7
    assert restored.sources.watermarks == {"web:0": START_MS}
    assert list(restored.emit()) == []


def test_phase_two_remembers_what_it_has_forgotten() -> None:
    """The versions of tiles that were dropped, and that they were: a later one of that time is refused."""
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.leases.acquire(TILES)
    lease = worker.leases.windows[TILES]
    lease.state.merge("web:0", FIRST + 70, START_MS, [("all", START_MS, {"events": 1})])
    lease.state.merge("app:0", FIRST + 5, START_MS + 9 * HOUR, [("all", START_MS + 9 * HOUR, {"events": 1})])
    list(lease.state.emit())
    lease.cut_at = 3
    worker.checkpoint()
    lease.state.forget(START_MS + HOUR)
    lease.cut_at = 4
    worker.checkpoint()
    again = Worker(store)
    again.leases.acquire(TILES)
    restored = again.leases.windows[TILES].state
    assert restored.segments["all"].buckets.tolist() == [START_MS + 9 * HOUR]
    assert restored.sources.version == FIRST + 75
    restored.merge("web:0", FIRST + 71, START_MS, [("all", START_MS, {"events": 2})])
    assert restored.refused == 1


def test_a_manifest_of_a_worker_that_was_long_paused_is_passed_over() -> None:
    store = MemoryCheckpoints()
    paused = Worker(store)
    paused.process(added(0))
    paused.checkpoint()
    store.held_back = []
    paused.process(added(1))
    paused.checkpoint()  # its shards are with the broker; the manifest would be next
    on_its_way, store.held_back = store.held_back, None

    successor = Worker(store)
    for number in range(3):
        successor.now += 601
        successor.process(added(number + 5))
        successor.checkpoint()
    saved = successor.content()
    for acknowledge in on_its_way:
        acknowledge()
    paused.checkpointer.step()
    assert store.manifests(SOURCE)[0].next_offset == 2
    log = store.logs[SOURCE]
    named = {at for ref in store.manifests(SOURCE)[0].shards.values() for at in ref.offsets}
    for at in named:
        log[at] = None
    assert Worker(store).content() == saved


def test_a_shard_that_was_emptied_and_filled_again_outlives_the_removal_of_what_it_was() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0))
    worker.checkpoint()
    worker.process(5 * HOUR)  # forgotten
    worker.checkpoint()
    worker.process(added(5 * HOUR))
    worker.checkpoint()
    for _ in range(3):
        worker.now += 601
        worker.process(5 * HOUR)
        worker.checkpoint()
    store.compact()
    assert Worker(store).content() == worker.content()


def test_a_partition_that_comes_back_keeps_what_it_wrote_in_between() -> None:
    store = MemoryCheckpoints()
    first, second = Worker(store), Worker(store)
    first.process(added(0))
    first.checkpoint()
    second.take_over_again()
    second.process(added(1))
    second.checkpoint()
    first.take_over_again()
    for number in range(4):
        first.now += 400
        first.process(added(2 + number))
        first.checkpoint()
    store.compact()
    assert Worker(store).content() == first.content()


def test_a_session_that_comes_back_after_it_was_forgotten_is_restored_once() -> None:
    """Its first shard, which did not change since, still holds what it was."""
    store, late = MemoryCheckpoints(), 600_000
    worker = Worker(store)
    worker.process(added(0, 0), *(added(late + n, n) for n in range(1, SESSIONS_PER_SHARD)))
    worker.checkpoint()
    comes_back = HOUR + 32 * 60_000
    worker.process(comes_back)
    assert "s0" not in kept_sessions(worker.lease.state)
    worker.process(added(comes_back, 0))
    worker.checkpoint()
    again = Worker(store)
    assert len(again.lease.state.sessions) == SESSIONS_PER_SHARD
    assert [e.at_ms - START_MS for e in kept_sessions(again.lease.state)["s0"].entries] == [comes_back]
    for one in (worker, again):
        one.process(8 * HOUR)  # all forgotten: the retention of each session is kept once
        assert len(one.lease.state.sessions) == 0


def test_after_a_failed_cut_no_checkpoint_is_made_any_more() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0))
    worker.checkpoint()
    worker.process(added(1, 1))
    tiles = next(iter(worker.lease.state.tiles.values()))
    tiles["all"]["what cannot be stored"] = object()
    with pytest.raises(TypeError):
        worker.checkpoint()
    del tiles["all"]["what cannot be stored"]
    worker.checkpoint()
    assert Worker(store).resumed_at == 1


def test_a_slot_is_not_used_again_by_the_cut_that_removes_it() -> None:
    """The cut after the one that freed it comes when the grace is over."""
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0))
    worker.checkpoint()
    worker.process(5 * HOUR)
    worker.checkpoint()
    worker.now += 700
    worker.process(added(5 * HOUR))
    worker.checkpoint()
    store.compact()
    assert Worker(store).content() == worker.content()


# --- when a state is not to be had ------------------------------------------------------------------
