"""The sources' file: an error in it is found at the start, with its line."""

import time
from pathlib import Path

import pytest

from pipeline.collector.sources_file import load_sources
from pipeline.settings import SettingsError
from schemas.vocabulary import CONTRACT


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "there is no [sources.NAME]"),
        ("[other]", "line 1: other: only [sources.NAME]"),
        ('[sources.A]\nkind="segment"', "line 1: sources.A: a source's name"),
        (
            '[sources.a]\nkind="segmint"',
            "line 2: sources.a.kind: no such kind of source: 'segmint', did you mean segment",
        ),
        ('[sources.a]\nkind="segment"', "keys: the public keys"),
        ('[sources.a]\nkind="segment"\nkey=["x"]', "line 3: sources.a.key: Extra inputs"),
        ('[sources.a]\nkind="shopify"', "secret_files or secret_envs"),
        (
            '[sources.a]\nkind="shopify"\nsecret_files=["none"]',
            "line 3: sources.a.secret_files: none cannot be read",
        ),
        ('[sources.a]\nkind="shopify"\nsecret_envs=["CX_NONE"]', "the environment has no CX_NONE"),
        ('[sources.a]\nkind="square"\nsecret_files=["k"]', "public_url"),
        ('[sources.a]\nkind="segment"\nkeys=["x"]\npath="x/"', "line 4: sources.a.path: a path such as"),
        ('[sources.a]\nkind="segment"\nkeys=["x"]\n[sources.a.fields]\nstep="a |"', "sources.a.fields: 'a |'"),
        ('[sources.a]\nkind="json"\nauth="none"', "events: of kind 'json'"),
        (
            '[sources.a]\nkind="json"\nauth="magic"\n[sources.a.events."*"]\ntype="page_viewed"',
            "line 3: sources.a.auth",
        ),
        (
            '[sources.a]\nkind="segment"\nkeys=["x"]\npath="/p"\n[sources.b]\nkind="segment"\nkeys=["y"]\npath="/p"',
            "line 8: sources.b.path: /p is the path of 'a' already",
        ),
        ("[sources", "sources.toml: Expected"),
    ],
)
def test_an_error_in_the_file_names_its_line(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(content)
    (tmp_path / "k").write_text("secret\n")
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(SettingsError) as raised:
        load_sources(str(path), CONTRACT, time.time)
    assert error in str(raised.value)


def test_a_type_that_is_none_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text('[sources.a]\nkind="segment"\nkeys=["x"]\n[sources.a.events.Signup]\ntype="signed_up"')
    with pytest.raises(
        SettingsError, match=r"line 5: sources.a.events.Signup.type: no such event type: .signed_up."
    ):
        load_sources(str(path), CONTRACT, time.time)


def test_a_field_that_is_none_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text('[sources.a]\nkind="segment"\nkeys=["x"]\n[sources.a.fields]\nstoreid="b"')
    with pytest.raises(SettingsError, match=r"line 5: sources.a.fields.storeid: no such field.*store_id"):
        load_sources(str(path), CONTRACT, time.time)
