"""What Faust acknowledges: its own way (expected to fail) and ours."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from faust.types import TP

from tests.integration.faust_apps import ORIGINAL, PARTITION, Processing, original_and_ours


@original_and_ours("a fresh group commits past the first record while it is in flight (issue 606)")
def test_nothing_is_committed_past_a_first_record_in_flight(scheme: str) -> None:
    async def committed() -> tuple[int | None, int | None]:
        processing = Processing.start(scheme)
        await processing.take(0, 1, 2, 3)
        processing.finish(1, 2, 3)
        before = await processing.committed()
        processing.finish(0)
        return before, await processing.committed()

    assert asyncio.run(committed()) == (None, 4)


@original_and_ours("a gap in the offsets takes in the record after it")
def test_the_record_after_a_gap_is_not_committed_while_it_is_in_flight(scheme: str) -> None:
    async def committed() -> tuple[int | None, int | None, int | None]:
        processing = Processing.start(scheme)
        await processing.take(0, 1)
        processing.finish(0, 1)
        first = await processing.committed()
        await processing.take(5, 6)
        processing.finish(6)
        before = await processing.committed()
        processing.finish(5)
        return first, before, await processing.committed()

    first, before, last = asyncio.run(committed())
    assert first == 2
    assert before is not None
    assert before <= 5, "5 is in flight"
    assert last == 7


@original_and_ours("a failed commit counts as committed")
def test_a_failed_commit_is_made_up_for(scheme: str) -> None:
    async def committed() -> tuple[int | None, int | None]:
        processing = Processing.start(scheme)
        await processing.take(0, 1)
        processing.finish(0, 1)
        processing.group.is_rebalancing = True
        failed = await processing.committed()
        processing.group.is_rebalancing = False
        return failed, await processing.committed()

    assert asyncio.run(committed()) == (None, 2)


@original_and_ours("the offsets of messages that no commit offset is computed from are kept for ever")
def test_nothing_is_kept_of_what_is_done(scheme: str) -> None:
    async def kept() -> int:
        processing = Processing.start(scheme)
        if scheme == ORIGINAL:
            processing.consumer._new_offset = lambda _: None  # as a transport that counts for itself has it
        for start in range(0, 40, 4):
            await processing.take(*range(start, start + 4))
            processing.finish(*range(start, start + 4))
            await processing.committed()
        return len(processing.consumer._acked[PARTITION]) + len(processing.consumer._acked_index[PARTITION])

    assert asyncio.run(kept()) == 0


@dataclass
class Refusing:
    """In place of aiokafka's consumer: a broker that has just started and does not know its topics yet."""

    error: Exception
    refusals: int = 0

    def assignment(self) -> set[TP]:
        return {PARTITION}

    async def commit(self, offsets: Mapping[TP, Any]) -> None:
        assert offsets
        self.refusals += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [KafkaError("Unexpected error: UnknownTopicOrPartitionError()"), AssertionError("no bootstrap?")]
)
@original_and_ours("a commit that is refused ends the worker")
def test_a_refused_commit_is_no_reason_to_end(scheme: str, error: Exception) -> None:
    async def crashed() -> tuple[bool, bool, int]:
        consumer = Processing.start(scheme).consumer
        thread = consumer._new_consumer_thread()
        thread._thread_running = asyncio.get_running_loop().create_future()
        thread._consumer = Refusing(error)
        is_done = await thread._commit({PARTITION: 7})
        if thread._thread_running.done():
            thread._thread_running.exception()
        return is_done, thread.crashed, thread._consumer.refusals

    assert asyncio.run(crashed()) == (False, False, 1)


# --- who reads what: with a broker ------------------------------------------------------------------
