"""What goes wrong under a command is one line and a status, whatever the driver raised."""

import pytest
from clickhouse_driver import errors

from pipeline.cli import main

TRACE = ". Stack trace:\n\n0. /usr/bin/clickhouse\n1. more"


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (241, "DB::Exception: Memory limit exceeded", "error: ClickHouse: "),
        (60, "DB::Exception: Table cx.moments does not exist", "'cx-signals migrate'"),
        (81, "DB::Exception: Database cx does not exist", "'cx-signals migrate'"),
    ],
)
def test_what_clickhouse_refuses_is_one_line(
    code: int, message: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def tree(*, args: list[str] | None) -> None:
        raise errors.ServerException(message + TRACE, code)

    with pytest.raises(SystemExit) as ended:
        main([], tree)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert said in line
    assert "/usr/bin" not in line


@pytest.mark.parametrize(
    "error", [errors.NetworkError("Connection refused\n(127.0.0.1:9000)"), EOFError("the server\nhas gone")]
)
def test_a_server_that_goes_away_under_a_command_is_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(args: list[str] | None) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        main([], command)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Connection refused (127.0.0.1:9000)" in said or "the server has gone" in said
    assert said.count("\n") == 1
