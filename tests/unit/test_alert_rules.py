"""The file of the alert rules: the shipped one is sound, a bad one is told with its line."""

from pathlib import Path

import pytest

from pipeline.model.signals import signals_of
from pipeline.settings import Settings, funnel_names
from pipeline.settings.alert_rules import RulesError, load_rules
from tests.support import OWN

FUNNELS = funnel_names(Settings())
GOOD = """\
[defaults]
false_rate = 1e-4
for_s = 60
certain = 5.5
keep_s = 300
well = 0.5
severity = "critical"

[[rule]]
name = "a"
signal = "checkout_completion_ratio"
direction = "falls"
windows = [2, 5]
least = 8
change = 0.3
family = "purchase"
"""


def read(tmp_path: Path, text: str) -> str:
    """The error that the file gives."""
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(RulesError) as raised:
        load_rules(str(file), FUNNELS)
    return str(raised.value).replace(str(tmp_path) + "/", "")


def test_the_shipped_rules_cover_every_funnel_and_satisfaction() -> None:
    rules = load_rules("", FUNNELS)
    watched = {rule.signal for rule in rules}
    assert {f"{funnel}_completion_ratio" for funnel in FUNNELS} <= watched
    assert {"checkout_nowcast", "checkout_abandonment", "csat", "nps", "ces", "friction"} <= watched
    assert watched <= {signal.name for signal in signals_of(FUNNELS, ())}


def test_a_rule_is_made_of_its_own_values_and_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(GOOD)
    (rule,) = load_rules(str(file), FUNNELS)
    assert (rule.windows_ms, rule.falls, rule.for_ms, rule.keep_ms) == ((120_000, 300_000), True, 60_000, 300_000)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("change = 0.3", "change = 30", "rules.toml, line 15: change: Input should be less than 1 (found 30)"),
        ("windows = [2, 5]", "windows = [5, 2]", "rules.toml, line 13: windows: must ascend (found [5, 2])"),
        ("windows = [2, 5]", "windows = [2.1]", "line 13: windows: must be whole or half minutes"),
        ('direction = "falls"', 'direction = "down"', "line 12: direction: Input should be 'falls' or 'rises'"),
        ("checkout_completion_ratio", "chekout_nowcast", "line 11: no signal 'chekout_nowcast'; there are"),
        ("least = 8\n", "", "line 9: least: Field required"),
        ("least = 8", "leest = 8", "line 9: least: Field required"),
        ("least = 8", "least = ", "rules.toml: Invalid value (at line 14, column 9)"),
        ("[[rule]]", "[[rules]]", "rules.toml: rules: there are [defaults] and [[rule]] only"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert problem in read(tmp_path, GOOD.replace(old, new))


def test_a_second_rule_of_a_name_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    second = GOOD[GOOD.index("[[rule]]") :]
    assert "line 19: name: a second rule 'a'" in read(tmp_path, f"{GOOD}\n{second}")
    with pytest.raises(RulesError, match=r"no-such\.toml: cannot be read"):
        load_rules(str(tmp_path / "no-such.toml"), FUNNELS)
    assert "holds no [[rule]]" in read(tmp_path, "")


def test_a_rule_about_a_kind_is_one_for_each_funnel_that_no_other_names(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    about = GOOD[GOOD.index("[[rule]]") :].replace('family = "purchase"\n', "")
    about = about.replace('signal = "checkout_completion_ratio"', 'kind = "completion_ratio"').replace(
        '"a"', '"b"'
    )
    file.write_text(f"{GOOD}\n{about}")
    rules = load_rules(str(file), ("checkout", "click_and_collect"))
    assert [(rule.name, rule.signal, rule.family) for rule in rules] == [
        ("a", "checkout_completion_ratio", "purchase"),
        ("click-and-collect-b", "click_and_collect_completion_ratio", "click_and_collect"),
    ]


def test_the_shipped_rules_follow_what_a_shop_adds_renames_and_switches_off() -> None:
    watched = {rule.signal for rule in load_rules("", funnel_names(OWN))}
    assert {"pickup_completion_ratio", "till_completion_ratio"} <= watched
    assert not any(signal.startswith(("search_", "basket_")) for signal in watched)


def test_a_rule_is_about_a_signal_or_a_kind(tmp_path: Path) -> None:
    neither = GOOD.replace('signal = "checkout_completion_ratio"\n', "")
    assert "signal or kind is needed" in read(tmp_path, neither)
    assert "signal or kind is needed" in read(tmp_path, GOOD.replace("least = 8", 'least = 8\nkind = "nowcast"'))


def test_a_rule_about_a_funnel_of_the_shops_can_have_steps(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    for text, has_steps in ((GOOD, True), (GOOD.replace('"purchase"', '"pickup"'), False)):
        for more, expected in (("", has_steps), ("steps = true\n", True), ("steps = false\n", False)):
            file.write_text(text + more)
            (rule,) = load_rules(str(file), FUNNELS)
            assert rule.has_steps is expected
