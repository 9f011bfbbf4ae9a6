"""The embedded ClickHouse: who may use it, and that nobody reaches outside of it through it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import Error

from deploy.embedded import clickhouse
from deploy.embedded.process import free_port

PASSWORD = "a password of this test"
ACCESS_DENIED, AUTHENTICATION_FAILED = 497, 516


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    # An odd name is no reason to fail, or to let anybody in.
    folder = tmp_path_factory.mktemp("it's a?b&c%20")
    port = free_port()
    child = clickhouse.start(port, folder / "quo'te", folder / "log", PASSWORD)
    client = Client("127.0.0.1", port=port, password=PASSWORD)
    client.execute("CREATE DATABASE cx")
    client.execute("CREATE TABLE cx.t (a String) ENGINE = MergeTree ORDER BY a")
    client.disconnect()
    (folder / "secret").write_text("SECRET")
    try:
        yield port, folder
    finally:
        child.stop()
        assert child.process.returncode == 0


@pytest.fixture
def client(engine: tuple[int, Path]) -> Iterator[Any]:
    found = Client("127.0.0.1", port=engine[0], password=PASSWORD)
    yield found
    found.disconnect()


def test_only_who_knows_the_password_is_let_in(engine: tuple[int, Path]) -> None:
    for user, password in (("default", ""), ("default", "x"), ("default", PASSWORD + "\0"), ("else", PASSWORD)):
        with pytest.raises(Error) as raised:
            Client("127.0.0.1", port=engine[0], user=user, password=password).execute("SELECT 1")
        assert raised.value.code == AUTHENTICATION_FAILED
    assert Client("127.0.0.1", port=engine[0], password=PASSWORD).execute("SELECT 1") == [(1,)]


ATTACKS = [
    "SELECT * FROM file('{secret}', 'RawBLOB', 'a String')",
    "SELECT file('{secret}')",
    "SELECT FILE ( '{secret}' )",
    "SELECT/**/file/**/('{secret}')",
    "SELECT `fi\\x6ce`('{secret}')",
    "SELECT arrayMap(file, ['{secret}'])",
    "SELECT * APPLY file FROM (SELECT '{secret}')",
    "SELECT 1; SELECT file('{secret}')",
    "SELECT * FROM format(JSONEachRow, 'a String, b String DEFAULT file(\\'{secret}\\')', '{{\"a\": 1}}')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'RawBLOB', 'a String')",
    "SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV', 'a String')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('{secret}', 't')",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT 'x' INTO OUTFILE '{folder}/out'",
    "SELECT 'x'\nINTO\nOUTFILE\n'{folder}/out'",
    "INSERT INTO FUNCTION file('{folder}/out', 'CSV', 'a String') VALUES ('x')",
    "INSERT INTO FUNCTION file('{folder}/out', 'CSV', 'a String') SELECT 'x'",
    "INSERT INTO TABLE FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a String') SELECT 'x'",
    "INSERT INTO cx.t FROM INFILE '{secret}' FORMAT LineAsString",
    "INSERT INTO cx.t SELECT file('{secret}')",
    "CREATE TABLE cx.f (a String) ENGINE = File(CSV, '{folder}/out')",
    "CREATE TABLE cx.u (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)",
    "CREATE TABLE cx.r (k String, v String) ENGINE = EmbeddedRocksDB(0, '{folder}/out') PRIMARY KEY k",
    "CREATE TABLE cx.e (a String) ENGINE = Executable('id', TSV)",
    "CREATE TABLE cx.d (a String) ENGINE = MergeTree ORDER BY a "
    "SETTINGS disk = disk(type = local, path = '{folder}/out/')",
    "CREATE DICTIONARY cx.x (a String) PRIMARY KEY a SOURCE(FILE(path '{secret}' format 'CSV')) LAYOUT(FLAT())",
    "CREATE VIEW cx.v AS SELECT file('{secret}')",
    "ALTER TABLE cx.t ADD COLUMN b String DEFAULT file('{secret}')",
    "BACKUP TABLE cx.t TO File('{folder}/out')",
    "CREATE USER somebody",
    "GRANT ALL ON *.* TO default",
    "SYSTEM SHUTDOWN",
    "SET allow_introspection_functions = 1",
    "SELECT 1 SETTINGS allow_introspection_functions = 1",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_reaches_outside(attack: str, client: Any, engine: tuple[int, Path]) -> None:
    folder = engine[1]
    quoted = str(folder).replace("'", "\\'")
    query = attack.format(secret=f"{quoted}/secret", folder=quoted)
    with pytest.raises(Error) as raised:
        client.execute(query)
    assert "SECRET" not in str(raised.value)
    assert not (folder / "out").exists()
    assert client.execute("SELECT 1") == [(1,)], "and it goes on"
    assert ("SECRET",) not in client.execute("SELECT a FROM cx.t")


def test_what_has_nothing_to_do_with_files_is_let_through(client: Any) -> None:
    client.execute("INSERT INTO cx.t VALUES", [("it's a file(x)",), ("INTO OUTFILE",)])
    assert len(client.execute("SELECT a FROM cx.t WHERE a LIKE '%file%' OR a = 'INTO OUTFILE'")) == 2
    assert client.execute("SELECT sum(number) FROM numbers(10)") == [(45,)]
    assert client.execute("SELECT * FROM values('a String', 'x')") == [("x",)]
    assert client.execute("SELECT count() FROM system.tables WHERE database = 'cx' AND engine = 'MergeTree'") == [
        (1,)
    ]
    assert client.execute("SELECT name AS profile FROM system.databases WHERE name = 'cx'") == [("cx",)]


def test_nobody_else_reads_its_files(engine: tuple[int, Path]) -> None:
    folder = engine[1]
    found = list((folder / "quo'te").rglob("*"))
    assert len(found) > 5
    for path in (folder / "quo'te", *found):
        mode = os.lstat(path).st_mode
        assert stat.S_ISLNK(mode) or stat.S_IMODE(mode) & 0o077 == 0, path
