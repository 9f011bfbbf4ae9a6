"""The Faust app: everything wired from settings, nothing built at import."""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from typing import Any

import faust
from confluent_kafka import Producer

from pipeline.agents.journeys import JourneysStage
from pipeline.agents.outbox import Outbox
from pipeline.agents.ownership import Ownership
from pipeline.agents.signals import SignalsStage
from pipeline.agents.ticks import Ticker
from pipeline.kafka.clients import new_producer
from pipeline.kafka.reader import BatchReader
from pipeline.metrics import Metrics
from pipeline.settings import ClickHouseSettings, Settings, rules
from pipeline.web import add_pages
from schemas.events import TOUCHPOINT_TOPICS
from schemas.tiles import TILES_TOPIC
from sinks.base import Sink
from sinks.buffer import Limits, SinkBuffer
from sinks.clickhouse import Address, ClickHouseSink
from sinks.tables import COLUMNS

logger = logging.getLogger(__name__)
_STOP_S = 15.0
"""How long a stopping worker waits for its last rows and messages."""


def create_app(settings: Settings, sink: Sink | None = None) -> faust.App:
    """A worker's app. ``sink``: in place of ClickHouse."""
    metrics = Metrics()
    ownership = Ownership(rules(settings))
    producer = new_producer(settings.kafka)
    buffer = SinkBuffer(
        sink or ClickHouseSink(clickhouse_address(settings.clickhouse, settings.sink.request_timeout_s)),
        COLUMNS,
        Limits(settings.sink.flush_rows, settings.sink.flush_interval_s, settings.sink.max_buffered_rows),
        metrics.stored,
        metrics.sink_failed,
    )
    outbox = Outbox(producer, buffer)
    journeys = JourneysStage(ownership, outbox, metrics, lambda: _partitions(producer, TILES_TOPIC))
    signals = SignalsStage(ownership, outbox, metrics)
    ticker = Ticker(ownership, producer, settings.pipeline.tick_interval_s)

    app = _new_app(settings)
    app.cx_authority = ownership
    app.cx_batch = settings.pipeline
    app.cx_new_reader = lambda: BatchReader(settings.kafka)
    _add_agent(app, "journeys", TOUCHPOINT_TOPICS, journeys.process)
    _add_agent(app, "signals", (TILES_TOPIC,), signals.process)
    measure = _add_background(app, settings, buffer, producer, signals, ticker, metrics, ownership)
    add_pages(app, metrics, ownership, measure)
    return app


def clickhouse_address(settings: ClickHouseSettings, timeout_s: float = 60.0) -> Address:
    return Address(settings.host, settings.port, settings.user, settings.password.get_secret_value(), timeout_s)


def _new_app(settings: Settings) -> faust.App:
    kafka = settings.kafka
    servers = kafka.bootstrap_servers.replace(",", ";cxbatch://")
    return faust.App(
        kafka.group,
        broker=f"cxbatch://{servers}",
        store="memory://",
        autodiscover=False,
        datadir=tempfile.gettempdir(),
        web_host=settings.web.host,
        web_bind=settings.web.host,
        web_port=settings.web.port,
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / 3,
        broker_request_timeout=max(90.0, kafka.session_timeout_s),
        # What is in flight at a rebalance is done again by the next owner; waiting for it would hold
        # the whole group for as long as a sink is out.
        stream_wait_empty=False,
        stream_buffer_maxsize=4,
        # Batches are big: four of them waiting are enough, see transport.py.
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_processing_timeout=3_600.0,
    )


Process = Callable[[Any], Any]


def _add_agent(app: faust.App, name: str, topics: tuple[str, ...], process: Process) -> None:
    topic = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await process(event.value)
            except Exception as error:
                # Faust would count the batch as done. It is not: stop, and have it read again.
                logger.exception("stage %s failed", name)
                await app.crash(error)
                raise
            event.ack()

    agent.__name__ = agent.__qualname__ = name
    app.agent(topic, name=name, concurrency=1)(agent)


def _add_background(
    app: faust.App,
    settings: Settings,
    buffer: SinkBuffer,
    producer: Producer,
    signals: SignalsStage,
    ticker: Ticker,
    metrics: Metrics,
    ownership: Ownership,
) -> Callable[[], None]:
    async def store() -> None:
        await buffer.run()

    async def emit() -> None:
        try:
            await signals.emit()
        except Exception as error:
            logger.exception("signals could not be put out")
            await app.crash(error)

    async def tick() -> None:
        ticker.tick(app.consumer.reader)

    def measure() -> None:
        metrics.sink_waiting.set(buffer.rows)
        metrics.unfinished.set(ownership.unfinished())
        reader = app.consumer.reader
        for source in reader.positioned:
            high, at = reader.high_watermark(source), reader.next_offset(source)
            if high is not None and at is not None:
                lag = max(0, high - max(0, at))
                metrics.consumer_lag.labels(f"{source[0]}:{source[1]}").set(lag)

    async def finish(*_: Any, **__: Any) -> None:
        buffer.close()
        deadline = asyncio.get_running_loop().time() + _STOP_S
        while buffer.rows and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(producer.flush, _STOP_S)

    app.task(store)
    app.timer(settings.pipeline.emit_interval_s)(emit)
    app.timer(settings.pipeline.tick_interval_s / 2)(tick)
    app.on_before_shutdown.connect(finish, weak=False)
    return measure


def _partitions(producer: Producer, topic: str) -> int:
    count = len(producer.list_topics(topic, timeout=30).topics[topic].partitions)
    if not count:
        raise RuntimeError(f"there is no topic {topic}: run 'cx-signals topics' first")
    return count
