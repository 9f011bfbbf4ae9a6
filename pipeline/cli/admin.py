"""``migrate``, ``topics`` and ``schema export``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.common import clickhouse_client, kafka_admin
from pipeline.kafka.topics import Bounds, TopicSpec, create_missing, topic_specs
from pipeline.settings import Settings, load, vocabulary
from pipeline.web.catalogue import catalogue
from pipeline.web.listings import Listings
from pipeline.web.openapi import openapi
from pipeline.web.reads import NoReads
from schemas.asyncapi import asyncapi
from schemas.export import json_schemas
from sinks.migrate import migrate as migrate_tables
from sinks.migrate import retention_clauses, script


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.command()(topics)
    schema = typer.Typer(help="The messages' JSON Schemas.", no_args_is_help=True)
    schema.command("export")(schema_export)
    app.add_typer(schema, name="schema")


def migrate(
    print_only: Annotated[bool, typer.Option("--print", help="Only print the SQL, of an empty server.")] = False,
) -> None:
    """Create or update the tables in ClickHouse and set their retention from the settings.

    With CX_CLICKHOUSE__CLUSTER set, on all servers of that cluster, replicated.
    """
    settings = load()
    if print_only:
        print(script(retention(settings), settings.clickhouse.cluster), end="")
        return
    done = apply_migrations(settings)
    print("\n".join(f"applied {name}" for name in done) or "up to date")


def apply_migrations(settings: Settings) -> list[str]:
    return migrate_tables(clickhouse_client(settings), retention(settings), settings.clickhouse.cluster)


def retention(settings: Settings) -> dict[str, str]:
    """By table, its TTL clause."""
    days = settings.retention
    return retention_clauses(
        days.short_signals_days,
        days.long_signals_days,
        days.hourly_signals_days,
        days.journeys_days,
        days.tiles_days,
        days.alerts_days,
        days.dead_letters_days,
    )


def topics(
    print_only: Annotated[bool, typer.Option("--print", help="Only print the definitions, as JSON.")] = False,
) -> None:
    """Create the topics that are missing, and list all."""
    settings = load()
    if print_only:
        print(json.dumps([definition(spec, settings) for spec in topic_specs(settings.kafka)], indent=2))
        return
    created = set(create_topics(settings))
    for spec in topic_specs(settings.kafka):
        print(f"{'created' if spec.name in created else 'present'}  {spec.name}")


def definition(spec: TopicSpec, settings: Settings) -> dict[str, Any]:
    """A topic as other tools that make topics want it."""
    return {
        "name": spec.name,
        "partitions": spec.partitions,
        "replication": settings.kafka.replication,
        "config": spec.config,
    }


def create_topics(settings: Settings, bounds: Bounds | None = None) -> list[str]:
    return create_missing(kafka_admin(settings), settings.kafka, bounds)


def schema_export(
    directory: Annotated[Path, typer.Argument(help="Folder to write to, made if missing.")] = Path(
        "build/schemas"
    ),
) -> None:
    """Write the JSON Schema of every message, made from the models, one file each.

    With them ``asyncapi.json``, all topics with their keys, headers and messages (AsyncAPI 3), and
    ``openapi.json``, the HTTP API with the names of these settings.
    """
    directory.mkdir(parents=True, exist_ok=True)
    words = vocabulary(load())
    documents = {directory / f"{name}.json": schema for name, schema in json_schemas(words).items()}
    names = catalogue(load())
    documents[directory / "asyncapi.json"] = asyncapi(words)
    documents[directory / "openapi.json"] = openapi(Listings(NoReads(), names).all(), names)
    for path, document in documents.items():
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(path)
