"""Law 3: a state read back from its cuts goes on as if nothing had happened, also after a crash."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sessions.codec import StoredSession
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.model.records import Record
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import Source
from tests.property.test_engines import told
from tests.property.test_set_semantics import HOUR, WEB, WEB_1, logs, revived
from tests.support import (
    FETCHED_MS,
    NAIVE,
    RULES,
    START_MS,
    Store,
    assert_same,
    kept_sessions,
    log_of,
    naive_logs,
    new_windows,
    process,
    stored_partition,
    stored_windows,
)


class Worker:
    """One partition and phase two, each with what its last checkpoint has stored."""

    def __init__(self, source: Source, store: Store) -> None:
        self.source = source
        self.store = store
        self.partition = Partition("web", RULES)
        self.windows = new_windows()
        self._shards: dict[str, object] = {}
        self._window_shards: dict[str, object] = {}
        self._is_compiled = True

    def process(self, batch: list[Record]) -> None:
        if batch:
            process(self.partition, self.source, batch, self.store, self.windows)
            self.store.take_signals(self.windows)

    def checkpoint(self) -> tuple[Partition, Windows]:
        """What a restore gives from now on."""
        self._is_compiled = not self._is_compiled  # each engine goes on with what the other has stored
        partition = stored_partition(self.partition, self._shards, is_compiled=self._is_compiled)
        return partition, stored_windows(self.windows, self._window_shards)


@settings(max_examples=150)
@given(logs("s"), st.integers(0, 2**32))
def test_a_state_restored_again_and_again_gives_the_naive_tables(items: list[bytes | int], seed: int) -> None:
    chance, log, found = random.Random(seed), log_of(items), Store()
    worker, at = Worker(WEB, found), 0
    while at < len(log):
        size = chance.choice([1, 2, 3, 10])
        worker.process(log[at : at + size])
        at += size
        if chance.random() < 0.5:
            kept = worker.partition, worker.windows
            restored = worker.checkpoint()
            # Some checkpoints are only written, others are also the end of a worker.
            worker.partition, worker.windows = restored if chance.random() < 0.7 else kept
    assert_same(found.tables(), compute(naive_logs({WEB: log}), NAIVE))


@settings(max_examples=400)
@given(
    st.lists(st.one_of(revived(), revived(), st.integers(0, 2 * HOUR)), min_size=3, max_size=9),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sets(st.integers(1, 9), max_size=2),
)
def test_what_was_published_after_the_last_checkpoint_is_undone_by_the_next_run(
    items: list[bytes | int], saved_at: int, crashed_at: int, cuts: set[int]
) -> None:
    """The phantom journey again, the replay starting from a checkpoint and batching otherwise."""
    log, found = log_of(items), Store()
    saved_at = min(saved_at, len(log))
    worker = Worker(WEB, found)
    for at in range(saved_at):
        worker.process(log[at : at + 1])
    partition, _ = worker.checkpoint()
    for at in range(saved_at, max(saved_at, min(crashed_at, len(log)))):
        worker.process(log[at : at + 1])
    worker.partition = partition
    start = saved_at
    for end in [*sorted(cut for cut in cuts if saved_at < cut < len(log)), len(log)]:
        worker.process(log[start:end])
        start = end
    assert_same(found.tables(), compute(naive_logs({WEB: log}), NAIVE))


def base_of(session: StoredSession) -> list[tuple[object, ...]]:
    return [
        (one.funnel, one.opened_by, one.value, one.last_step, one.customer_id, one.steps)
        for one in (session.base.open if session.base is not None else ())
    ]


@settings(max_examples=100)
@given(logs("s"), st.integers(0, 25))
def test_a_restored_partition_holds_what_the_living_one_holds(items: list[bytes | int], until: int) -> None:
    worker = Worker(WEB_1, Store())
    worker.process(log_of(items)[:until])
    living, (restored, _) = worker.partition, worker.checkpoint()
    assert restored.watermark_ms == living.watermark_ms
    assert restored.tiles == living.tiles
    found, expected = kept_sessions(restored), kept_sessions(living)
    assert found.keys() == expected.keys()
    for name, session in expected.items():
        assert found[name].entries == session.entries
        assert base_of(found[name]) == base_of(session)
    # All else follows from these: what comes next has the same effect.
    later = [Record(100 + n, -1, None, START_MS + n * 600_000) for n in range(1, 30)]
    assert told(restored.process(later, FETCHED_MS)) == told(living.process(later, FETCHED_MS))
