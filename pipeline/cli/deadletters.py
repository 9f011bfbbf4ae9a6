"""``deadletters list``: what was refused, and why."""

import json
from typing import Annotated

import typer

from pipeline.cli.common import clickhouse_client
from pipeline.settings import load
from schemas.reasons import Reason
from schemas.times import parse_rfc3339


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Refused input.", no_args_is_help=True)
    group.callback()(_group)
    group.command("list")(list_dead_letters)
    app.add_typer(group, name="deadletters")


def _group() -> None:
    """Refused input: the raw bytes, where they were, and why they are no event."""


def list_dead_letters(
    reason: Annotated[str, typer.Option(help=f"One of: {', '.join(Reason)}.")] = "",
    topic: Annotated[str, typer.Option(help="Topic that they were in.")] = "",
    since: Annotated[str, typer.Option(help="Received at or after this RFC 3339 time.")] = "",
    until: Annotated[str, typer.Option(help="Received before this RFC 3339 time.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
) -> None:
    """List dead letters as JSON lines, the newest first."""
    if reason and reason not in set(Reason):
        raise typer.BadParameter(f"there are: {', '.join(Reason)}", param_hint="--reason")
    conditions, values = ["1"], {"limit": limit, "reason": reason, "topic": topic}
    try:
        for name, text, sign in (("since", since, ">="), ("until", until, "<")):
            if text:
                values[name] = parse_rfc3339(text)
                conditions.append(f"received_at {sign} fromUnixTimestamp64Milli(%({name})s, 'UTC')")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    conditions += [f"{name} = %({name})s" for name in ("reason", "topic") if values[name]]
    rows, columns = clickhouse_client(load()).execute(
        "SELECT toString(received_at) AS received_at, topic, partition, offset, reason, error, size, sha256, "
        "base64Encode(payload) AS payload_base64 FROM cx.dead_letters FINAL "
        f"WHERE {' AND '.join(conditions)} ORDER BY received_at DESC, topic, partition, offset DESC "
        "LIMIT %(limit)s",
        values,
        with_column_types=True,
    )
    for row in rows:
        print(json.dumps(dict(zip((name for name, _ in columns), row, strict=True)), ensure_ascii=False))
