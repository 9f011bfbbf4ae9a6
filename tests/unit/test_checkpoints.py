"""Law 3: what is stored when, what a restore takes, and when a worker stops rather than guess."""

import hashlib
import random
from typing import Any

import pytest

from pipeline.core.sessions.shards import SESSIONS_PER_SHARD, shard_room
from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import BEGINNING, Recovery
from pipeline.durability.store import CheckpointError, Stored
from pipeline.kafka.memory import MemoryProducer
from pipeline.metrics import Metrics
from pipeline.model.records import ClockRefusal
from pipeline.model.rules import Rules
from pipeline.model.source import Source
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from schemas.reasons import Reason
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from tests.support import ALERT_RULES, FETCHED_MS, RULES, START_MS, event_json, kept_sessions, log_of

SOURCE = ("touchpoints.web", 0)
TILES = ("cx.tiles", 0)
HOUR = 3_600_000
FIRST = RULES.generation << 44


class Worker:
    """The state of a worker and its checkpoints, on a store that outlives it."""

    def __init__(self, store: MemoryCheckpoints, rules: Rules = RULES, digest: str = "d", rebuild: bool = False):
        self.now = 1_000.0
        self.leases = Leases(Recovery(store, rules, digest, ALERT_RULES, rebuild))
        self.checkpointer = Checkpointer(
            self.leases, store, Metrics(), rules.generation, digest, 10.0, lambda: self.now, lambda: self.now
        )
        self.checkpointer.refresh()
        self.resumed_at, _ = self.leases.acquire(SOURCE)
        self.offset = max(0, self.resumed_at)

    @property
    def lease(self) -> Any:
        return self.leases.partitions[SOURCE]

    def take_over_again(self) -> None:
        """Lose the partition and get it back."""
        self.leases.release(SOURCE)
        self.resumed_at, _ = self.leases.acquire(SOURCE)
        self.offset = max(0, self.resumed_at)

    def process(self, *values: bytes | int) -> None:
        records = log_of(values, start=self.offset)
        out = self.lease.state.process(records, FETCHED_MS)
        self.offset += len(records)
        self.lease.cut_at = self.offset
        if out.records:
            self.lease.changed_at = self.now

    def checkpoint(self) -> None:
        self.checkpointer.step(force=True)
        self.checkpointer.step()

    def content(self) -> tuple[Any, ...]:
        """What a cut holds, as it is now."""
        state = self.lease.state
        sessions = {name: session.entries for name, session in kept_sessions(state).items()}
        tiles = {
            (bucket, segment): {name: count for name, count in counters.items() if count}
            for bucket, segments in state.tiles.items()
            for segment, counters in segments.items()
            if any(counters.values())  # zeros are written where a batch might have been cut otherwise
        }
        return state.latest_ms, tiles, sessions


def added(at_ms: int, session: int = 0) -> bytes:
    return event_json(at_ms, type="product_added", session_id=f"s{session}", event_id=f"{session}-{at_ms}")


class Crowded(MemoryCheckpoints):
    """A store whose producer's queue has so much room left."""

    room = 1 << 30

    def append(self, source: Source, key: str, value: bytes | None, stored: Stored) -> None:
        if not self.room:
            raise BufferError("the queue is full")
        self.room -= 1
        super().append(source, key, value, stored)


def test_where_the_producers_queue_is_full_a_checkpoint_goes_on_later_and_is_whole() -> None:
    store = Crowded()
    worker = Worker(store)
    worker.process(added(0), *(added(number, number) for number in range(1, 3 * SESSIONS_PER_SHARD)))
    store.room = 1
    worker.checkpoint()
    store.room = 1
    worker.checkpointer.step()
    assert len(store.logs[SOURCE]) == 2
    assert worker.leases.committable() == {}
    store.room = 1 << 30
    worker.checkpoint()
    assert worker.leases.committable() == {SOURCE: worker.offset}
    keys = [record[0] for record in store.logs[SOURCE] if record is not None]
    assert len(keys) > 4
    assert len(set(keys)) == len(keys)  # none twice
    assert Worker(store).content() == worker.content()


def test_input_is_acknowledged_by_the_manifest_and_a_restore_resumes_there() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    assert worker.resumed_at == BEGINNING
    worker.process(added(0), added(1, 1))
    assert worker.leases.committable() == {}
    worker.checkpoint()
    assert worker.leases.committable() == {SOURCE: 2}
    saved = worker.content()
    worker.process(added(2))

    again = Worker(store)
    assert again.resumed_at == 2
    assert again.content() == saved
    assert again.leases.committable() == {SOURCE: 2}


