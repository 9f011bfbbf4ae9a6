"""Microseconds of CPU per event by stage, each stage run alone over the same events in one process."""

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from deploy.embedded.stack import resident_bytes
from pipeline.core.sessions.engine import by_column
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.kafka.clients import consumer_config
from pipeline.kafka.logs import partitions_of
from pipeline.kafka.reader import sort_in
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.outputs.tiles import tile_columns
from pipeline.settings import Settings, rules
from pipeline.tools.simulator.traffic import Event
from schemas.decoding import decode
from schemas.events import TOUCHPOINT_TOPICS
from sinks.clickhouse import ClickHouseSink
from sinks.tables import COLUMNS, TILES
from tests.support import START_MS, event_json

_BATCH = 1_250  # what a fetch of 5,000 records gives each of four partitions
_PARTITIONS = 4


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def fetch(settings: Settings, count: int) -> float:
    """CPU seconds to fetch the records with librdkafka and take them over into Python."""
    sources = partitions_of(settings.kafka, TOUCHPOINT_TOPICS)

    def work() -> None:
        consumer = Consumer(consumer_config(settings.kafka, "bench-fetch"))
        consumer.assign([TopicPartition(*source, 0) for source in sources])
        seen = 0
        while seen < count:
            grouped: dict[Source, Any] = {}
            sort_in(consumer.consume(1_000, timeout=1.0), sources, grouped)
            seen += sum(map(len, grouped.values()))
        consumer.close()

    return timed(work)


def profile(settings: Settings, events: list[Event]) -> dict[str, float]:
    """CPU seconds by stage."""
    outputs: list[tuple[str, Outputs]] = []
    logs = _logs(events)
    sink = ClickHouseSink(settings.clickhouse.address())
    found = {
        "fetch": fetch(settings, len(events)),
        "reading messages, sessions, funnels, tiles": timed(lambda: outputs.extend(_phase_one(settings, logs))),
        "(the same with the reference engine)": timed(lambda: [*_phase_one(settings, logs, is_compiled=False)]),
        "(its decoder alone)": timed(lambda: [decode(event.payload) for event in events]),
        "merging, windows, signals": timed(lambda: _phase_two(settings, outputs)),
        "sink (tiles, our side)": timed(lambda: _store(sink, outputs)),
    }
    sink.close()
    return found


Logs = Mapping[tuple[str, int], Sequence[Record]]


def _logs(events: list[Event]) -> Logs:
    logs: dict[tuple[str, int], list[Record]] = {}
    for event in events:
        log = logs.setdefault((event.channel, hash(event.session_id) % _PARTITIONS), [])
        log.append(Record(len(log), event.at_ms, event.payload))
    return {source: by_column(log) for source, log in logs.items()}


def _phase_one(settings: Settings, logs: Logs, *, is_compiled: bool = True) -> Iterator[tuple[str, Outputs]]:
    shop = rules(settings)
    partitions = {source: Partition(source[0], shop, is_compiled=is_compiled) for source in logs}
    for start in range(0, max(map(len, logs.values())), _BATCH):
        for source, log in logs.items():
            if batch := log[start : start + _BATCH]:
                out = partitions[source].process(batch, batch[-1].timestamp_ms)
                yield f"touchpoints.{source[0]}:{source[1]}", out


def _phase_two(settings: Settings, outputs: list[tuple[str, Outputs]]) -> None:
    shop = rules(settings)
    windows = Windows(shop.funnels, shop.lateness_ms)
    for number, (source, out) in enumerate(outputs):
        tiles = [(t.segment, t.bucket_ms, t.counters) for t in out.tiles]
        windows.merge(source, out.version, out.watermark_ms, tiles)
        if number % 24 == 23:
            for _ in windows.emit():
                pass


def _store(sink: ClickHouseSink, outputs: list[tuple[str, Outputs]]) -> None:
    for source, out in outputs:
        if out.tiles:
            sink.write(TILES, COLUMNS[TILES], tile_columns(source, out.tiles, out.version))


def memory_of_sessions(settings: Settings, count: int, views: int) -> float:
    """Bytes of memory per open session: some page views, then a cart with one product."""
    partition = Partition("web", rules(settings))
    offset = 0
    gc.collect()
    before = resident_bytes(os.getpid()) or 0
    for first in range(0, count, 1_000):
        values = [value for number in range(first, first + 1_000) for value in _session(number, views)]
        partition.process(
            [Record(at, -1, value) for at, value in enumerate(values, start=offset)], START_MS + first * 10
        )
        offset += len(values)
    gc.collect()
    assert len(partition.sessions) == count
    return ((resident_bytes(os.getpid()) or 0) - before) / count


def _session(number: int, views: int) -> Iterator[bytes]:
    session_id, at_ms = f"session-{number:08d}", number * 10
    for view in range(views):
        yield event_json(at_ms + view, event_id=f"event-{number:08d}-{view:02d}", session_id=session_id)
    yield event_json(
        at_ms + views,
        event_id=f"event-{number:08d}-bb",
        session_id=session_id,
        type="product_added",
        value=19.99,
        customer_id=f"customer-{number}",
    )
