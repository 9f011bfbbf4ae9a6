"""``sources list`` and ``sources check``: what the collector takes, and what a file's requests would become."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import say
from pipeline.collector.intake import Taken
from pipeline.collector.recorded import requests_in
from pipeline.collector.sources import FAMILIES
from pipeline.collector.sources_file import Source, configured_sources
from pipeline.settings import load
from schemas.plain import json_shown, shown


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="What the collector takes.", no_args_is_help=True)
    group.callback()(_group)
    group.command("list")(list_sources)
    group.command("check")(check)
    app.add_typer(group, name="sources")


def _group() -> None:
    """What the collector takes: its sources, and what a request of one becomes."""


def list_sources() -> None:
    """List the sources of the file CX_COLLECTOR__SOURCES as JSON lines; without one, the kinds there are."""
    settings = load()
    if not settings.collector.sources:
        say("no file of sources is named (CX_COLLECTOR__SOURCES); these kinds there are:")
        for name in sorted(FAMILIES):
            print(name)
        return
    own = settings.collector
    for one in configured_sources(settings):
        address = f"http://{own.host}:{own.port}{one.path}"
        print(json_shown({"source": one.name, "kind": one.settings.kind, "address": address}))


def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="Requests or rows.")],
    source: Annotated[str, typer.Option(help="Name of the source.")],
    header: Annotated[list[str] | None, typer.Option(help="NAME: VALUE, of requests without headers.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="Rows of a table to pass over.")] = 0,
) -> None:
    """Print what each request or row would become, what is dropped and why; nothing is sent.

    A file of recorded requests or bodies (.ndjson, one a line), a table (.csv, .tsv), or one body (.json, .xml).
    Who sent it is not checked.
    """
    chosen, counts = source_called(source), Counter[str]()
    for number, request in requests_in(file, chosen.path, headers_of(header), skip):
        if request.method == "OPTIONS" or chosen.intake.hand_shake(request) is not None:
            counts["requests without events"] += 1
            continue
        try:
            taken = chosen.intake.take(request, is_known=True)
        except ValueError as error:
            print(json_shown({"line": number, "dead_letter": str(error)}))
            counts["dead letters"] += 1
        else:
            _show(number, taken, counts)
    say(", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing in it")


def source_called(name: str) -> Source:
    """Raises SettingsError, BadParameter."""
    settings = load()
    found = {one.name: one for one in configured_sources(settings)}
    if name not in found:
        raise typer.BadParameter(
            f"no source {shown(name)!r}; there are: {', '.join(found)}", param_hint="--source"
        )
    return found[name]


def headers_of(texts: list[str] | None) -> dict[str, str]:
    """Headers as the command line has them. Raises BadParameter."""
    pairs = [text.partition(":") for text in texts or ()]
    if bad := [name for name, mark, _ in pairs if not mark]:
        raise typer.BadParameter(f"'NAME: VALUE' is wanted, not {bad[0]!r}", param_hint="--header")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _show(number: int, taken: Taken, counts: Counter[str]) -> None:
    for one in taken.finished:
        print(one.payload.decode())
    for kind, count in taken.ignored.items():
        print(json_shown({"line": number, "ignored": kind, "events": count}))
    for problem in taken.problems:
        print(json_shown({"line": number, "dead_letter": problem}))
    counts["touchpoints"] += len(taken.finished)
    counts["ignored"] += taken.ignored.total()
    counts["dead letters"] += len(taken.problems)
