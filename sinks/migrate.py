"""Numbered SQL migrations, applied in order, each once; and the configured retention."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from sinks.clickhouse import DATABASE

_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def statements(self) -> list[str]:
        """Statements end with a semicolon at a line's end; comment lines are left out."""
        lines = [line for line in self.sql.splitlines() if not line.startswith("--")]
        return [part.strip() for part in re.split(r";\s*$", "\n".join(lines), flags=re.M) if part.strip()]

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


class MigrationError(RuntimeError):
    """What is applied and what is shipped do not fit."""


def shipped() -> list[Migration]:
    """The migrations of this release, in order."""
    folder = files("sinks") / "migrations"
    return [
        Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in sorted(folder.iterdir(), key=lambda item: item.name)
        if (match := _NAME.fullmatch(entry.name))
    ]


def migrate(client: Any, retention_days: Mapping[str, str]) -> list[str]:
    """Bring the database up to date; gives the names of the migrations applied now.

    ``retention_days``: by table, its TTL clause. Raises MigrationError where an applied migration
    has been changed since.
    """
    client.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    client.execute(
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.migrations "
        "(number UInt32, name String, checksum String, applied_at DateTime DEFAULT now()) "
        "ENGINE = ReplacingMergeTree ORDER BY number"
    )
    applied = dict(client.execute(f"SELECT number, checksum FROM {DATABASE}.migrations FINAL"))
    done = []
    for migration in shipped():
        checksum = applied.get(migration.number)
        if checksum is not None:
            if checksum != migration.checksum:
                raise MigrationError(
                    f"migration {migration.name} was changed after it had been applied; "
                    "restore it and put the change into a new one"
                )
            continue
        for statement in migration.statements:
            client.execute(statement)
        client.execute(
            f"INSERT INTO {DATABASE}.migrations (number, name, checksum) VALUES",
            [(migration.number, migration.name, migration.checksum)],
        )
        done.append(migration.name)
    for table, clause in retention_days.items():
        client.execute(f"ALTER TABLE {DATABASE}.{table} MODIFY TTL {clause}")
    return done


def retention_clauses(
    short_signals: int, long_signals: int, journeys: int, tiles: int, alerts: int, dead_letters: int
) -> dict[str, str]:
    """TTL clauses by table. All count from the time of storing, so that replayed history lives on."""
    return {
        "signals": (
            f"stored_at + INTERVAL {short_signals} DAY DELETE WHERE window IN ('1m', '5m'), "
            f"stored_at + INTERVAL {long_signals} DAY DELETE WHERE window NOT IN ('1m', '5m')"
        ),
        "journeys": f"stored_at + INTERVAL {journeys} DAY",
        "tiles": f"stored_at + INTERVAL {tiles} DAY",
        "alerts": f"stored_at + INTERVAL {alerts} DAY",
        "dead_letters": f"stored_at + INTERVAL {dead_letters} DAY",
        "dead_letter_replays": f"stored_at + INTERVAL {dead_letters} DAY",
    }
