"""Checkpoints: what is written when, and what a crash in between leaves."""

import random

import pytest

from pipeline.core.cuts import Cut
from pipeline.core.sessions.shards import SESSIONS_PER_SHARD
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import BEGINNING
from pipeline.kafka.memory import MemoryProducer
from pipeline.stages.outbox import Outbox
from schemas.checkpoints import ShardRef
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from tests.checkpointing import HOUR, SOURCE, Crowded, Worker, added


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


class Names(list[str]):
    """Names that nobody searches through, for there may be very many."""

    def __contains__(self, name: object) -> bool:
        raise AssertionError(f"{len(self)} names are searched for {name!r}")


class Passing:
    """A state of which a long time is over at once."""

    def __init__(self, gone: list[str]) -> None:
        self._gone = gone

    def snapshot(self) -> Cut:
        return Cut({}, {}, self._gone)


def test_what_is_gone_is_looked_up_and_not_searched_for() -> None:
    """History read at once ends ten thousands of minutes in one cut: each compared with each, the worker stood
    still for seven seconds, and no checkpoint was begun for a minute after that.
    """
    worker = Worker(MemoryCheckpoints())
    worker.process(added(0))
    names = Names([f"minute-{number}" for number in range(1_000)])
    worker.lease.kept.shards = {name: ShardRef("slot", [], 0) for name in names[:500]}
    worker.lease._state = Passing(names)
    worker.checkpoint()
    assert worker.lease.kept.shards == {}
    assert [one.shard for one in worker.lease.kept.freed] == names[:500]
