"""One collector process, put together."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web
from confluent_kafka import KafkaException, Producer

from pipeline.collector.collecting import Collecting
from pipeline.collector.identity import Seen
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.producing import Producing
from pipeline.collector.rows import CollectorRows
from pipeline.collector.server import Collector, new_admin_app, new_server
from pipeline.collector.sources_file import Source
from pipeline.collector.topics import TopicReader
from pipeline.kafka.clients import new_producer
from pipeline.settings import Settings, rules
from schemas.events import CHANNELS
from sinks.base import Sink

_LINGER_MS: Final = 5
_CLOSING_S: Final = 10.0


@asynccontextmanager
async def collector(
    settings: Settings, sources: Sequence[Source], sink: Sink, producer: Producer | None = None
) -> AsyncIterator[None]:
    """A collector that listens while the context lasts. Raises OSError where it cannot."""
    own = settings.collector
    folder = Path(own.memory_dir) if own.memory_dir else None
    seen = Seen(own.remember, folder)
    made = new_producer(settings.kafka, _LINGER_MS) if producer is None else producer
    producing = Producing(made, seen, own.answer_s, _now_ms)
    metrics, shop = CollectorMetrics(), rules(settings)
    kinds = {one.name: one.settings.kind for one in sources}
    rows = CollectorRows(sink, metrics, kinds, f"{socket.gethostname()}:{own.port}", _now_ms)
    key = settings.privacy.customer_key.get_secret_value().encode()
    lateness = {channel: shop.lateness_of(channel) for channel in CHANNELS}
    collecting = Collecting(producing, metrics, rows.keep, lateness, key)
    by_http = [one for one in sources if not one.settings.topic]
    server = web.ServerRunner(new_server(Collector(by_http, collecting, metrics)))
    admin = web.AppRunner(new_admin_app(metrics, lambda: _answers(made), lambda: producing.waiting))
    rows.start()
    producing.start()
    topics = [TopicReader(one, collecting, settings.kafka) for one in sources if one.settings.topic]
    reading = [asyncio.ensure_future(one.run()) for one in topics]
    try:
        for runner, port in ((server, own.port), (admin, own.metrics_port)):
            await runner.setup()
            await web.TCPSite(runner, own.host, port, backlog=1_024).start()
        yield
    finally:
        # First nobody is let in any more; who is in is answered.
        for topic in topics:
            topic.stop()
        await asyncio.gather(*reading, return_exceptions=True)
        await server.cleanup()
        await admin.cleanup()
        await rows.close()
        await asyncio.to_thread(made.flush, _CLOSING_S)
        producing.close()
        seen.close()


def _answers(producer: Producer) -> bool:
    try:
        producer.list_topics(timeout=2.0)
    except KafkaException:
        return False
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
