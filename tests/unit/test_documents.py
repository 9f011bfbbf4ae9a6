"""What is documented exists, and what exists is documented."""

import re
from pathlib import Path

from pipeline.metrics import Metrics
from pipeline.settings import Settings, leaves, names
from schemas.export import json_schemas
from schemas.reasons import Reason
from sinks.migrate import shipped
from sinks.tables import COLUMNS

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(CX_\w+)`", README, re.M))
    assert listed == leaves(Settings)


def test_every_setting_explains_itself() -> None:
    silent = [name for name, info in names(Settings) if name in leaves(Settings) and not info.description]
    assert silent == []


def test_every_metric_is_in_the_readme_as_it_is_and_no_other() -> None:
    listed = re.findall(r"^\| `(cx_\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", README, re.M)
    assert [(name, kind, labels, text) for name, kind, labels, text in listed] == [
        (one.name, one.kind, ", ".join(one.labels) or "none", one.help) for one in Metrics().described
    ]


def test_every_reason_code_is_in_the_readme() -> None:
    for reason in Reason:
        assert f"`{reason}`" in README


def test_migrations_are_numbered_without_gaps_and_hold_the_written_columns() -> None:
    migrations = shipped()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    sql = "\n".join(migration.sql for migration in migrations)
    for table, columns in COLUMNS.items():
        body = re.findall(rf"CREATE TABLE cx\.{table}\n\((.*?)^\)", sql, re.S | re.M)
        defined = re.findall(r"^    (\w+) ", body[-1], re.M)  # the one that was made last
        for added in re.findall(rf"^ALTER TABLE cx\.{table}\n(.*?);$", sql, re.S | re.M):
            defined += re.findall(r"ADD COLUMN (\w+) ", added)
        assert set(columns) == set(defined) - {"stored_at"}


def test_schemas_forbid_what_the_models_forbid() -> None:
    schemas = json_schemas()
    assert schemas["signal"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["touchpoint"]  # a newer producer must not break us
