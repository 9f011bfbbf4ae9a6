"""What is documented exists, and what exists is documented."""

import re
from pathlib import Path

import pytest

from docs.build import FOLDER, pages
from pipeline.settings import Settings, leaves, names
from schemas.export import json_schemas
from schemas.reasons import Reason
from sinks.migrate import shipped
from sinks.tables import COLUMNS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)")


def test_the_reference_pages_are_what_the_code_says() -> None:
    """Commands, settings, metrics, signals, events, topics and tables: ``make docs`` makes them anew."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert committed == pages()


def test_every_setting_explains_itself() -> None:
    silent = [name for name, info in names(Settings) if name in leaves(Settings) and not info.description]
    assert silent == []


def test_the_event_explains_its_fields() -> None:
    fields = json_schemas()["touchpoint"]["properties"]
    assert [name for name, field in fields.items() if not field.get("description")] == []


def test_every_reason_code_is_documented() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.M) == [str(reason) for reason in Reason]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere_and_settings_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert re.findall(r"@[A-Z]+@", text) == []  # a figure that was to be filled in
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []
    known = leaves(Settings) | {"CX_COMPILE"}
    named = set(re.findall(r"`(CX_[A-Z]+__[A-Z_]+?)(?:_FILE)?(?:=[^`]*)?`", text))
    assert named <= known


def test_paths_in_the_documents_exist() -> None:
    missing = []
    for document in DOCUMENTS:
        for path in re.findall(
            r"`((?:pipeline|schemas|sinks|dashboards|deploy|docs|tests)/[\w/.-]+)`", document.read_text()
        ):
            if not (ROOT / path).exists():
                missing.append(f"{document.name}: {path}")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", page):
        if not (ROOT / path).exists() and not (ROOT / "pipeline" / path).exists():
            missing.append(f"architecture.md: {path}")
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


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
