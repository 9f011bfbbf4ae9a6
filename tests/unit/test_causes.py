"""What an alert says beside that it is: the step where it happens, and what is at stake."""

import numpy as np
import pytest

from pipeline.core.detection.detector import Detector
from pipeline.core.detection.explain import Part, with_step
from pipeline.core.detection.incidents import FIRING
from pipeline.core.detection.sentence import sentence
from pipeline.core.detection.steps import Steps
from pipeline.core.detection.worth import Worth
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence
from pipeline.model.tiles import Counters
from schemas.units import UNITS_PER_ONE
from tests.alerting import AGES, MONDAY
from tests.support import DETECTOR_RULES
from tests.unit.test_baselines import MEASURES


def flow(viewed: int, paid: int, errors: int = 0) -> Counters:
    """Of a checkout: the address is given by all but a tenth, and then is paid."""
    found = {"events": 10 * viewed, "step_viewed_address": viewed, "step_completed_address": round(viewed * 0.9)}
    found |= {"step_viewed_payment": round(viewed * 0.9), "step_completed_payment": paid}
    return found | ({"step_errors_payment": errors} if errors else {})


def learned() -> Steps:
    steps = Steps(HOUR_MS)
    for hour in range(5):
        steps.learn(MONDAY + hour * HOUR_MS, {0: flow(400, 340, 4), 1: flow(200, 170, 2)})
    return steps


def test_the_step_is_blamed_at_which_more_than_usual_is_lost() -> None:
    steps, at = learned(), MONDAY + 6 * HOUR_MS
    for step in range(10):
        steps.see(at + step * STEP_MS, {0: flow(20, 17), 1: flow(10, 0)})
    assert steps.blamed([0], 0, at) is None
    blamed = steps.blamed([1], 0, at)
    assert blamed is not None
    assert blamed.step == "payment"
    assert blamed.lost == pytest.approx(90 * 170 / 180, rel=0.01)
    assert blamed.of_all == pytest.approx(1.0)
    assert steps.blamed([1], 0, at + 10 * STEP_MS) is None  # nothing was seen since


def test_a_segment_without_a_past_is_held_against_the_whole_shop() -> None:
    steps, at = learned(), MONDAY + 6 * HOUR_MS
    steps.see(at, {0: flow(200, 170), 5: flow(100, 20)})
    blamed = steps.blamed([5], 0, at)
    assert blamed is not None
    assert blamed.step == "payment"


def test_where_nothing_is_viewed_errors_tell() -> None:
    steps, at = learned(), MONDAY + 6 * HOUR_MS
    steps.see(at, {0: {"events": 1_000, "step_errors_search": 40}})
    blamed = steps.blamed([0], 0, at)
    assert blamed is not None
    assert (blamed.step, blamed.lost) == ("search", 40)


def test_of_very_many_steps_the_later_ones_are_one() -> None:
    steps = Steps(HOUR_MS)
    steps.see(MONDAY, {0: {f"step_viewed_{number}": 1 for number in range(100)}})
    assert len(steps.names) == 33
    assert steps.recent[MONDAY][0, steps.names.index("other"), 0] == 68
    steps.see(MONDAY + 2 * HOUR_MS, {})
    assert steps.recent == {}


def test_a_step_narrows_the_first_part() -> None:
    mobile = Part("device=mobile", 0.9, 0.5)
    assert with_step([mobile], "payment", 0.8) == [Part("device=mobile|step=payment", 0.9 * 0.8, 0.4), mobile]
    assert with_step([], "payment", 0.8) == [Part("step=payment", 0.8, 0.8)]


def test_what_is_missing_is_worth_what_abandoned_journeys_usually_are() -> None:
    worth = Worth(MEASURES, "EUR")
    counts = np.zeros((3, len(MEASURES.columns)))
    counts[:2, MEASURES.columns["checkout_abandoned"]] = [100, 10]
    counts[:2, MEASURES.columns["checkout_value_abandoned"]] = [5_000 * UNITS_PER_ONE, 9 * UNITS_PER_ONE]
    assert worth.stake(0, 0, "checkout", 7.0).amount is None
    for hour in range(3):
        worth.learn(MONDAY + hour * HOUR_MS, counts)
    assert worth.stake(0, 0, "checkout", 7.0).amount == pytest.approx(350)
    assert worth.stake(1, 0, "checkout", 7.0).amount == pytest.approx(6.3)
    assert worth.stake(2, 0, "checkout", 7.0).amount == pytest.approx(350)  # too few of its own
    assert worth.stake(0, 0, "queue", 7.0).amount is None


def test_an_alert_names_the_step_and_the_money_and_keeps_both_over_a_restart() -> None:
    detector = Detector(MEASURES, DETECTOR_RULES, currency="CHF")
    usual = {AGES.completed[3]: 8, AGES.at_risk[3]: 480_000, "checkout_abandoned": 1}
    usual |= {"checkout_value_abandoned": 60 * UNITS_PER_ONE}
    usual |= flow(10, 8)
    broken = usual | {AGES.completed[3]: 0} | flow(10, 0)
    hours = [
        Evidence("all", MONDAY + hour * HOUR_MS, {name: 120 * count for name, count in usual.items()})
        for hour in range(5)
    ]
    steps = [Evidence("all", MONDAY + at * STEP_MS, usual) for at in range(600)]
    end = MONDAY + 600 * STEP_MS
    detector.take("a", 1, end, steps, hours)
    assert not [alert for decided in detector.decide() for alert in decided.alerts]
    outage = [Evidence("all", end + at * STEP_MS, broken) for at in range(10)]
    detector.take("a", 2, end + 10 * STEP_MS, outage, [])
    changed = [alert for decided in detector.decide() for alert in decided.alerts]
    alert = changed[-1]
    assert alert.status == FIRING
    assert alert.causes[0].where == "step=payment"
    assert alert.stake is not None
    assert alert.stake.missing == pytest.approx(80, abs=1)
    assert alert.stake.amount == pytest.approx(alert.stake.missing * 60)
    assert "; step=payment explains 100%; 4,800 CHF at stake so far" in sentence(alert)

    made = detector.snapshot()
    restored = Detector(MEASURES, DETECTOR_RULES, currency="CHF")
    restored.restore(made.head, made.changed)
    for each in (detector, restored):
        each.take("a", 3, end + 11 * STEP_MS, [Evidence("all", end + 10 * STEP_MS, broken)], [])
    mine, theirs = ([a for some in each.decide() for a in some.alerts] for each in (detector, restored))
    assert [sentence(a) for a in theirs] == [sentence(a) for a in mine]
    assert "5,280 CHF" in sentence(mine[0])
