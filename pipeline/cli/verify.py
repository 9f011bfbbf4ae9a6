"""``verify``: the tables once more, in the plainest way."""

from collections import Counter
from typing import Annotated, Any

import typer

from pipeline.cli.common import clickhouse_client, kafka_admin, progress, say
from pipeline.kafka.logs import ends_in, held_back
from pipeline.settings import Settings, load, vocabulary
from pipeline.tools.verify.compare import Report
from pipeline.tools.verify.doubts import SessionSources, doubts, session_sources
from pipeline.tools.verify.naive_types import Tables
from pipeline.tools.verify.progress import wait_until_told
from pipeline.tools.verify.run import Logs, compare_all, ends_of, expected_tables, read_logs, settle


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the pipeline.")] = 600.0,
    wait: Annotated[bool, typer.Option("--wait", help="Compare only when all checkpoints are there.")] = False,
) -> None:
    """Recompute every table from the topics, naively, and compare with what ClickHouse holds.

    Takes the topics' ends as they are now, waits until every stage has told the next that it has come so far, and
    compares: exactly where the input is at rest, otherwise the rows that no later event touches. Where something
    differs or is missing it waits for the checkpoints, and compares once more: beside a small shop at work
    that takes minutes. Prints what differs; exits with 1 if anything does.
    """
    settings = load()
    kafka_admin(settings)
    client = clickhouse_client(settings)
    say("reading the topics, and waiting for the pipeline to get to their ends")
    with progress("reading topics") as advance:
        logs = read_logs(settings.kafka, {}, advance)
    found = None
    if not wait:
        # All has been read by then. Where it is stored, too, a checkpoint would only say so later.
        wait_until_told(settings, ends_of(logs), timeout)
        found = _compared(settings, client, logs, is_first_look=True)
    if found is None:
        say("waiting for the pipeline to have stored all of it")
        with progress("reading topics") as advance:
            settle(settings.kafka, logs, timeout, advance)
        found = _compared(settings, client, logs)
    assert found is not None
    _tell(settings, logs, *found)


def _compared(
    settings: Settings, client: Any, logs: Logs, is_first_look: bool = False
) -> tuple[Tables, SessionSources, list[Report]] | None:
    """None where the first look has found a difference."""
    say(f"{sum(len(log) for log in logs.values())} records in {len(logs)} partitions")
    with progress("computing naively"):
        tables = expected_tables(settings, logs)
        sessions = session_sources(logs, vocabulary(settings))
    reports = []
    with progress("comparing"):
        for report in compare_all(settings, client, tables, logs, sessions, is_first_look):
            if report.differences and is_first_look:
                return None
            reports.append(report)
    return tables, sessions, reports


def _tell(settings: Settings, logs: Logs, tables: Tables, sessions: SessionSources, reports: list[Report]) -> None:
    reasons = Counter(tables.dead_letters.values())
    of_these = f" ({', '.join(f'{n} {why}' for why, n in reasons.most_common())})" if reasons else ""
    letters = f"{len(tables.dead_letters)} dead letters{of_these}"
    print(f"{tables.accepted} events, {tables.duplicates} duplicates, {letters}")
    differences = 0
    for report in reports:
        differences += report.differences
        later = f", {report.left_out} touched by later events left out" if report.left_out else ""
        print(f"{report.table}: {report.compared} rows compared{later}, {report.differences} differ")
        for line in report.shown:
            print(f"  {line}")
        if report.differences > len(report.shown):
            print(f"  ... and {report.differences - len(report.shown)} more")
    for doubt in doubts(logs, sessions, held_back(logs, ends_in(settings.kafka))):
        print(f"no proof: {doubt}")
    if tables.crowds:
        who = "are many, by what is told of them, or were known as a visitor who is erased"
        print(f"no proof: {len(tables.crowds)} persons {who}: they are left out")
    if tables.unsure:
        print(
            "no proof: signals of persons count who is erased up to when that was: for a week after their visits"
        )
    print("no difference" if not differences else f"{differences} differences")
    if differences:
        raise typer.Exit(1)
