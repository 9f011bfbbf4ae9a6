"""``backtest`` over a file: the alert there would have been, without Kafka or ClickHouse."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import build
from pipeline.tools.backtest import logs_of
from pipeline.tools.replay.formats import FileEvent, reader_of
from pipeline.tools.simulator.traffic import Incident, ShopSettings, traffic
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import LogRecord
from schemas.times import format_rfc3339, parse_rfc3339
from tests.persons import FEW_NAIVE
from tests.support import RULES

START_MS = parse_rfc3339("2026-11-20T10:00:00Z")
MINUTE = 60_000
FROM_MS, UNTIL_MS = START_MS + 270 * MINUTE, START_MS + 310 * MINUTE


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six hours of a small shop, in which paying on mobile devices breaks for forty minutes."""
    shop = ShopSettings(4.0, seed=3, incidents=(Incident("payment-mobile", FROM_MS, UNTIL_MS),))
    until_ms = START_MS + 360 * MINUTE
    file = tmp_path_factory.mktemp("history") / "events.ndjson"
    events = itertools.takewhile(lambda event: event.at_ms < until_ms, traffic(shop, START_MS))
    file.write_bytes(b"\n".join(event.payload for event in events))
    return file


def test_it_prints_the_alert_with_its_cause_as_text_and_as_json(history: Path) -> None:
    done = CliRunner().invoke(build(), ["backtest", str(history), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    purchase = [alert for alert in found["alerts"] if alert["rule"].startswith(("checkout", "cart"))]
    (alert,) = purchase
    assert FROM_MS < parse_rfc3339(alert["fired_at"]) <= FROM_MS + 8 * MINUTE
    assert UNTIL_MS < parse_rfc3339(alert["resolved_at"]) <= UNTIL_MS + 25 * MINUTE
    assert "device=mobile" in alert["causes"][0]["where"]
    assert found["weeks"] == pytest.approx(8 / 168, rel=0.05)  # two hours to let the last journeys end
    assert found["alerts_per_week"] == pytest.approx(len(found["alerts"]) / found["weeks"], rel=0.01)


def test_other_rules_can_be_tried(history: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    shipped = (Path(__file__).parents[2] / "pipeline" / "settings" / "alert_rules.toml").read_text()
    rules.write_text(shipped.replace("least = 8", "least = 100000").replace("least = 30", "least = 100000"))
    done = CliRunner().invoke(build(), ["backtest", str(history), "--rules", str(rules)])
    assert done.exit_code == 0, done.output
    assert "checkout" not in done.stdout
    assert "alerts in 0.05 weeks" in done.stdout


def test_no_events_are_no_alerts(tmp_path: Path) -> None:
    empty = tmp_path / "empty.ndjson"
    empty.write_text("")
    done = CliRunner().invoke(build(), ["backtest", str(empty)])
    assert done.exit_code == 0, done.output


def moments(*more: str) -> Any:
    done = CliRunner().invoke(build(), ["backtest", "--moments", *more])
    assert done.exit_code == 0, done.output
    return done


def test_moments_are_those_of_a_naive_walk_under_pseudonyms(history: Path) -> None:
    told = json.loads(moments(str(history), "--json").stdout)
    logs = logs_of(
        [one for one in reader_of("touchpoints", RULES.vocabulary)(history) if isinstance(one, FileEvent)]
    )
    naive = {
        source: [LogRecord(one.offset, -1, one.value, one.tick_ms) for one in log] for source, log in logs.items()
    }
    expected = compute(naive, FEW_NAIVE).moments  # moments are of no segment
    assert len(expected) > 10
    shown = [(one["rule"], one["channel"], one["session_id"], one["at"], one["events"]) for one in told["moments"]]
    assert sorted(shown) == sorted(
        (row.rule, key.channel, key.session_id, format_rfc3339(key.at_ms), list(row.events))
        for key, row in expected.items()
    )
    names = {row.person[2:] for row in expected.values() if not row.person.startswith("s:")}
    assert names.isdisjoint(one["person"][2:] for one in told["moments"])
    by_rule = {one["rule"]: one for one in told["rules"]}
    contacts = [row for row in expected.values() if row.rule == "second-contact"]
    persons = len({row.person for row in contacts})
    found = by_rule["second-contact"]
    assert (found["fired"], found["persons"]) == (len(contacts), persons)
    assert found["per_1000_persons"] == pytest.approx(1000 * persons / told["persons"], abs=0.001)


def test_other_moment_rules_can_be_tried(history: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[moment]]\nname = "bought"\nwhen = [{ types = ["order_completed"] }]\nwithin_s = 1\ncooldown_s = 0\n'
    )
    lines = moments(str(history), "--rules", str(rules)).stdout.splitlines()
    bought = sum(b'"order_completed"' in line for line in history.read_bytes().splitlines())
    assert lines[-1].startswith(f"bought: {len(lines) - 1} in 0.0")
    assert 0.9 * bought < len(lines) - 1 <= bought  # some are told twice, under the same id
    none = CliRunner().invoke(build(), ["backtest", "--moments", "--rules", "none", str(history)])
    assert none.exit_code == 1
    assert "there are no moment rules" in str(none.exception)


def test_no_events_are_no_moments(tmp_path: Path) -> None:
    empty = tmp_path / "empty.ndjson"
    empty.write_text("")
    assert "no events" in moments(str(empty)).output
