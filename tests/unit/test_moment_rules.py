"""The file of the moment rules: the shipped one is sound, a bad one is told with its line."""

from pathlib import Path

import pytest

from pipeline.model.moments import LONGEST_MS, Condition
from pipeline.settings import Settings, funnel_names, load, rules, rules_digest, vocabulary
from pipeline.settings.moment_rules import MomentRulesError, load_moment_rules
from schemas.vocabulary import CONTRACT
from tests.support import OWN

FUNNELS = funnel_names(Settings())
GOOD = """\
[[moment]]
name = "a"
when = [
    { types = ["error_shown"], step = "payment", count = 2 },
    { journey = "cart" },
]
unless = ["order_completed"]
within_s = 600
cooldown_s = 60
"""


def read(tmp_path: Path, text: str) -> str:
    """The error that the file gives."""
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(MomentRulesError) as raised:
        load_moment_rules(str(file), FUNNELS, CONTRACT)
    return str(raised.value).replace(str(tmp_path) + "/", "")


def test_six_rules_are_shipped_and_say_what_they_are_about() -> None:
    shipped = load_moment_rules("", FUNNELS, CONTRACT)
    assert len(shipped) == 6
    assert all(rule.says and rule.within_ms <= LONGEST_MS for rule in shipped)


def test_a_shop_without_a_funnel_has_the_shipped_rules_that_are_not_about_it() -> None:
    """OWN has renamed baskets and switched searches off; a shop without carts has one rule less."""
    assert len(load_moment_rules("", funnel_names(OWN), vocabulary(OWN))) == 6
    assert len(load_moment_rules("", ("checkout",), CONTRACT)) == 5


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_moment_rules("none", FUNNELS, CONTRACT) == ()
    (tmp_path / "m.toml").write_text("")
    assert load_moment_rules(str(tmp_path / "m.toml"), FUNNELS, CONTRACT) == ()


def test_a_rule_is_made_of_its_values(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(GOOD)
    (rule,) = load_moment_rules(str(tmp_path / "m.toml"), FUNNELS, CONTRACT)
    assert (rule.within_ms, rule.cooldown_ms, rule.is_of_session) == (600_000, 60_000, False)
    assert rule.conditions == (
        Condition(types=frozenset({"error_shown"}), step="payment", count=2),
        Condition(journey="cart", outcome="abandoned"),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "a"', 'name = "A b"', "m.toml, line 2: name: String should match pattern"),
        ("within_s = 600", "within_s = 604801", "m.toml, line 8: within_s: Input should be less than or equal"),
        ("cooldown_s = 60\n", "", "m.toml, line 1: cooldown_s: Field required"),
        ('{ journey = "cart" }', "{ count = 2 }", "m.toml, line 3: when.1: either types or journey is needed"),
        (
            '{ journey = "cart" }',
            '{ journey = "kart" }',
            "m.toml, line 3: when: no funnel 'kart'; there are search",
        ),
        ('["error_shown"]', '["eror_shown"]', "m.toml, line 3: when: no event type 'eror_shown'"),
        ('["order_completed"]', '["bought"]', "m.toml, line 7: unless: no event type 'bought'"),
        ('["order_completed"]', '["error_shown"]', "m.toml, line 7: unless: 'error_shown' is counted as well"),
        ("count = 2", "counts = 2", "m.toml, line 3: when.0.counts: Extra inputs are not permitted"),
        ("count = 2", "most_score = 2", "m.toml, line 3: when.0: survey and scores are of types"),
        (
            'journey = "cart"',
            'journey = "cart", outcome = "left"',
            "m.toml, line 3: when.1.outcome: Input should be",
        ),
        ("[[moment]]", "[[moments]]", "m.toml: moments: there are [[moment]] only"),
        ("when = [", "when = (", "m.toml: Invalid value (at line 3"),
        ("cooldown_s = 60\n", "cooldown_s = 60\n" + GOOD, "m.toml, line 11: name: a second rule 'a'"),
        ('name = "a"', 'name = "step-a"', "m.toml, line 2: name: 'step-a' begins with 'step-'"),
        ("within_s", 'colour = "red"\nwithin_s', "m.toml, line 8: colour: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert problem in read(tmp_path, GOOD.replace(old, new, 1))


def test_a_score_is_of_a_survey(tmp_path: Path) -> None:
    text = GOOD.replace('{ journey = "cart" }', '{ types = ["survey_answered"], most_score = 2 }')
    assert "when.1: a score is of a survey: say which" in read(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MomentRulesError, match=r"none-such\.toml: cannot be read"):
        load_moment_rules(str(tmp_path / "none-such.toml"), FUNNELS, CONTRACT)


def test_states_are_those_of_their_rules(tmp_path: Path) -> None:
    """What is kept follows from the rules; how one is worded does not matter."""
    found = []
    for text in (GOOD, GOOD.replace("600", "601"), GOOD.replace("within_s", 'says = "Oh"\nwithin_s')):
        (tmp_path / "m.toml").write_text(text)
        settings = load({"CX_MOMENTS__RULES": str(tmp_path / "m.toml")})
        found.append(rules_digest(settings))
        assert len(rules(settings).moments) == 1
    assert found[0] == found[2] != found[1]
    assert rules_digest(load({"CX_MOMENTS__RULES": "none"})) not in (*found, rules_digest(load({})))


def test_a_holdout_says_since_when(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(GOOD + "holdout = 0.1\nholdout_since = 2026-12-01T00:00:00Z\n")
    (rule,) = load_moment_rules(str(file), FUNNELS, CONTRACT)
    assert (rule.holdout, rule.holdout_since_ms) == (0.1, 1_796_083_200_000)
    for more in ("holdout = 0.1\n", "holdout_since = 2026-12-01T00:00:00Z\n"):
        assert "need each other" in read(tmp_path, GOOD + more)
    assert "holdout" in read(tmp_path, GOOD + "holdout = 0.6\nholdout_since = 2026-12-01T00:00:00Z\n")
    assert "timezone" in read(tmp_path, GOOD + "holdout = 0.1\nholdout_since = 2026-12-01T00:00:00\n")


def test_who_is_held_out_decides_nothing_of_a_state(tmp_path: Path) -> None:
    digests = []
    for more in ("", "holdout = 0.1\nholdout_since = 2026-12-01T00:00:00Z\n"):
        (tmp_path / "m.toml").write_text(GOOD + more)
        digests.append(rules_digest(load({"CX_MOMENTS__RULES": str(tmp_path / "m.toml")})))
    assert digests[0] == digests[1]
