"""Prometheus's and Alertmanager's configuration, checked by their own tools; and the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.collector.metrics import CollectorMetrics
from pipeline.metrics import Metrics
from tests.needs import need

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())


def rules(kind: str) -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"] if kind in rule]


@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "config", "--syntax-only", "prometheus/prometheus.yml"],
        ["promtool", "check", "rules", "--lint-fatal", "prometheus/rules.yml"],
        ["promtool", "test", "rules", "prometheus/rules_test.yml"],
        ["amtool", "check-config", "alertmanager/alertmanager.yml"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_the_tools_accept_their_files(command: list[str]) -> None:
    need(shutil.which(command[0]), f"{command[0]} is not installed (Debian: prometheus, prometheus-alertmanager)")
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_section_in_the_runbook_and_a_test_and_no_other_has() -> None:
    alerts = [rule["alert"] for rule in rules("alert")]
    assert len(alerts) == len(set(alerts)) > 10
    headings = re.findall(r"^## (\w+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.M)
    assert headings == alerts
    assert all(
        rule["annotations"]["runbook"] == f"deploy/RUNBOOK.md#{rule['alert'].lower()}" for rule in rules("alert")
    )
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yml").read_text())["tests"]
    tested = [one for test in tests for one in test["alert_rule_test"]]
    assert {one["alertname"] for one in tested if one["exp_alerts"]} == set(alerts)
    assert {one["alertname"] for one in tested if not one["exp_alerts"]} == set(alerts)


def test_rules_use_only_metrics_that_there_are() -> None:
    described = [*Metrics().described, *CollectorMetrics().described]
    known = {one.name for one in described}
    known |= {f"{one.name}_bucket" for one in described if one.kind == "histogram"}
    recorded = {rule["record"] for rule in rules("record")}
    for rule in [*rules("record"), *rules("alert")]:
        assert set(re.findall(r"\bcx_\w+", rule["expr"])) <= known
        assert set(re.findall(r"\bcx:[\w:]+", rule["expr"])) <= recorded
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    assert set(re.findall(r"`(cx_\w+)", runbook)) <= known
    assert set(re.findall(r"`(cx:[\w:]+)", runbook)) <= recorded
