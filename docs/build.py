"""Makes the reference pages from the code: ``python -m docs.build``. A test holds the committed ones equal."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import typer

from pipeline.cli import build
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.sources import FAMILIES
from pipeline.collector.sources_file import SourceSettings
from pipeline.kafka.topics import topic_specs
from pipeline.metrics import Metrics
from pipeline.model.signals import signals_of
from pipeline.settings import (
    PREFIX,
    KafkaSettings,
    OnSettings,
    Settings,
    funnel_names,
    leaves,
    moment_names,
    names,
)
from pipeline.settings.alert_rules import load_rules
from schemas.events import EVENT_TYPES, TouchpointEvent
from sinks.tables import COLUMNS

FOLDER: Final = Path(__file__).parent / "reference"
_MADE: Final = "Made from the code by `make docs`.\n"
_DAY_MS: Final = 86_400_000


def pages() -> dict[str, str]:
    """By file name, the page."""
    return {
        "commands.md": _page("Commands", _commands()),
        "settings.md": _page("Settings", _settings()),
        "metrics.md": _page("Metrics", _metrics()),
        "signals.md": _page("Signals", _signals()),
        "sources.md": _page("Sources of the collector", _sources()),
        "events.md": _page("Touchpoint events", _events()),
        "topics.md": _page("Topics and tables", _topics()),
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join((f"# {title}", "", _MADE, *lines, ""))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"


def _sources() -> Iterator[str]:
    """Of each kind what its events become, as the tables say, and the settings of a source."""
    yield "How to set each up: [sources](../sources/README.md). What is not listed is ignored, and counted.\n"
    for name, family in sorted(FAMILIES.items()):
        if not family.table.rules:
            continue
        yield f"## {name}\n"
        yield from _table(
            ("Called there", "becomes"),
            (
                (f"`{kind}`", ", ".join(f"`{rule.type}`" for rule in rules))
                for kind, rules in sorted(family.table.rules.items())
            ),
        )
        yield ""
    yield "## Settings of a source\n"
    rows = []
    for field, info in SourceSettings.model_fields.items():
        default = "" if info.is_required() else repr(info.default)
        rows.append((f"`{field}`", f"`{default}`" if default else "required", info.description or ""))
    yield from _table(("Name", "Default", "Meaning"), rows)


def _commands() -> Iterator[str]:
    yield "Status 0: done. 1: it could not be done, or `verify` found a difference. 2: wrong usage or settings.\n"
    tree: Any = typer.main.get_command(build())
    waiting: list[tuple[tuple[str, ...], Any]] = [
        (("cx-signals", name), command) for name, command in tree.commands.items()
    ]
    while waiting:
        path, command = waiting.pop(0)
        if hasattr(command, "commands"):
            waiting = [((*path, name), inner) for name, inner in command.commands.items()] + waiting
            continue
        yield f"## {' '.join(path)}\n"
        yield f"{' '.join((command.help or '').split())}\n"
        rows = [
            (_names(one), one.help or "", _default(one)) for one in command.params if _names(one) != "`--help`"
        ]
        if rows:
            yield from _table(("option", "meaning", "default"), rows)
            yield ""


def _names(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _default(option: Any) -> str:
    value = option.default
    return "" if value in (None, "", False, ...) or callable(value) else f"`{value}`"


def _settings() -> Iterator[str]:
    yield "From the environment, read once. A name that is not listed here, or a value that does not fit, stops a"
    yield "command with one line and status 2. A secret may be in a file that the setting with `_FILE` names."
    yield "`CX_CONFIG` names a TOML file with the same names in lower case, a table for each group: `[kafka]`,"
    yield "`partitions = 8`. Funnels of your own are told there (docs/funnels.md).\n"
    single = leaves(Settings)
    rows = [
        (f"`{name}`", f"`{_text(name)}`", info.description or "")
        for name, info in names(Settings)
        if name in single
    ]
    yield from _table(("setting", "default", "meaning"), rows)


def _text(variable: str) -> str:
    """The default of a setting, as it would be written in the environment."""
    value: Any = Settings()
    for part in variable.removeprefix(PREFIX).lower().split("__"):
        value = getattr(value, part)
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, frozenset):
        value = sorted(value)
    return (value or "(empty)") if isinstance(value, str) else json.dumps(value, default=_event)


def _event(on: OnSettings) -> Any:
    """Some events as they would be written: a type alone, or with its conditions."""
    written = on.model_dump(exclude_none=True)
    return written["type"] if len(written) == 1 else written


def _metrics() -> Iterator[str]:
    described = [*Metrics().described, *CollectorMetrics().described]
    rows = [(f"`{one.name}`", one.kind, ", ".join(one.labels) or "none", one.help) for one in described]
    yield from _table(("metric", "kind", "labels", "meaning"), rows)


def _signals() -> Iterator[str]:
    signals = signals_of(funnel_names(Settings()), moment_names(Settings()))
    rows = [
        (
            f"`{one.name}`",
            one.unit,
            "high" if one.higher_is_better else "low",
            one.interval.replace("_", " "),
            f"`{one.topic}`",
        )
        for one in signals
    ]
    yield from _table(("signal", "is a", "good is", "interval", "topic"), rows)
    yield "\n## Alert rules\n"
    rules = load_rules("", funnel_names(Settings()), moment_names(Settings()))
    yield from _table(
        ("rule", "signal", "windows, min", "least", "change", "severity"),
        (
            (
                f"`{one.name}`",
                f"`{one.signal}` {'falls' if one.falls else 'rises'}",
                ", ".join(f"{window / 60_000:g}" for window in one.windows_ms),
                f"{one.least:g}",
                f"{one.change:g}",
                one.severity,
            )
            for one in rules
        ),
    )


def _events() -> Iterator[str]:
    schema = TouchpointEvent.model_json_schema()
    required = set(schema["required"])
    rows = [
        (f"`{name}`", "yes" if name in required else "no", str(field.get("description", "")))
        for name, field in schema["properties"].items()
    ]
    yield from _table(("field", "required", "meaning"), rows)
    yield f"\nTypes: {', '.join(f'`{kind}`' for kind in EVENT_TYPES)}.\n"
    yield "## Funnels\n"
    found = (
        (
            f"`{name}`",
            *(
                ", ".join(f"`{on.type}`" for on in events)
                for events in (f.opens_on, f.completes_on, f.abandons_on)
            ),
            f"{f.timeout_s / 60:g} min",
        )
        for name, f in Settings().funnels.followed().items()
    )
    yield from _table(("funnel", "opened by", "completed by", "abandoned by", "timeout"), found)


def _topics() -> Iterator[str]:
    rows = [
        (
            f"`{spec.name}`",
            str(spec.partitions),
            spec.config.get("cleanup.policy", ""),
            _days(spec.config.get("retention.ms")),
        )
        for spec in topic_specs(KafkaSettings())
    ]
    yield from _table(("topic", "partitions", "policy", "kept"), rows)
    yield "\n## Tables\n"
    yield from _table(
        ("table", "columns"),
        ((f"`cx.{table}`", ", ".join(f"`{column}`" for column in columns)) for table, columns in COLUMNS.items()),
    )


def _days(retention_ms: str | None) -> str:
    if retention_ms is None:
        return "newest of each key"
    return "for ever" if retention_ms == "-1" else f"{int(retention_ms) // _DAY_MS} days"


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)  # noqa: T201 (a command)


if __name__ == "__main__":
    main()
