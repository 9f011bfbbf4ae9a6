"""What goes wrong outside is told in one line, with status 1."""

from collections.abc import Callable

import pytest
from clickhouse_driver import errors

from pipeline import cli


def failing(error: Exception) -> Callable[[], Callable[..., None]]:
    def run(args: list[str] | None) -> None:
        raise error

    return lambda: run


@pytest.mark.parametrize(
    "error", [errors.NetworkError("Connection refused\n(127.0.0.1:9000)"), EOFError("the server\nhas gone")]
)
def test_a_server_that_goes_away_under_a_command_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "build", failing(error))
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
