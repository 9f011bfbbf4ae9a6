"""The command line ``cx-signals``: one module a command, errors in one line that say what to do."""

import io
import logging
import sys
from collections.abc import Callable
from typing import Final

import typer
from clickhouse_driver import errors
from confluent_kafka import KafkaException

from deploy.embedded.process import StartError
from pipeline.collector.recorded import RecordedError
from pipeline.kafka.clients import KafkaUnavailableError
from pipeline.kafka.logs import LogError
from pipeline.settings import SettingsError
from pipeline.subscriptions import SubscriptionError
from pipeline.tools.replay.send import ReplayError
from schemas.plain import shown
from sinks.base import SinkError
from sinks.migrate import MigrationError

#: What can go wrong outside: status 1. Settings and usage: status 2.
EXPECTED = (
    KafkaException,
    KafkaUnavailableError,
    LogError,
    RecordedError,
    ReplayError,
    SubscriptionError,
    SinkError,
    StartError,
    MigrationError,
    OSError,
    EOFError,  # ClickHouse has gone away under a command that had reached it
)
#: ClickHouse's codes for a column, a table or a database that it does not have.
_NOT_THERE: Final = frozenset({16, 47, 60, 81})


def build() -> typer.Typer:
    """The command tree."""
    from pipeline.cli import (
        admin,
        backtest,
        collect,
        deadletters,
        erase,
        replay,
        simulate,
        sources,
        sql,
        tail,
        up,
        verify,
        webhooks,
        worker,
    )

    app = typer.Typer(
        name="cx-signals",
        help="Customer satisfaction and abandonment signals from touchpoint events, within seconds.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # an error is one line, not a box
    )
    serving, sending, reading = (up, worker, collect, webhooks), (simulate, replay), (tail, sql, verify, backtest)
    for module in (*serving, *sending, *reading, admin, deadletters, erase, sources):
        module.register(app)
    return app


def main(argv: list[str] | None = None, tree: Callable[..., object] | None = None) -> None:
    """Entry point. Exits with 0 (done), 1 (it could not be done, or differs) or 2 (wrong usage).

    ``tree``: the commands; None: all that there are.
    """
    # A terminal that is not UTF-8 shows what it can, instead of ending the command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # The driver logs a traceback for what is raised as well, and told in one line.
    logging.getLogger("clickhouse_driver").setLevel(logging.CRITICAL)
    try:
        (tree or build())(args=argv)
    except SettingsError as error:
        sys.exit(_fail(error, 2))
    except EXPECTED as error:
        sys.exit(_fail(error, 1))
    except errors.Error as error:
        sys.exit(_fail(SinkError(_refused(error)), 1))
    except KeyboardInterrupt:
        sys.exit(130)


def _refused(error: errors.Error) -> str:
    """What ClickHouse had against a command's query, or that it has gone away."""
    said = " ".join(str(error).partition("Stack trace")[0].split())
    hint = "; is it migrated? 'cx-signals migrate'" if error.code in _NOT_THERE else ""
    return f"ClickHouse: {said}{hint}"


def _fail(error: Exception, status: int) -> int:
    print(f"error: {shown(' '.join(str(error).split()))}", file=sys.stderr)
    return status
