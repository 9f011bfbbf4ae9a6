"""``replay``: a file's events."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import kafka_admin, progress, say
from pipeline.cli.sources import headers_of, source_called
from pipeline.collector.history import Unread, touchpoints_in
from pipeline.settings import load, vocabulary
from pipeline.tools.replay.files import FileError
from pipeline.tools.replay.formats import FORMATS, BadRow, FileEvent, Row, reader_of
from pipeline.tools.replay.send import ReplayError, check_not_behind, in_sending_order
from pipeline.tools.replay.send import replay as send_all

_SHOWN_PROBLEMS = 5


def register(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="File to send.")],
    file_format: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")] = "",
    source: Annotated[str, typer.Option(help="Instead: a source of the collector that reads it.")] = "",
    header: Annotated[list[str] | None, typer.Option(help="With --source: NAME: VALUE of its requests.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="With --source: rows of a table to pass over.")] = 0,
    order: Annotated[str, typer.Option(help="'time': by event time; 'file': as they stand.")] = "time",
    shuffle: Annotated[float, typer.Option(min=0, help="Each may come up to so many seconds late.")] = 0.0,
    duplicate: Annotated[int, typer.Option(min=0, help="Send every so-many-th twice; 0: none.")] = 0,
    seed: Annotated[int, typer.Option(help="For --shuffle.")] = 1,
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as it happened; 0: at once.")] = 0.0,
    allow_late: Annotated[bool, typer.Option("--allow-late", help="Send events that are too late.")] = False,
) -> None:
    """Send a file's events to the touchpoint topics; return when the broker has them all.

    Ends with a tick two hours past the last event, but never past now, on every partition, so that the last
    journeys and windows close; not where live producers are at work in the same topics. Rows that cannot be read
    are reported and counted, not sent.
    """
    if bool(source) == bool(file_format):
        raise typer.BadParameter("one of --format and --source is wanted")
    if file_format and file_format not in FORMATS:
        raise typer.BadParameter(f"there are: {', '.join(FORMATS)}", param_hint="--format")
    if order not in ("time", "file"):
        raise typer.BadParameter("'time' or 'file'", param_hint="--order")
    settings = load()
    kafka_admin(settings)
    if source:
        rows = _collected(file, source, headers_of(header), skip)
    else:
        rows = reader_of(file_format, vocabulary(settings))(file)
    events = read_events(file, rows)
    if not events:
        raise ReplayError(f"{file}: nothing could be sent: there is no event of this format in it")
    if not allow_late:
        check_not_behind(settings, events)
    sending = in_sending_order(events, order, shuffle, duplicate, seed)
    with progress(f"replaying {file.name}", len(sending)) as advance:
        sent = send_all(settings, sending, speed, advance)
    listed = ", ".join(f"{count} to touchpoints.{channel}" for channel, count in sorted(sent.by_channel.items()))
    print(f"sent {len(sending)} events: {listed}")
    if sent.closed_ms is None:
        say(
            "live producers are at work in these topics, so the closing tick goes no further than the file's last "
            "event: it would make theirs too late. The last journeys and windows of the file close as time goes on"
        )


def _collected(file: Path, source: str, headers: dict[str, str], skip: int) -> Iterator[Row]:
    """What a source of the collector makes of the file."""
    for found in touchpoints_in(file, source_called(source), headers, skip):
        if isinstance(found, Unread):
            yield BadRow(found.line, found.problem)
        else:
            line, one = found
            yield FileEvent(line, one.at_ms, one.channel, one.session_id, one.payload)


def read_events(file: Path, rows: Iterable[Row]) -> list[FileEvent]:
    """A file's events; rows that cannot be read are reported and counted."""
    events, problems = [], 0
    with progress(f"reading {file.name}") as advance:
        try:
            for row in rows:
                advance(1)
                if isinstance(row, BadRow):
                    problems += 1
                    if problems <= _SHOWN_PROBLEMS:
                        say(f"{file.name}, line {row.line}: not sent: {row.problem}")
                else:
                    events.append(row)
        except FileError as error:
            raise ReplayError(str(error)) from error
    if problems:
        say(f"{file.name}: {problems} rows could not be read and are not sent")
    return events
