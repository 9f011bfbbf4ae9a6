"""``collect``: takes HTTP requests of other systems and makes touchpoints of them."""

import asyncio
import logging
import resource
import signal

import typer

from pipeline.cli.common import kafka_admin, say
from pipeline.collector.run import collector
from pipeline.collector.sources_file import Source, configured_sources
from pipeline.logs import plain_records
from pipeline.settings import Settings, load
from sinks.clickhouse import ClickHouseSink


def register(app: typer.Typer) -> None:
    app.command()(collect)


def collect() -> None:
    """Take requests of the sources in the file CX_COLLECTOR__SOURCES, and send on what they tell as touchpoints.

    Answers only after Kafka has it. Start as many as you like behind a balancer; each remembers by itself which
    copies it has taken.
    """
    settings = load()
    sources = configured_sources(settings)
    plain_records()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    kafka_admin(settings)
    _allow_many_connections()
    asyncio.run(_run(settings, sources))


async def _run(settings: Settings, sources: list[Source]) -> None:
    loop, is_over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, is_over.set)
    own = settings.collector
    async with collector(settings, sources, ClickHouseSink(settings.clickhouse.address())):
        for one in sources:
            where = (
                f"topic {one.settings.topic}" if one.settings.topic else f"http://{own.host}:{own.port}{one.path}"
            )
            say(f"{one.name} ({one.settings.kind}): {where}")
        say("collecting")
        await is_over.wait()


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
