"""The broker of ``up``: its jars, its folder, its bounds. That it runs is seen wherever a system is started."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import jars
from deploy.embedded.kafka import bytes_under
from deploy.embedded.process import StartError
from deploy.embedded.stack import Stack
from pipeline.kafka.topics import Bounds, topic_specs
from pipeline.settings import KafkaSettings

MIB = 1 << 20


class Central:
    """Has one file, for whatever is asked of it; nothing where it is away."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.is_away = False
        self._file = folder / "content"
        self._file.write_bytes(b"a jar")

    def resolve(self, coordinate: str, _: Path) -> Path:
        self.asked.append(coordinate)
        if self.is_away:
            raise OSError("no route to host")
        return self._file


@pytest.fixture
def central(tmp_path: Path) -> Central:
    return Central(tmp_path)


def lock(folder: Path, sha256: str) -> Path:
    path = folder / "kafka.lock"
    path.write_text(f"# a comment\norg.example:one:1.0 {sha256}\n")
    return path


def test_what_is_pinned_is_fetched_once(tmp_path: Path, central: Central) -> None:
    pinned, cache = lock(tmp_path, hashlib.sha256(b"a jar").hexdigest()), tmp_path / "cache"
    folder = jars.fetched(pinned, cache, central.resolve)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("one-1.0.jar", b"a jar")]
    assert list(cache.iterdir()) == [folder]
    assert jars.fetched(pinned, cache, central.resolve) == folder
    assert central.asked == ["org.example:one:1.0"]


def test_another_file_than_the_one_that_is_pinned_is_not_run(tmp_path: Path, central: Central) -> None:
    with pytest.raises(StartError, match=r"org\.example:one:1\.0 is not the file that kafka\.lock pins"):
        jars.fetched(lock(tmp_path, "0" * 64), tmp_path / "cache", central.resolve)
    assert list((tmp_path / "cache").iterdir()) == []


def test_where_they_cannot_be_fetched_it_is_said_what_else_there_is(tmp_path: Path, central: Central) -> None:
    central.is_away = True
    with pytest.raises(StartError, match=r"no route to host.*CX_EMBEDDED__KAFKA_HOME.*CX_EMBEDDED__KAFKA"):
        jars.fetched(lock(tmp_path, "0" * 64), tmp_path / "cache", central.resolve)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_installed_kafka_is_looked_at_before_it_is_run(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no Kafka is installed in"):
        jars.class_path(str(tmp_path))
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka-server-4.3.1.jar").touch()
    assert jars.class_path(str(tmp_path)) == f"{tmp_path / 'libs'}/*"


def test_every_pinned_jar_has_a_sum() -> None:
    lines = [line for line in jars.LOCK.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 40
    assert all(len(line.split()[1]) == 64 and line.count(":") == 2 for line in lines)


@pytest.mark.parametrize(
    ("before", "is_new", "expected"), [(None, True, "1"), ("3", True, "4"), ("3", False, "3"), (None, False, "1")]
)
def test_the_generation_rises_where_kafkas_logs_have_begun_anew(
    tmp_path: Path, before: str | None, is_new: bool, expected: str
) -> None:
    if before is not None:
        (tmp_path / "generation").write_text(before)
    stack = Stack(tmp_path)
    stack._is_new = is_new
    assert stack.environment()["CX_PIPELINE__GENERATION"] == expected
    assert (tmp_path / "generation").read_text().strip() == expected
    assert stack.has_a_past is not is_new


def test_topics_are_bounded_by_partition() -> None:
    specs = {spec.name: spec for spec in topic_specs(KafkaSettings(), None, Bounds(1_024 * MIB, 64 * MIB))}
    assert specs["touchpoints.web"].config["retention.bytes"] == str(256 * MIB)
    assert specs["cx.evidence"].config["retention.bytes"] == str(1_024 * MIB)  # one partition
    assert specs["cx.journeys"].config["segment.bytes"] == str(4 * MIB)
    assert "retention.bytes" not in specs["cx.checkpoints.web"].config
    assert specs["cx.values"].config["retention.bytes"] == "-1"
    unbounded = {spec.name: spec for spec in topic_specs(KafkaSettings())}
    assert "retention.bytes" not in unbounded["touchpoints.web"].config


def test_bytes_on_disk_are_those_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= bytes_under(tmp_path) < 200_000


def test_how_a_broker_that_runs_is_spoken_to_is_left_to_the_settings(tmp_path: Path) -> None:
    environ = Stack(tmp_path, kafka_address="kafka.example:9093").environment()
    assert environ["CX_KAFKA__BOOTSTRAP_SERVERS"] == "kafka.example:9093"
    assert not {"CX_KAFKA__SECURITY_PROTOCOL", "CX_PIPELINE__GENERATION"} & set(environ)
    assert not (tmp_path / "generation").exists()


def test_folders_that_go_while_they_are_counted_are_passed_over(tmp_path: Path) -> None:
    """Kafka and ClickHouse remove segments and parts at any time."""
    for name in ("gone", "stays"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "segment").write_bytes(b"x" * 10_000)
    (tmp_path / "stays" / "removed").symlink_to(tmp_path / "nothing")

    def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for found in os.walk(folder):
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)  # after it was listed
            yield found

    assert bytes_under(tmp_path, walk) == (tmp_path / "stays" / "segment").stat().st_blocks * 512
