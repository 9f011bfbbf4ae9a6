"""The first screen as Lighthouse sees it, on a phone: accessible, sound, small, and nothing in it jumps.

Its marks for speed depend on what else the machine does: they are printed, and held by docs/performance.md.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.needs import need
from tests.node import LIGHTHOUSE, node_modules
from tests.systems import Running

#: Of the first test: setting up, starting a shop, its history, the audit.
pytestmark = pytest.mark.timeout(900)
MOST_BYTES = 200_000
"""Of all that goes over the network until the page is at rest, the first look at all figures included."""
MOST_SHIFT = 0.05
"""Half of what counts as good; what is left is text of another width."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    node, chromium = shutil.which("node"), shutil.which("chromium")
    need(node, "node is not installed (Debian's package nodejs)")
    need(chromium, "chromium is not installed (Debian's package has the same name)")
    modules = node_modules(LIGHTHOUSE) / "node_modules"
    folder = tmp_path_factory.mktemp("lighthouse")
    system = Running.start(folder, "--simulate", "5", "--history", "30")
    try:
        settled = (
            "SELECT count() > 0 FROM cx.signals WHERE window = '1h' AND window_end > now() - INTERVAL 11 MINUTE"
        )
        system.wait_for(lambda: bool(system.sql(settled)[0][0]), 300)
        report = folder / "report.json"
        command = [str(node), str(modules / "lighthouse/cli/index.js"), system.addresses["web"], "--quiet"]
        options = ["--output=json", f"--output-path={report}", "--chrome-flags=--headless=new --no-sandbox"]
        done = subprocess.run(
            [*command, *options],
            env=os.environ | {"CHROME_PATH": str(chromium)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(report.read_text())
    finally:
        system.stop()


def failing(audit: dict[str, Any], category: str) -> list[str]:
    asked = [one["id"] for one in audit["categories"][category]["auditRefs"] if one["weight"] > 0]
    return [name for name in asked if (audit["audits"][name]["score"] or 0) < 1]


@pytest.mark.parametrize("category", ["accessibility", "best-practices"])
def test_nothing_is_found_wrong(audit: dict[str, Any], category: str) -> None:
    print("performance", audit["categories"]["performance"]["score"])
    assert audit["categories"][category]["score"] == 1, failing(audit, category)


def test_nothing_jumps(audit: dict[str, Any]) -> None:
    assert audit["audits"]["cumulative-layout-shift"]["numericValue"] < MOST_SHIFT


def test_little_is_sent(audit: dict[str, Any]) -> None:
    assert 20_000 < audit["audits"]["total-byte-weight"]["numericValue"] < MOST_BYTES
