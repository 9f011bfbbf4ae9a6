"""Holdout: who is not told of, and what is said of the difference that makes."""

import random
from dataclasses import replace

import pytest

from pipeline.core.effects import Arm, effect, share_bounds
from pipeline.core.persons.changing import MomentRow
from pipeline.core.persons.moments import Moment
from pipeline.model.holdout import Holdout
from pipeline.model.moments import Condition, MomentRule
from pipeline.outputs.moments import moments_output
from schemas.facts import Fact
from sinks.tables import COLUMNS, MOMENTS

T0 = 1_772_449_200_000
RAGE = Condition(types=frozenset({"rage_clicked"}))
PERSONS = [f"c:customer-{number}" for number in range(20_000)]


def rule(share: float, name: str = "r") -> MomentRule:
    return MomentRule(name, (RAGE,), 60_000, frozenset(), 0, is_of_session=False, holdout=share)


def test_the_share_is_that_of_the_rule_and_each_rule_draws_for_itself() -> None:
    holdout = Holdout([rule(0.1), rule(0.5, "other"), rule(0.0, "none")], b"key")
    held = {name: {one for one in PERSONS if holdout.has(name, one, T0)} for name in ("r", "other", "none")}
    assert len(held["r"]) == pytest.approx(2_000, rel=0.1)
    assert len(held["other"]) == pytest.approx(10_000, rel=0.1)
    assert not held["none"]
    assert len(held["r"] & held["other"]) == pytest.approx(1_000, rel=0.15)


def test_an_arm_stays_and_is_not_foreseen_without_the_key() -> None:
    arms = [[Holdout([rule(0.3)], key).has("r", one, T0) for one in PERSONS[:500]] for key in (b"a", b"a", b"b")]
    assert arms[0] == arms[1] != arms[2]


def test_nobody_known_is_held_out_of_nothing() -> None:
    holdout = Holdout([rule(0.5)], b"key")
    assert not any(holdout.has("r", f"s:web:{number}", T0) for number in range(500))
    assert holdout.share_of("r", "s:web:1", T0) == 0.0


def test_who_is_held_out_is_recorded_and_not_told() -> None:
    holdout = Holdout([rule(0.5)], b"key")
    fact = Fact("event", "rage_clicked", "web", "s", "e", T0, T0, 0.0, None, ())
    rows = [MomentRow(one, Moment("r", fact, ("e",)), holds=True) for one in PERSONS[:200]]
    output = moments_output(rows, 7, holdout)
    held = {one for one in PERSONS[:200] if holdout.has("r", one, T0)}
    assert 60 < len(held) < 140
    assert {message.key for message in output.messages} == set(PERSONS[:200]) - held
    stored = dict(zip(COLUMNS[MOMENTS], output.columns, strict=True))
    assert {who for who, is_held in zip(stored["person"], stored["is_held"], strict=True) if is_held} == held
    assert set(stored["holdout"]) == {0.5}


def test_what_fired_before_is_told_whatever_the_share_is_now() -> None:
    one = rule(0.5)
    holdout = Holdout([replace(one, holdout_since_ms=T0)], b"key")
    held = [who for who in PERSONS[:200] if holdout.has("r", who, T0)]
    assert 60 < len(held) < 140
    assert not any(holdout.has("r", who, T0 - 1) for who in PERSONS[:200])
    assert holdout.share_of("r", PERSONS[0], T0 - 1) == 0.0


def test_whoever_was_told_is_told_of_the_withdrawal_also_under_another_share() -> None:
    holdout = Holdout([rule(0.5)], b"key")
    fact = Fact("event", "rage_clicked", "web", "s", "e", T0, T0, 0.0, None, ())
    rows = [MomentRow(one, Moment("r", fact, ("e",)), holds=False) for one in PERSONS[:50]]
    assert {message.key for message in moments_output(rows, 7, holdout).messages} == set(PERSONS[:50])


def looked_at(chance: random.Random, told: float, held: float, share: float, persons: int) -> tuple[bool, bool]:
    """Of one experiment that is looked at again and again: whether the truth was ever outside, and 0."""
    arms = {True: [0, 0], False: [0, 0]}
    is_missed = is_found = False
    for number in range(1, persons + 1):
        is_held = chance.random() < share
        arms[is_held][0] += 1
        arms[is_held][1] += chance.random() < (held if is_held else told)
        if number < 50 or number % 50 == 0:
            found = effect(Arm(*arms[False]), Arm(*arms[True]))
            if found is not None:
                is_missed = is_missed or not found.lower <= told - held <= found.upper
                is_found = is_found or not found.lower <= 0 <= found.upper
    return is_missed, is_found


@pytest.mark.parametrize(("told", "held", "share"), [(0.05, 0.05, 0.1), (0.5, 0.5, 0.5), (0.3, 0.1, 0.2)])
def test_the_truth_stays_within_the_bounds_however_often_one_looks(told: float, held: float, share: float) -> None:
    chance = random.Random(7)
    found = [looked_at(chance, told, held, share, 2_000) for _ in range(100)]
    assert sum(is_missed for is_missed, _ in found) <= 5
    is_found = sum(one for _, one in found)
    assert is_found == 100 if told != held else is_found <= 5


def test_bounds_at_the_edges() -> None:
    assert effect(Arm(0, 0), Arm(5, 1)) is None
    assert effect(Arm(5, 1), Arm(0, 0)) is None
    for arm in (Arm(1, 0), Arm(1, 1), Arm(40, 0), Arm(40, 40), Arm(1_000_000, 3)):
        lower, upper = share_bounds(arm)
        assert 0 <= lower <= arm.bought / arm.persons <= upper <= 1
        assert (lower == 0) is (arm.bought == 0)
        assert (upper == 1) is (arm.bought == arm.persons)
    narrow, wide = share_bounds(Arm(10_000, 5_000)), share_bounds(Arm(100, 50))
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
    assert share_bounds(Arm(100, 50), 0.01)[1] > wide[1]
