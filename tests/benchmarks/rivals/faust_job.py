"""Faust as its documentation teaches: an agent over the three topics, two tables.

The counts are in a plain table with the 10 s in the key, as Faust's own windowed tables expire by wall
clock. Both tables are partitioned like the topics, so each partition counts for itself and nothing is
repartitioned.

What favours Faust:

* ``producer_linger`` of 50 ms: by default each change of a table is a message sent alone, which costs
  nearly twice as much in all.
* uvloop and ``orjson`` where they are installed, as with the extras ``faust-streaming[uvloop,orjson]``.
* The table of the carts is read and written for those events only that change a cart, and has no default,
  which would send one more message for each new session.
* No web server and no leader election.

The tables are in memory and have changelog topics, as by default.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from typing import Any, Final

import mode.loop

with contextlib.suppress(ImportError):
    mode.loop.use("uvloop")  # before Faust, which imports asyncio

import faust

from tests.benchmarks.rivals.measure import (
    CART_EVENTS,
    TOPICS,
    Clock,
    group,
    new_total,
    options,
)

_PARTITIONS: Final = 4
"""As the topics have."""


def main() -> None:
    given = options(__doc__)
    sys.argv[1:] = ["worker"]  # Faust reads the command line by itself
    app = faust.App(
        f"faust-job-{os.getpid()}",
        broker=f"kafka://{given.bootstrap}",
        datadir=tempfile.mkdtemp(prefix="faust-job-"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=_PARTITIONS,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
        producer_linger=0.05,
    )
    _define(app, given.events)
    worker = faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False, stdout=sys.stderr)
    worker.execute_from_commandline()


def _define(app: faust.App, total: int) -> None:
    touchpoints = app.topic(*TOPICS, value_serializer="json")
    carts = app.Table("carts", partitions=_PARTITIONS)
    counts = app.Table("counts", default=int, partitions=_PARTITIONS)
    clock = Clock(total)

    @app.agent(touchpoints)  # type: ignore[untyped-decorator] # Faust is untyped
    async def count(stream: Any) -> None:
        seen = 0
        async for event in stream:
            if not seen:
                clock.start()
            seen += 1
            if event["type"] in CART_EVENTS:
                session = event["session_id"]
                carts[session] = new_total(carts.get(session, 0.0), event)
            counts[f"{group(event)}/{event['occurred_at'][:18]}"] += 1
            if seen == total:
                clock.print_result(sessions=len(carts), counted=sum(counts.values()))
                shutil.rmtree(app.conf.datadir, ignore_errors=True)
                os._exit(0)


if __name__ == "__main__":
    main()
