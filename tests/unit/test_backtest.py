"""``backtest`` over a file: the alert there would have been, without Kafka or ClickHouse."""

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import build
from pipeline.tools.simulator.traffic import Incident, ShopSettings, traffic
from schemas.times import parse_rfc3339

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
