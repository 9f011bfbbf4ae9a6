"""What an event costs as sessions and segments grow; checkpoints and recovery at size; two workers against one.

Each size in a process of its own. Several minutes and some 3 GB with the default sizes:

    make bench-scale
"""

import argparse
import gc
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Final

from deploy.embedded.process import free_port
from deploy.embedded.stack import resident_bytes
from pipeline.core.cuts import Head
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.model.records import Record
from pipeline.model.tiles import BUCKET_MS, Counters
from pipeline.settings import Settings, rules
from schemas.checkpoints import decode_shard, encode_shard
from tests.benchmarks.backlog import send, simulated
from tests.benchmarks.whole_job import Cost, run_worker, run_workers, stack_of, start_cost
from tests.support import event_json

_BATCH: Final = 5_000
_SPAN_MS: Final = 1_200_000
"""Sessions begin within this time: none has timed out when it is over."""
_MEASURED: Final = 50_000
_SOURCES: Final = 12
_TILES: Final = 2_000
"""Changed between two emissions."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Of one partition with so many open sessions, a page view and a cart in each."""

    us_per_event: float
    """An event of one of the sessions, drawn at random."""
    bytes_each: float
    whole_cut_s: float
    whole_cut_bytes: int
    next_cut_s: float
    next_cut_bytes: int
    """After a batch of events of sessions drawn at random: no other order changes more of the shards."""
    restored_s: float


