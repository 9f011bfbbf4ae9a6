"""Bytewax as its documentation teaches: a Kafka source, ``stateful_map``, ``count_window`` by event time.

The dataflow shuffles by key in memory, so both the carts and the counts are keyed as the job asks.

What favours Bytewax:

* ``flat_map_batch``, which it documents as an optimisation, decodes a batch at once, with ``orjson``.
* Only the events that change a cart go to ``stateful_map``.
* The source is ``KafkaSource`` itself: the ``input`` operator around it adds a step that sorts out errors.
* ``to_system_utc`` gives None, as documented for windows that need not close while no events come. Without
  it every batch of a backlog wakes all windows.
* No recovery store, as by default: unlike the other frameworks' state this one is lost when it ends.

``tail=False`` ends the dataflow at the topics' end, which closes all windows; the figures include that.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bytewax.operators as op  # type: ignore[import-not-found] # in an environment of its own
import bytewax.operators.windowing as win  # type: ignore[import-not-found] # the same
import orjson  # type: ignore[import-not-found] # the same
from bytewax.connectors.kafka import KafkaSource  # type: ignore[import-not-found] # the same
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found] # the same
from bytewax.outputs import DynamicSink, StatelessSinkPartition  # type: ignore[import-not-found] # the same
from bytewax.testing import run_main  # type: ignore[import-not-found] # the same

from tests.benchmarks.rivals.measure import (
    CART_EVENTS,
    TOPICS,
    WINDOW_S,
    Clock,
    group,
    new_total,
    occurred_at,
    options,
)

_WAIT: Final = timedelta(seconds=120)
"""Partitions are read at their own pace: with less, events of a backlog would be too late."""
_ALIGN: Final = datetime(2020, 1, 1, tzinfo=UTC)


class Sink(DynamicSink):  # type: ignore[misc] # an untyped base
    """Hands each batch to a function."""

    def __init__(self, take: Callable[[list[Any]], None]) -> None:
        self._take = take

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Partition":
        return _Partition(self._take)


class _Partition(StatelessSinkPartition):  # type: ignore[misc] # an untyped base
    def __init__(self, take: Callable[[list[Any]], None]) -> None:
        self._take = take

    def write_batch(self, items: list[Any]) -> None:
        self._take(items)


class Job:
    """The dataflow, and what came out of it."""

    def __init__(self, total: int) -> None:
        self.clock = Clock(total)
        self.carts: dict[str, float] = {}
        self.counted = 0
        self.late = 0

    def flow(self, bootstrap: str) -> Dataflow:
        flow = Dataflow("bytewax_job")
        messages = op.input("kafka", flow, KafkaSource([bootstrap], TOPICS, tail=False))
        events = op.flat_map_batch("decode", messages, self._decode)
        changes = op.filter("changes", events, lambda event: event["type"] in CART_EVENTS)
        by_session = op.key_on("session", changes, lambda event: event["session_id"])
        carts = op.stateful_map("carts", by_session, _update_cart)
        op.output("cart_totals", carts, Sink(self.carts.update))
        clock = win.EventClock(occurred_at, wait_for_system_duration=_WAIT, to_system_utc=lambda _: None)
        windower = win.TumblingWindower(length=timedelta(seconds=WINDOW_S), align_to=_ALIGN)
        counts = win.count_window("counts", events, clock, windower, group)
        op.output("window_counts", counts.down, Sink(self._take_counts))
        op.output("late_events", counts.late, Sink(self._take_late))
        return flow

    def _decode(self, messages: list[Any]) -> list[Any]:
        if not self.clock.is_running:
            self.clock.start(seen=len(messages))
        return [orjson.loads(message.value) for message in messages]

    def _take_counts(self, counts: list[tuple[str, tuple[int, int]]]) -> None:
        self.counted += sum(count for _, (_, count) in counts)

    def _take_late(self, events: list[Any]) -> None:
        self.late += len(events)


def _update_cart(total: float | None, event: dict[str, Any]) -> tuple[float, float]:
    new = new_total(total or 0.0, event)
    return new, new


def main() -> int:
    given = options(__doc__)
    job = Job(given.events)
    run_main(job.flow(given.bootstrap))
    if job.counted + job.late != given.events:
        print(f"error: {job.counted + job.late} events instead of {given.events}", file=sys.stderr)
        return 1
    job.clock.print_result(sessions=len(job.carts), counted=job.counted, late=job.late)
    return 0


if __name__ == "__main__":
    sys.exit(main())
