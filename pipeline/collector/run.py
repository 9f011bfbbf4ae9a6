"""One collector process, put together."""

import asyncio
import logging
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
from pipeline.collector.server import Collector, new_admin_app, new_server
from pipeline.collector.sources_file import Source
from pipeline.collector.topics import TopicReader
from pipeline.kafka.clients import new_producer
from pipeline.model.records import DeadLetter
from pipeline.model.source import Source as Place
from pipeline.outputs.letters import letter_row
from pipeline.outputs.outgoing import columns_of
from pipeline.settings import Settings, rules
from schemas.events import CHANNELS
from sinks.base import Sink
from sinks.buffer import Limits, SinkBuffer
from sinks.tables import COLUMNS, DEAD_LETTERS

logger = logging.getLogger(__name__)
_LINGER_MS: Final = 5
_STORE_EVERY_S: Final = 1.0
_MOST_WAITING_LETTERS: Final = 2_000
_CLOSING_S: Final = 10.0


class LetterRows:
    """Rows of letters on their way to ClickHouse: in the background, for a sender does not wait for that.

    While ClickHouse is away so many wait; more of them are on the topic only.
    """

    def __init__(self, sink: Sink) -> None:
        names = {DEAD_LETTERS: COLUMNS[DEAD_LETTERS]}
        self._buffer = SinkBuffer(sink, names, Limits(1_000, _STORE_EVERY_S, 1 << 26))
        self._putting: set[asyncio.Task[int]] = set()

    def keep(self, place: Place, letter: DeadLetter) -> None:
        if self._buffer.rows >= _MOST_WAITING_LETTERS or len(self._putting) >= _MOST_WAITING_LETTERS:
            logger.error("%s: ClickHouse is away: a dead letter is on its topic only", place[0])
            return
        task = asyncio.ensure_future(self._buffer.put(DEAD_LETTERS, columns_of([letter_row(place, letter)])))
        self._putting.add(task)
        task.add_done_callback(self._putting.discard)

    async def run(self) -> None:
        await self._buffer.run()

    def close(self) -> None:
        self._buffer.close()


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
    metrics, rows, shop = CollectorMetrics(), LetterRows(sink), rules(settings)
    key = settings.privacy.customer_key.get_secret_value().encode()
    lateness = {channel: shop.lateness_of(channel) for channel in CHANNELS}
    collecting = Collecting(producing, metrics, rows.keep, lateness, key)
    by_http = [one for one in sources if not one.settings.topic]
    server = web.ServerRunner(new_server(Collector(by_http, collecting, metrics)))
    admin = web.AppRunner(new_admin_app(metrics, lambda: _answers(made), lambda: producing.waiting))
    storing = asyncio.ensure_future(rows.run())
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
        rows.close()
        await asyncio.wait([storing], timeout=_CLOSING_S)
        storing.cancel()
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
