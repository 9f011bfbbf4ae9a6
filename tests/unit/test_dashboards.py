"""What can be said of the dashboards without running them."""

import re

import pytest

from dashboards.build import FOLDER, dashboards
from dashboards.levels import rule_of
from tests.dashboards import documents, panels

UIDS = ("cx-funnels", "cx-health", "cx-live", "cx-recovery", "cx-stores")


def test_the_committed_json_is_what_the_code_makes() -> None:
    made = dashboards()
    assert sorted(made) == sorted(path.name for path in FOLDER.glob("*.json")) == [f"{uid}.json" for uid in UIDS]
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run 'make dashboards'"


@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_says_what_its_number_means_and_in_which_unit(uid: str) -> None:
    found = list(panels(documents()[uid]))
    assert len(found) >= 8
    assert len({panel["id"] for panel in found}) == len(found)
    for panel in found:
        assert len(panel["description"]) > 5, panel["title"]
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} <= {"cx-clickhouse", "cx-prometheus"}


@pytest.mark.parametrize("uid", ["cx-funnels", "cx-live", "cx-recovery", "cx-stores"])
def test_dashboards_of_the_shop_have_choices_marks_of_alerts_and_ways_to_each_other(uid: str) -> None:
    document = documents()[uid]
    names = {variable["name"] for variable in document["templating"]["list"]}
    assert {"channel", "store", "device", "window", "segment"} <= names
    used = set(re.findall(r"\$\{?(\w+)", str([panel["targets"] for panel in panels(document)])))
    assert used - names <= {name for name in used if name.startswith("__")}
    assert [mark["name"] for mark in document["annotations"]["list"]] == ["Alerts"]
    (link,) = document["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["cx-signals"],
        True,
        True,
    )


def test_drill_downs_lead_to_dashboards_that_there_are() -> None:
    urls = re.findall(r"/d/([\w-]+)\?", str(documents()))
    assert len(urls) >= 3
    assert set(urls) <= set(UIDS)


def test_levels_are_those_of_the_alert_rules() -> None:
    ratios = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for panel in [*panels(documents()["cx-live"]), *panels(documents()["cx-stores"])]
        if "against usual" in panel["title"]
    }
    assert len(ratios) >= 3
    for title, steps in ratios.items():
        rule = rule_of("queue_completion_ratio" if title.startswith("Served") else "checkout_completion_ratio")
        assert [step["value"] for step in steps] == pytest.approx(
            [None, 1 - rule.change, 1 - rule.change * rule.well]
        )
        assert [step["color"] for step in steps] == ["red", "orange", "green"]
