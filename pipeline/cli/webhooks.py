"""``webhooks``: posts alerts and journeys to the receivers that a file names."""

import asyncio
import logging
import signal
from typing import Annotated

import typer

from pipeline.cli.common import clickhouse_client, kafka_admin, say
from pipeline.delivery.hooks import load_hooks
from pipeline.delivery.letters import Letters, send_again
from pipeline.delivery.posting import Delivery
from pipeline.delivery.run import Runner, delivery, subscribe_to
from pipeline.kafka.clients import new_producer
from pipeline.logs import plain_records
from pipeline.settings import load
from sinks.clickhouse import ClickHouseSink
from sinks.http import HttpPoster


def register(app: typer.Typer) -> None:
    app.command()(webhooks)


def webhooks(
    again: Annotated[
        str, typer.Option(help="Send the dead letters of this webhook again, the oldest first, and end.")
    ] = "",
) -> None:
    """Post alerts and journeys to the receivers in the file CX_WEBHOOKS__FILE, signed and tried again.

    What a receiver does not take becomes a dead letter. One process serves all receivers; a second one stands by.
    """
    settings = load()
    hooks = load_hooks(settings.webhooks.file, settings.webhooks.plain_http)
    plain_records()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    poster = HttpPoster()
    deliveries = {hook.name: delivery(hook, poster) for hook in hooks}
    if again:
        if again not in deliveries:
            raise typer.BadParameter(f"no webhook {again!r}; there are: {', '.join(deliveries)}")
        done, left = asyncio.run(_again(deliveries[again], poster))
        say(f"{done} delivered, {left} left")
        raise typer.Exit(1 if left else 0)
    kafka_admin(settings)
    clickhouse_client(settings).disconnect()
    letters = Letters(new_producer(settings.kafka), ClickHouseSink(settings.clickhouse.address()))
    asyncio.run(_run(Runner(subscribe_to(settings.kafka), list(deliveries.values()), letters), poster))


async def _again(one: Delivery, poster: HttpPoster) -> tuple[int, int]:
    try:
        return await send_again(one, clickhouse_client(load()))
    finally:
        await poster.close()


async def _run(runner: Runner, poster: HttpPoster) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, runner.stop)
    try:
        await runner.run()
    finally:
        await poster.close()
