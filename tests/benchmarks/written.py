"""What each event causes to be written: messages and bytes in Kafka by topic, rows in ClickHouse by table.

    python -m tests.benchmarks.written                                 # the shop of ``make run``
    python -m tests.benchmarks.written --rate 2000 --stores 240        # some 500 segments

Everything that is appended while it looks is read and counted: key, value and headers as they were sent, before
compression. Rows are those given to the store, every copy of one counted, replaced ones as well.
"""

import argparse
import contextlib
import re
import tempfile
import threading
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Message, TopicPartition

from pipeline.kafka.clients import consumer_config, new_admin
from pipeline.kafka.logs import bounds
from pipeline.tools.replay.send import Sender
from schemas.events import TOPIC_PREFIX
from tests.benchmarks.latency import Stream
from tests.systems import Running

TABLES: Final = ("signals", "signals_hourly", "journeys", "journeys_by_entry", "tiles", "dead_letters", "alerts")

_STORES: Final = 12
"""Of the simulated shop."""
_SLICE_S: Final = 0.02
WHOLE_COPIES: Final = {"journeys_by_entry": "journeys"}


@dataclass
class Written:
    """By topic and by table, over so many seconds."""

    seconds: float = 0.0
    messages: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def take(self, message: Message) -> None:
        topic = message.topic() or ""
        self.messages[topic] += 1
        self.bytes[topic] += size_of(message)
        self.events += topic.startswith(TOPIC_PREFIX) and message.key() is not None

    def ours(self, counts: Mapping[str, int]) -> int:
        """Of all topics but those of the touchpoints; with these the ticks, which are ours, too."""
        return sum(count for topic, count in counts.items() if not topic.startswith(TOPIC_PREFIX))


def size_of(message: Message) -> int:
    headers: Any = message.headers() or []
    pairs = sum(len(name) + len(value or b"") for name, value in headers)
    return len(message.value() or b"") + len(message.key() or b"") + pairs


def watch(system: Running, seconds: float) -> Written:
    """Everything that is written from now on, for so long."""
    admin, found = new_admin(system.kafka), Written()
    topics = admin.list_topics(timeout=10).topics
    config = consumer_config(system.kafka, "bench-written") | {"enable.partition.eof": False}
    consumer = Consumer(config)
    places = [
        TopicPartition(name, number)
        for name, topic in topics.items()
        if not name.startswith("__")
        for number in topic.partitions or {}
    ]
    consumer.assign([TopicPartition(p.topic, p.partition, bounds(consumer, p)[1]) for p in places])
    before, started = rows_of(system), time.monotonic()
    while (now := time.monotonic()) < started + seconds:
        for message in consumer.consume(10_000, timeout=0.5):
            if message.error() is None:
                found.take(message)
    consumer.close()
    after, found.seconds = rows_of(system), now - started
    found.rows = Counter({name: after[name] - before[name] for name in after})
    return found


def rows_of(system: Running) -> dict[str, int]:
    """Rows ever given to the store by the worker, and those that views have made of them."""
    with urllib.request.urlopen(system.addresses["web"] + "/metrics", timeout=10) as answer:
        page = answer.read().decode()
    counted = {
        table: float(count)
        for table, count in re.findall(r'^cx_sink_rows_total\{table="(\w+)"\} (\S+)', page, re.M)
    }
    counted |= {copy: counted.get(table, 0.0) for copy, table in WHOLE_COPIES.items()}
    counted["signals_hourly"] = float(system.sql("SELECT count() FROM cx.signals_hourly")[0][0])
    return {table: round(counted.get(table, 0.0)) for table in TABLES}


def report(found: Written) -> None:
    events = max(1, found.events)
    print(f"{found.events:,} events in {found.seconds:.0f} s, {found.events / found.seconds:,.1f} a second")
    print(f"{'topic':<28} {'messages/event':>15} {'KiB/event':>10}")
    for topic in sorted(found.messages):
        print(f"{topic:<28} {found.messages[topic] / events:15.2f} {found.bytes[topic] / events / 1024:10.2f}")
    everything = sum(found.messages.values()) / events, sum(found.bytes.values()) / events / 1024
    print(f"{'all':<28} {everything[0]:15.2f} {everything[1]:10.2f}")
    print(f"{'table':<28} {'rows/event':>15}")
    for table in TABLES:
        print(f"{table:<28} {found.rows[table] / events:15.2f}")
    signals = found.rows["signals"] + found.rows["signals_hourly"]
    print(f"{'signals, all copies':<28} {signals / events:15.2f}", flush=True)


@contextlib.contextmanager
def many_stores(system: Running, rate: float, stores: int) -> Iterator[None]:
    """A paced stream, each of the shop's dozen stores being several."""
    sender, stream, done = Sender(system.kafka), Stream(rate), threading.Event()

    def send() -> None:
        sent_at = time.monotonic()
        while not done.wait(_SLICE_S):
            now = time.monotonic()
            for channel, session_id, payload in stream.next(now - sent_at):
                number = zlib.crc32(session_id.encode()) % (stores // _STORES)
                several = re.sub(rb'"store_id":"([^"]*)"', rb'"store_id":"\1-%d"' % number, payload)
                sender.send(channel, session_id, several)
            sent_at = now
            sender.poll()

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        done.set()
        sending.join()
        sender.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=15.0, help="events a second")
    parser.add_argument("--stores", type=int, default=0, help="so many instead of a dozen, at a steady rate")
    parser.add_argument("--warm-up", type=float, default=150.0, help="seconds before it is looked at")
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    shop = ("--no-simulate",) if options.stores else ("--simulate", str(options.rate))
    with tempfile.TemporaryDirectory(prefix="cx-written-") as folder:
        system = Running.start(Path(folder), *shop)
        load = many_stores(system, options.rate, options.stores) if options.stores else contextlib.nullcontext()
        try:
            with load:
                time.sleep(options.warm_up)
                report(watch(system, options.seconds))
                segments = system.sql("SELECT uniq(segment) FROM cx.tiles")[0][0]
                print(f"{segments} segments", flush=True)
        finally:
            system.stop()


if __name__ == "__main__":
    main()
