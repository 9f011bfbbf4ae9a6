"""Starting, stopping, and what is said when something is missing or wrong."""

import json
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from deploy.embedded.process import free_port
from tests.systems import Running, cx


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_simulated_shop_shows_signals_and_ends_leaving_nothing(tmp_path: Path, number: int) -> None:
    system = Running.start(tmp_path, "--simulate", "40", "--history", "20")
    try:
        children = children_of(system.process.pid)
        assert len(children) >= 3
        ready = "SELECT count() FROM cx.signals FINAL WHERE signal = 'checkout_abandonment' AND segment = 'all'"
        system.wait_for(lambda: system.sql(ready)[0][0] > 0)
        system.wait_for(lambda: any(one.startswith("friction") for one in list(system.said)))
        line = next(one for one in list(system.said) if one.startswith("friction"))
        assert "n=" in line
        with urllib.request.urlopen(f"{system.addresses['web']}/metrics", timeout=60) as page:
            assert b'cx_events_total{outcome="accepted",topic="touchpoints.web"}' in page.read()
        system.wait_for(lambda: "config.js" in _page(system.addresses["shop"]))  # open, once the past is sent
        late = "SELECT count() FROM cx.dead_letters FINAL WHERE reason = 'too_late'"
        assert system.sql(late) == [(0,)]
        asked = cx(
            "sql", "SELECT count() AS n, char(27, 91, 50, 74) AS odd FROM cx.signals FINAL", environ=system.environ
        )
        assert asked.stdout.splitlines()[0].split() == ["n", "odd"]
        assert "\\x1b[2J" in asked.stdout
        assert "\x1b" not in asked.stdout
        assert cx("sql", "SELECT nothing", environ=system.environ).returncode == 1
        shown = cx("sql", "SHOW TABLES FROM cx LIKE 'jour%'", environ=system.environ)
        assert shown.stdout.splitlines()[2:] == ["journeys", "journeys_by_entry", "journeys_by_entry_feed"]
        children = children_of(system.process.pid)
    finally:
        status = system.stop(number)
    assert status == 0
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def _page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return str(answer.read().decode())


def test_killed_hard_it_takes_its_children_along(tmp_path: Path) -> None:
    system = Running.start(tmp_path)
    children = children_of(system.process.pid)
    system.process.kill()
    system.process.wait()
    deadline = time.monotonic() + 90
    while any(_runs(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_kafka_out_of_reach_is_one_line_and_status_1() -> None:
    address = f"127.0.0.1:{free_port()}"
    environ = {"CX_KAFKA__BOOTSTRAP_SERVERS": address, "CX_KAFKA__CONNECT_TIMEOUT_S": "1.5"}
    done = cx("worker", environ=environ)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "error:" in line][-1].count(address) == 1
    assert "Traceback" not in done.stderr


def test_clickhouse_out_of_reach_is_one_line_and_status_1() -> None:
    port = free_port()
    environ = {"CX_CLICKHOUSE__PORT": str(port), "CX_CLICKHOUSE__CONNECT_TIMEOUT_S": "1"}
    done = cx("migrate", environ=environ)
    assert done.returncode == 1
    assert f"ClickHouse at 127.0.0.1:{port} does not answer" in done.stderr
    assert "retrying" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CX_KAFKA__PARTITION": "3"}, "did you mean CX_KAFKA__PARTITIONS?"),
        ({"CX_WEB__PORT": "http"}, "CX_WEB__PORT"),
        ({"CX_PIPELINE__LATENESS_S": "-1"}, "CX_PIPELINE__LATENESS_S"),
        ({"CX_SEGMENTS__COMBINATIONS": '[["colour"]]'}, "no such dimension: colour"),
        ({"CX_FUNNELS__CART__OPENS_ON": '["bought"]'}, "no such event type: bought"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(environ: dict[str, str], said: str) -> None:
    done = cx("topics", environ=environ)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    system = Running.start(tmp_path)
    try:
        port = system.addresses["kafka"].rpartition(":")[2]
        done = cx("up", "--no-simulate", "--kafka-port", port)
        assert done.returncode == 1
        assert f"port {port}" in done.stderr
    finally:
        system.stop()


def test_schema_export(tmp_path: Path) -> None:
    assert cx("schema", "export", str(tmp_path)).returncode == 0
    schema = json.loads((tmp_path / "touchpoint.json").read_text())
    assert schema["properties"]["occurred_at"]["format"] == "date-time"
    assert set(schema["required"]) == {"event_id", "type", "occurred_at", "channel", "session_id"}


def test_every_command_explains_itself() -> None:
    for command in ("up", "worker", "simulate", "replay", "migrate", "topics", "tail", "verify"):
        done = cx(command, "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout
