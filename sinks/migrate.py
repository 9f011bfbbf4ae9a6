"""Numbered SQL migrations, applied in order, each once; and the configured retention."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from sinks.clickhouse import DATABASE
from sinks.cluster import on_cluster

_CREATE: Final = re.compile(r"^(CREATE (?:TABLE|MATERIALIZED VIEW|VIEW)) ")
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
        parts = re.split(r";\s*$", "\n".join(lines), flags=re.M)
        return [_again(part.strip()) for part in parts if part.strip()]

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def _again(statement: str) -> str:
    """What a migration that was cut off has done already is not done again."""
    found = _CREATE.sub(r"\1 IF NOT EXISTS ", statement)
    return found.replace("ADD COLUMN ", "ADD COLUMN IF NOT EXISTS ")


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


_DATABASE: Final = f"CREATE DATABASE IF NOT EXISTS {DATABASE}"
_LEDGER: Final = (
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.migrations "
    "(number UInt32, name String, checksum String, applied_at DateTime DEFAULT now()) "
    "ENGINE = ReplacingMergeTree ORDER BY number"
)


def script(retention_days: Mapping[str, str], cluster: str = "") -> str:
    """All that ``migrate`` does to an empty server, to be read or run by hand."""
    parts = [_told(_DATABASE, cluster), _told(_LEDGER, cluster)]
    for migration in shipped():
        parts += [f"-- {migration.name}", *(_told(one, cluster) for one in migration.statements)]
        row = f"({migration.number}, '{migration.name}', '{migration.checksum}')"
        parts.append(f"INSERT INTO {DATABASE}.migrations (number, name, checksum) VALUES {row}")
    parts.append("-- retention")
    parts += [_told(_ttl(table, clause), cluster) for table, clause in retention_days.items()]
    return "".join(f"{part}\n\n" if part.startswith("--") else f"{part};\n\n" for part in parts)


def migrate(client: Any, retention_days: Mapping[str, str], cluster: str = "") -> list[str]:
    """Bring the database up to date; gives the names of the migrations applied now.

    ``retention_days``: by table, its TTL clause. ``cluster``: of which all servers get the tables, replicated;
    empty: this server only. Raises MigrationError where an applied migration has been changed since.
    """
    client.execute(_told(_DATABASE, cluster))
    client.execute(_told(_LEDGER, cluster))
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
            client.execute(_told(statement, cluster))
        client.execute(
            f"INSERT INTO {DATABASE}.migrations (number, name, checksum) VALUES",
            [(migration.number, migration.name, migration.checksum)],
        )
        done.append(migration.name)
    for table, clause in retention_days.items():
        client.execute(_told(_ttl(table, clause), cluster))
    return done


def _ttl(table: str, clause: str) -> str:
    return f"ALTER TABLE {DATABASE}.{table} MODIFY TTL {clause}"


def _told(statement: str, cluster: str) -> str:
    return on_cluster(statement, cluster) if cluster else statement


def retention_clauses(
    short_signals: int,
    long_signals: int,
    hourly_signals: int,
    journeys: int,
    tiles: int,
    alerts: int,
    dead_letters: int,
) -> dict[str, str]:
    """TTL clauses by table. All count from the time of storing, so that replayed history lives on."""
    return {
        "signals": (
            f"stored_at + INTERVAL {short_signals} DAY DELETE WHERE window IN ('1m', '5m'), "
            f"stored_at + INTERVAL {long_signals} DAY DELETE WHERE window NOT IN ('1m', '5m')"
        ),
        "signals_hourly": f"stored_at + INTERVAL {hourly_signals} DAY",
        "journeys": f"stored_at + INTERVAL {journeys} DAY",
        "journeys_by_entry": f"stored_at + INTERVAL {journeys} DAY",
        "moments": f"stored_at + INTERVAL {journeys} DAY",
        "purchases": f"stored_at + INTERVAL {journeys} DAY",
        "recoveries": f"stored_at + INTERVAL {journeys} DAY",
        "tiles": f"stored_at + INTERVAL {tiles} DAY",
        "alerts_fired": f"stored_at + INTERVAL {alerts} DAY",
        "alerts": f"stored_at + INTERVAL {alerts} DAY",
        "dead_letters": f"stored_at + INTERVAL {dead_letters} DAY",
        "dead_letter_replays": f"stored_at + INTERVAL {dead_letters} DAY",
    }
