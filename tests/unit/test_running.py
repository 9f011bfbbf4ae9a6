"""The file that tells other terminals where the stack of this machine is."""

import json
import os
import stat
from pathlib import Path

import pytest

from pipeline.settings import load, running

STACK = {"CX_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1234", "CX_CLICKHOUSE__PASSWORD": "of this start"}
NAME = f"cx-signals.{os.getpid()}.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_what_is_remembered_is_found_by_the_owner_alone_until_it_is_forgotten(folder: Path) -> None:
    assert running.found() == {}
    running.remember(STACK)
    assert running.found() == STACK
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600
    running.remember(STACK | {"CX_CLICKHOUSE__PORT": "9"})
    assert running.found()["CX_CLICKHOUSE__PORT"] == "9"
    running.forget()
    assert running.found() == {}
    assert list(folder.iterdir()) == []


def test_settings_come_from_it_unless_the_environment_names_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    running.remember(STACK)
    assert load().kafka.bootstrap_servers == "127.0.0.1:1234"
    assert load().clickhouse.password.get_secret_value() == "of this start"
    monkeypatch.setenv("CX_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092")
    assert load().kafka.bootstrap_servers == "kafka:9092"
    assert load().clickhouse.password.get_secret_value() == ""


def test_what_others_could_have_written_is_not_believed(folder: Path) -> None:
    running.remember(STACK)
    path = folder / NAME
    path.chmod(0o644)
    assert running.found() == {}
    path.chmod(0o600)
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    assert running.found() == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": "x"}', '{"pid": 1, "environ": []}', "\udc80"])
def test_a_broken_file_is_none(content: str, folder: Path) -> None:
    path = folder / NAME
    path.write_text(content, errors="surrogateescape")
    path.chmod(0o600)
    assert running.found() == {}
    running.remember(STACK)
    assert running.found() == STACK


def write(folder: Path, pid: int, environ: dict[str, str]) -> Path:
    path = folder / f"cx-signals.{pid}.json"
    path.write_text(json.dumps({"pid": pid, "environ": environ}))
    path.chmod(0o600)
    return path


def test_a_stack_that_has_ended_without_a_word_is_none_and_its_file_goes(folder: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    left = write(folder, child, STACK)
    assert running.found() == {}
    running.remember(STACK)
    assert not left.exists()


def test_of_two_stacks_the_one_started_last_is_found_and_then_the_other(folder: Path) -> None:
    first = write(folder, os.getppid(), {"CX_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    os.utime(first, (1, 1))
    running.remember(STACK)
    assert running.found() == STACK
    running.forget()
    assert running.found() == {"CX_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