def test_killed_between_shards_and_manifest_the_one_before_holds() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0))
    worker.checkpoint()
    saved = worker.content()
    worker.process(added(1), added(2, 1))
    store.held_back = []
    worker.checkpoint()
    assert store.held_back  # shards are on their way, unacknowledged
    store.compact()
    assert worker.leases.committable() == {SOURCE: 1}

    again = Worker(store)
    assert (again.resumed_at, again.content()) == (1, saved)


def test_the_manifest_waits_for_what_was_put_out_before_its_offset() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0))
    receipt = Outbox(MemoryProducer(), SinkBuffer(MemorySink(), {}, Limits(1, 1, 1))).receipt()
    receipt.pending = 1
    worker.lease.unfinished.append((worker.offset, receipt))
    worker.checkpoint()
    assert store.manifests(SOURCE) == []
    receipt.on_delivery(None, None)
    worker.checkpointer.step()
    assert worker.leases.committable() == {SOURCE: 1}


def test_nothing_is_cut_while_a_batch_is_under_way() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(added(0))
    worker.lease.cut_at = None
    worker.checkpoint()
    assert store.logs == {}


def the_log(end: int, step_ms: int) -> list[bytes | int]:
    """Twenty sessions, now and then a tick."""
    return [n * step_ms if n % 10 == 9 else added(n * step_ms, n * 7 % 20) for n in range(end)]


def assert_whole(again: Worker, step_ms: int) -> None:
    """A restored worker holds what one that took the log in one batch does."""
    straight = Worker(MemoryCheckpoints())
    if again.offset:
        straight.process(*the_log(again.offset, step_ms))
    *found, sessions = again.content()
    *expected, sessions_of_one_batch = straight.content()
    assert found == expected
    assert sessions.keys() == sessions_of_one_batch.keys()
    if step_ms == 1_000:  # else it depends on the batches what is folded away already
        assert sessions == sessions_of_one_batch


# A second between two events, or so long that everything is forgotten and comes back.
@pytest.mark.parametrize("step_ms", [1_000, HOUR])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_when_the_newest_manifest_can_be_restored(seed: int, step_ms: int) -> None:
    """Crashes at any point, acknowledgements in any delay, compaction at any time, two workers at once."""
    chance, store = random.Random(seed), MemoryCheckpoints()
    store.held_back = []
    workers = [Worker(store)]
    highest = 0
    for _ in range(300):
        worker, what = chance.choice(workers), chance.random()
        if what < 0.2:
            worker.process(*the_log(worker.offset + chance.randrange(1, 40), step_ms)[worker.offset :])
        elif what < 0.5:
            worker.checkpoint()
        elif what < 0.9:
            for _ in range(chance.choice([len(store.held_back), chance.randrange(len(store.held_back) + 1)])):
                store.held_back.pop(0)()
        elif what < 0.94:
            store.compact()
            for one in workers:
                one.now += chance.choice([1, 400])
        elif what < 0.96:
            worker.take_over_again()
        else:
            # One more takes the partition over; the one before may not know it for a while.
            again = Worker(store)
            assert_whole(again, step_ms)
            again.now = max(one.now for one in workers)
            workers = [*workers[-1:], again] if chance.random() < 0.3 else [again]
            highest = max(highest, again.offset)
    assert highest > 50


def test_old_shards_are_not_written_again() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.process(*(added(n, n) for n in range(3 * SESSIONS_PER_SHARD)))
    worker.checkpoint()
    before = len(store.logs[SOURCE])
    worker.process(added(100_000, 3 * SESSIONS_PER_SHARD - 1))
    worker.checkpoint()
    written = [record[0] for record in store.logs[SOURCE][before:] if record is not None]
    sessions = [key for key in written if "sessions-" in key]
    assert len(sessions) == 1, written


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


def test_a_worker_at_rest_is_checkpointed_after_ten_seconds_and_a_slow_one_after_a_minute() -> None:
    store = MemoryCheckpoints()
    worker = Worker(store)
    worker.checkpointer.step()
    steps(worker, 9, events=1)
    assert store.manifests(SOURCE) == []
    steps(worker, 50, events=1)
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
    assert restored.version == FIRST + 7
    assert restored.watermarks == {"web:0": START_MS}
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
    assert restored.version == FIRST + 75
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
    with pytest.raises(CheckpointError, match="not there any more"):
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
