"""Faust as its documentation teaches: one JSON event at a time into an agent.

Run as a worker on the touchpoint topics of a running broker; prints the CPU seconds between the first
event and the last of BENCH_COUNT, as JSON, and ends. Two much smaller jobs than the pipeline's:
``count`` decodes and counts by channel in memory; ``tables`` keeps a cart per session and a 10 s count by
channel and store in Faust tables. Neither checks, knows duplicates or late events, or stores anything.
"""

import json
import os
import tempfile
import time
from collections import Counter
from typing import Any

import faust

COUNT = int(os.environ["BENCH_COUNT"])
WITH_TABLES = os.environ["BENCH_JOB"] == "tables"


def main() -> None:
    app = faust.App(
        f"plain-faust-{os.getpid()}",
        broker=f"kafka://{os.environ['CX_KAFKA__BOOTSTRAP_SERVERS']}",
        datadir=tempfile.gettempdir(),
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=4,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=2.0,
    )
    topic = app.topic("touchpoints.web", "touchpoints.app", "touchpoints.pos", value_serializer="json")
    carts = app.Table("carts", default=float, partitions=4)
    counted = app.Table("counts", default=int, partitions=4)
    counts: Counter[str] = Counter()
    started = [0.0, 0.0]

    @app.agent(topic)  # type: ignore[untyped-decorator] # Faust is untyped
    async def count(stream: Any) -> None:
        async for event in stream:
            if not counts:
                started[:] = [time.process_time(), time.perf_counter()]
            counts[event["channel"]] += 1
            if WITH_TABLES:
                if event["type"] == "product_added":
                    carts[event["session_id"]] += event.get("value", 0.0)
                counted[f"{event['channel']}/{event.get('store_id')}/{event['occurred_at'][:18]}"] += 1
            if counts.total() == COUNT:
                cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
                print(json.dumps({"events": COUNT, "cpu_s": cpu, "wall_s": wall}), flush=True)
                os._exit(0)

    faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
