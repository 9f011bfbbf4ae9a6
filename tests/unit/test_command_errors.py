"""What goes wrong outside is told in one line, with status 1."""

import pytest
from clickhouse_driver import errors

from pipeline import cli


@pytest.mark.parametrize(
    "error", [errors.NetworkError("Connection refused\n(127.0.0.1:9000)"), EOFError("the server\nhas gone")]
)
def test_a_server_that_goes_away_under_a_command_is_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(args: list[str] | None) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        cli.main([], command)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
