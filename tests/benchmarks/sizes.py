"""What an event, a session, a segment and a row take: the constants of ``deploy/sizing.py``.

``python -m tests.benchmarks.sizes`` runs ``up``, sends some hours of a simulated shop, and measures.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from deploy.embedded.kafka import bytes_under
from deploy.embedded.stack import resident_bytes
from tests.systems import Running

TABLES = ("signals", "signals_hourly", "journeys", "journeys_by_entry", "tiles", "dead_letters")
TOPICS = ("touchpoints.web", "cx.tiles", "cx.signals.abandonment", "cx.signals.satisfaction", "cx.journeys")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--rate", type=float, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cx-sizes-") as folder:
        data = Path(folder) / "data"
        system = Running.start(Path(folder), "--no-simulate", "--data-dir", str(data))
        try:
            start = ["--start", "2026-03-02T09:00:00Z", "--minutes", str(options.minutes)]
            sent = system.cx("simulate", "--fast", "--rate", str(options.rate), *start)
            assert sent.returncode == 0, sent.stderr
            _settle(system)
            _report(system, options.minutes, data / "kafka" / "data")
        finally:
            system.stop()


def _settle(system: Running) -> None:
    count = -1
    while (now := int(system.sql("SELECT count() FROM cx.signals")[0][0])) != count:
        count = now
        time.sleep(5)
    for table in TABLES:
        system.sql(f"OPTIMIZE TABLE cx.{table} FINAL")


def _report(system: Running, minutes: float, log: Path) -> None:
    events = sum(len(system.messages(f"touchpoints.{channel}")) for channel in ("web", "app", "pos"))
    segments = system.sql("SELECT uniqExact(segment) FROM cx.signals")[0][0]
    print(f"{events:,} records in {minutes:g} minutes, {segments} segments")
    print("table                 rows   rows/event   bytes/row on disk")
    for table in TABLES:
        query = "SELECT sum(rows), sum(data_compressed_bytes) FROM system.parts WHERE active AND table = %(table)s"
        rows, size = system.sql(query, {"table": table})[0]
        print(f"{table:18} {rows:9,} {rows / events:10.3f} {size / max(1, rows):12.1f}")
    print("topic                          messages/event   bytes/message (key, value, headers)   on disk")
    for topic in TOPICS:
        messages = system.messages(topic)
        size = sum(_size(message) for message in messages) / max(1, len(messages))
        stored = sum(bytes_under(folder) for folder in log.glob(f"{topic}-*")) / max(1, len(messages))
        print(f"{topic:30} {len(messages) / events:10.3f} {size:12.0f} {stored:35.0f}")
    for worker in system.log.parent.glob("*/worker.log"):
        print(worker)
    print(f"memory of all processes of up: {(resident_bytes(system.process.pid) or 0) / 2**20:.0f} MiB")


def _size(message: Message) -> int:
    headers: Any = message.headers() or []
    pairs = sum(len(name) + len(value or b"") for name, value in headers)
    return len(message.value() or b"") + len(message.key() or b"") + pairs


if __name__ == "__main__":
    main()