def sessions(count: int) -> Sessions:
    partition = Partition("web", rules(Settings()))
    gc.collect()
    before, offset = resident_bytes(os.getpid()) or 0, 0
    for first in range(0, count, _BATCH):
        values = [value for n in range(first, min(first + _BATCH, count)) for value in _session(n, count)]
        partition.process([Record(at, -1, value, None) for at, value in enumerate(values, offset)], 0)
        offset += len(values)
    gc.collect()
    each = ((resident_bytes(os.getpid()) or 0) - before) / count
    assert len(partition.sessions) == count
    gc.freeze()
    chance, spent = random.Random(1), 0.0
    for round_no in range(_MEASURED // _BATCH):
        spent += _timed(_drawn(partition, chance, count, offset + round_no * _BATCH, round_no))
    offset += _MEASURED
    content: dict[str, bytes] = {}
    whole_s = _timed(lambda: content.update(_cut(partition)))
    _drawn(partition, chance, count, offset, _MEASURED // _BATCH)()
    changed: dict[str, bytes] = {}
    next_s = _timed(lambda: changed.update(_cut(partition)))
    content |= changed
    head: Head = {"latest_ms": partition.latest_ms, "reached_ms": partition.reached_ms, "refused": []}

    def restore() -> None:
        shards = {name: decode_shard(text) for name, text in content.items()}
        again = Partition("web", rules(Settings()))
        again.restore(head, shards)
        assert len(again.sessions) == count

    sizes = sum(map(len, content.values())), sum(map(len, changed.values()))
    return Sessions(spent / _MEASURED * 1e6, each, whole_s, sizes[0], next_s, sizes[1], _timed(restore))


def _session(number: int, count: int) -> Iterator[bytes]:
    name, at_ms = f"session-{number:08d}", number * _SPAN_MS // count
    yield event_json(at_ms, event_id=f"event-{number:08d}-a", session_id=name)
    yield event_json(
        at_ms + 1,
        event_id=f"event-{number:08d}-b",
        session_id=name,
        type="product_added",
        value=19.99,
        customer_id=f"customer-{number}",
    )


def _drawn(
    partition: Partition, chance: random.Random, count: int, offset: int, round_no: int
) -> Callable[[], object]:
    """A batch of views of sessions drawn at random, ready to be processed."""
    at_ms = _SPAN_MS + round_no * 5_000
    values = [
        event_json(
            at_ms + n,
            event_id=f"drawn-{offset + n:09d}",
            session_id=f"session-{chance.randrange(count):08d}",
            type="product_viewed",
        )
        for n in range(_BATCH)
    ]
    records = [Record(at, -1, value, None) for at, value in enumerate(values, offset)]
    return lambda: partition.process(records, 0)


def _cut(partition: Partition) -> dict[str, bytes]:
    """Encoded, as a checkpoint stores it."""
    made = partition.snapshot()
    return {name: encode_shard(content) for name, content in made.changed.items()}


@dataclass(frozen=True, slots=True)
class Segments:
    """Of phase two with so many segments, each with an hour of tiles."""

    merge_us: float
    """A changed tile of a segment drawn at random."""
    emit_us: float
    """The rows that follow from it, for each changed tile."""
    minute_us: float
    """At the end of a minute, when all windows of a segment move on: for each segment."""
    bytes_each: float


def segments(count: int) -> Segments:
    shop = rules(Settings())
    windows, chance = Windows(shop.funnels, shop.lateness_ms, sources=_SOURCES), random.Random(1)
    names = [f"store_id={number:05d}" for number in range(count)]
    gc.collect()
    before = resident_bytes(os.getpid()) or 0
    for minute in range(60):
        for source in range(_SOURCES):
            tiles = [(name, minute * 60_000, _counters(chance)) for name in names[source::_SOURCES]]
            windows.merge(_source(source), minute + 1, minute * 60_000 + 20_000, tiles)
    for _ in windows.emit():
        pass
    each = ((resident_bytes(os.getpid()) or 0) - before) / count
    gc.freeze()
    bucket = 59 * 60_000 + 2 * BUCKET_MS
    version, merged, emitted = 100, 0.0, 0.0
    rounds = 10
    for _ in range(rounds):
        version += 1
        tiles = [(chance.choice(names), bucket, _counters(chance)) for _ in range(_TILES)]
        merged += _timed(partial(windows.merge, _source(0), version, bucket + 5_000, tiles))
        emitted += _timed(lambda: sum(1 for _ in windows.emit()))
    for source in range(_SOURCES):
        windows.merge(_source(source), version + 1, 60 * 60_000 + 1, [])
    minute_s = _timed(lambda: sum(1 for _ in windows.emit()))
    done = rounds * _TILES
    return Segments(merged / done * 1e6, emitted / done * 1e6, minute_s / count * 1e6, each)


def _source(number: int) -> str:
    return f"touchpoints.web:{number}"


def _counters(chance: random.Random) -> Counters:
    some = chance.randrange(1, 9)
    return {
        "events": 10 * some,
        "friction": some,
        "cart_opened": some,
        "cart_left_0s": some // 2,
        "cart_completed_0s": some // 2,
        "cart_lived_0s": 4_000 * some,
        "cart_completed": some,
        "cart_abandoned": some // 2,
    }


def _timed(work: Callable[[], object]) -> float:
    """CPU seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started


def workers(events: int, rounds: int) -> None:
    """CPU of one worker and of two that share the partitions, over the same backlog."""
    for number in range(rounds):
        for count in (1, 2):
            with stack_of() as (stack, settings):
                started_s = start_cost(stack)
                sent, _ = send(settings, simulated(events, 10))
                cost: Cost
                if count == 1:
                    cost, _ = run_worker(stack, sent, started_s)
                else:
                    cost = run_workers(stack, sent, [stack.web_port, free_port()])
            print(
                f"{number + 1}: {count} workers {cost.us_per_event:6.2f} us an event, {cost.wall_s:5.1f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="*", default=[10_000, 100_000, 1_000_000, 2_000_000])
    parser.add_argument("--segments", type=int, nargs="*", default=[100, 1_000, 5_000, 20_000])
    parser.add_argument(
        "--events", type=int, default=400_000, help="worked off by one worker, and by two; 0: none"
    )
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    fresh = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    with fresh:
        print("open sessions    us/event  bytes each   whole cut      next cut      restored")
        for count in options.sessions:
            s = fresh.submit(sessions, count).result()
            print(
                f"{count:13,} {s.us_per_event:11.2f} {s.bytes_each:11.0f} {s.whole_cut_s:6.2f} s "
                f"{s.whole_cut_bytes / 1e6:6.1f} MB {s.next_cut_s:6.2f} s {s.next_cut_bytes / 1e6:6.1f} MB "
                f"{s.restored_s:6.2f} s",
                flush=True,
            )
        print("segments    merge, emission: us a tile   end of a minute: us a segment   bytes each")
        for count in options.segments:
            g = fresh.submit(segments, count).result()
            print(
                f"{count:8,} {g.merge_us:12.2f} {g.emit_us:12.2f} {g.minute_us:22.1f} {g.bytes_each:22.0f}",
                flush=True,
            )
    if options.events:
        workers(options.events, options.rounds)


if __name__ == "__main__":
    main()
