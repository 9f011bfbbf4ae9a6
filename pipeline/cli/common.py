"""What commands share: progress, and waiting for Kafka and ClickHouse."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.kafka.clients import wait_until_reachable
from pipeline.settings import Settings
from schemas.plain import shown
from sinks import clickhouse

err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for the person at the terminal, beside the output proper."""
    print(shown(text), file=sys.stderr, flush=True)


def kafka_admin(settings: Settings) -> AdminClient:
    """Wait for Kafka. Raises KafkaUnavailableError."""
    return wait_until_reachable(settings.kafka, say)


def clickhouse_client(settings: Settings) -> Any:
    """Wait for ClickHouse; gives a client. Raises SinkUnavailableError."""
    address = settings.clickhouse.address()
    clickhouse.wait_until_reachable(address, settings.clickhouse.connect_timeout_s, say)
    return clickhouse.connect(address)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Any]:
    """A progress bar on the terminal; gives a function to advance it by a number."""
    # Not as markup: a file may be called [/b].csv.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=not err.is_terminal) as bar:
        task = bar.add_task(shown(what), total=total)
        yield lambda count: bar.advance(task, count)
