"""``worker``: one worker process."""

import gc
import logging

import faust
import typer

from pipeline.cli.common import clickhouse_client, kafka_admin
from pipeline.runtime.app import create_app
from pipeline.runtime.process_memory import keep_for_reuse
from pipeline.settings import Settings, load

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    app.command()(worker)


def worker() -> None:
    """Process touchpoints until stopped. Start as many as there are partitions to share.

    Waits for Kafka and ClickHouse (CX_KAFKA__CONNECT_TIMEOUT_S, CX_CLICKHOUSE__CONNECT_TIMEOUT_S), and
    needs their topics and tables: run 'cx-signals topics' and 'cx-signals migrate' once.
    """
    settings = load()
    kafka_admin(settings)
    clickhouse_client(settings).disconnect()
    run_worker(settings)


def quiet_collector() -> None:
    """Have the garbage collector look seldom: the state is large, long-lived and free of cycles.

    At the defaults it took 8 of 21 us an event, walking sessions again and again (decisions/0006).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)


def run_worker(settings: Settings) -> None:
    """Run the app until a signal ends it. Does not return."""
    app = create_app(settings)
    quiet_collector()
    keep_for_reuse()
    level = settings.log_level.upper()
    faust.Worker(app, loglevel=level, redirect_stdouts=False, quiet=True).execute_from_commandline()
