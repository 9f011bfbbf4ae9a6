"""Quix Streams as its documentation teaches: a stateful update, ``group_by``, a tumbling window.

Events are counted by channel and store, but the messages' key is the session and windows and state belong
to the key. ``group_by`` is the documented way to another key: a message per event through a repartition
topic. It is left out only where a topic has one partition; a window per session would count something
else.

What favours Quix Streams:

* Each topic has a dataframe of its own. Joining the three with ``concat`` costs a third more, as it
  aligns their times.
* The repartition topic carries the group alone, not the event, with plain strings as keys.
* The update of the cart is one step before ``group_by``; as a branch the event would be copied for it.
  It reads its state for those events only that change a cart.
* The figures end at the last event; the state's last commit comes after them.

State store, changelog topics, commit interval and JSON are the defaults: RocksDB, written out every 5 s,
and ``orjson``. ``--without-counts`` leaves the group and the window out: the same job without the way
through Kafka, for comparison.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from quixstreams import Application, State  # type: ignore[import-not-found] # in an environment of its own

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

_GRACE: Final = timedelta(seconds=120)
"""Partitions are read at their own pace: with less, events of a backlog would be too late."""


class Job:
    """The dataframes, and how far they are."""

    def __init__(self, app: Application, total: int, with_counts: bool) -> None:
        self._app = app
        self._total = total
        self._with_counts = with_counts
        self._clock = Clock(total)
        self._updated = 0
        self._counted = 0
        self._carts = 0
        self._counts: dict[tuple[str, int], int] = {}

    def define(self) -> None:
        for name in TOPICS:
            topic = self._app.topic(name, timestamp_extractor=_event_time)
            events = self._app.dataframe(topic).update(self._update_cart, stateful=True)
            if self._with_counts:
                self._define_counts(events)

    def _define_counts(self, events: Any) -> None:
        groups = events.apply(lambda event: {"group": group(event)}).group_by(
            "group", key_serializer="str", key_deserializer="str"
        )
        counts = groups.tumbling_window(timedelta(seconds=WINDOW_S), grace_ms=_GRACE).count().current()
        counts.update(self._take_count, metadata=True)

    def _update_cart(self, event: dict[str, Any], state: State) -> None:
        if not self._clock.is_running:
            self._clock.start()
        if event["type"] in CART_EVENTS:
            total = state.get("cart")
            self._carts += total is None
            state.set("cart", new_total(total or 0.0, event))
        self._updated += 1
        if not self._with_counts:
            self._stop_when_done()

    def _take_count(self, value: dict[str, int], key: str, _timestamp: int, _headers: Any) -> None:
        self._counts[key, value["start"]] = value["value"]
        self._counted += 1
        self._stop_when_done()

    def _stop_when_done(self) -> None:
        if self._updated >= self._total and (self._counted >= self._total or not self._with_counts):
            self._clock.print_result(sessions=self._carts, counted=sum(self._counts.values()))
            self._app.stop()


def _event_time(value: Any, _headers: Any, _timestamp: float, _timestamp_type: Any) -> int:
    return int(occurred_at(value).timestamp() * 1000)


def main() -> None:
    given = options(__doc__, {"--without-counts": "keep the carts only"})
    with tempfile.TemporaryDirectory(prefix="quix-job-") as folder:
        app = Application(
            broker_address=given.bootstrap,
            consumer_group=f"quix-job-{os.getpid()}",
            auto_offset_reset="earliest",
            state_dir=Path(folder),
            loglevel="ERROR",
        )
        Job(app, given.events, not given.without_counts).define()
        app.run()


if __name__ == "__main__":
    main()
