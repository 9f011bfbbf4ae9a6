"""Detection: findings become incidents, incidents alerts."""

import numpy as np
import pytest

from pipeline.core.detection.decider import Decider
from pipeline.core.detection.detector import Detector
from pipeline.core.detection.explain import Part, parts
from pipeline.core.detection.incidents import FIRING, PENDING, RESOLVED, Alert, Incidents, Member
from pipeline.core.detection.watch import Finding, Rule, Verdict
from pipeline.core.detection.worth import Stake
from pipeline.core.statistics import Floats
from pipeline.core.usual.measures import Segments, counts_of
from pipeline.model.evidence import HOUR_MS, STEP_MS
from tests.support import DETECTOR_RULES
from tests.unit.test_baselines import AGES, MEASURES, MONDAY, RULE


def verdict(found: dict[int, Finding], segments: int = 4, off: bool = True, seen: bool = True) -> Verdict:
    flags = np.zeros((2, segments), dtype=bool)
    for row in found:
        flags[:, row] = off
    return Verdict(found, RULE.windows_ms, flags, np.full((2, segments), seen))


def finding(row: int, score: float = 5.2) -> Finding:
    return Finding(row, 120_000, 2.0, 14.0, 14.0, score)


@pytest.fixture
def segments() -> Segments:
    found = Segments()
    for name in ("all", "channel=web", "channel=web|device=mobile", "channel=app|device=mobile", "store_id=5"):
        found.row(name)
    return found


def test_what_lasts_fires_what_is_well_for_long_enough_is_resolved_under_one_id(segments: Segments) -> None:
    incidents = Incidents([RULE], segments)
    (first,) = incidents.update(0, {"r": verdict({2: finding(2)})})
    assert (first.status, first.segment) == (PENDING, "channel=web|device=mobile")
    incidents.update(STEP_MS, {"r": verdict({2: finding(2)})})
    (alert,) = incidents.update(2 * STEP_MS, {"r": verdict({2: finding(2)})})
    assert (alert.status, alert.alert_id) == (FIRING, first.alert_id)
    at = 2 * STEP_MS
    while alert.status == FIRING:
        at += STEP_MS
        (alert,) = incidents.update(at, {"r": verdict({})})
    assert (alert.status, alert.resolved_ms) == (RESOLVED, at)
    assert at == 2 * STEP_MS + RULE.keep_ms
    assert incidents.update(at + STEP_MS, {"r": verdict({})}) == []


def test_a_passing_finding_never_fires_a_certain_one_fires_at_once(segments: Segments) -> None:
    incidents = Incidents([RULE], segments)
    incidents.update(0, {"r": verdict({2: finding(2)})})
    incidents.update(STEP_MS, {"r": verdict({})})
    (gone,) = incidents.update(2 * STEP_MS, {"r": verdict({})})
    assert gone.status == RESOLVED
    (alert,) = incidents.update(3 * STEP_MS, {"r": verdict({2: finding(2, score=9.0)})})
    assert alert.status == FIRING


def test_a_segment_takes_in_its_parts_and_the_same_device_in_other_channels(segments: Segments) -> None:
    incidents = Incidents([RULE], segments)
    (first,) = incidents.update(0, {"r": verdict({2: finding(2, 9)})})
    alerts = incidents.update(STEP_MS, {"r": verdict({2: finding(2, 9), 3: finding(3, 9)})})
    assert [alert.alert_id for alert in alerts] == [first.alert_id]
    assert alerts[0].segment == "all"  # device=mobile is no segment of its own
    alerts = incidents.update(2 * STEP_MS, {"r": verdict({0: finding(0, 9), 2: finding(2, 9)})})
    assert [(alert.alert_id, alert.segment) for alert in alerts] == [(first.alert_id, "all")]


def test_unrelated_segments_are_incidents_of_their_own(segments: Segments) -> None:
    incidents = Incidents([RULE], segments)
    alerts = incidents.update(0, {"r": verdict({2: finding(2, 9), 4: finding(4, 9)}, segments=5)})
    assert sorted(alert.segment for alert in alerts) == ["channel=web|device=mobile", "store_id=5"]


def test_what_times_out_after_an_incident_is_no_alert_of_its_own(segments: Segments) -> None:
    slow = Rule("slow", "checkout_abandonment", False, (120_000, 900_000), 30, 0.12, family="purchase")
    incidents = Incidents([RULE, slow], segments)
    incidents.update(0, {"r": verdict({2: finding(2, 9)}), "slow": verdict({})})
    nothing = {"r": verdict({}), "slow": verdict({})}
    (alert,) = incidents.update(RULE.keep_ms, nothing)
    assert alert.status == RESOLVED
    later = {"r": verdict({}), "slow": verdict({0: finding(0, 9)})}
    assert incidents.update(RULE.keep_ms + 600_000, later) == []
    assert incidents.update(RULE.keep_ms + 2 * HOUR_MS, later)[0].status == FIRING


def test_an_alert_that_widens_takes_in_those_that_it_holds_by_then(segments: Segments) -> None:
    incidents = Incidents([RULE], segments)
    first, _ = incidents.update(0, {"r": verdict({2: finding(2, 9), 4: finding(4, 9)}, segments=5)})
    found = {row: finding(row, 9) for row in (0, 2, 4)}
    united, other = incidents.update(STEP_MS, {"r": verdict(found, segments=5)})
    assert (united.alert_id, united.segment, united.status) == (first.alert_id, "all", FIRING)
    assert (other.status, other.part_of) == (RESOLVED, first.alert_id)
    assert incidents.open == [united]


def test_silence_does_not_resolve(segments: Segments) -> None:
    incidents = Incidents([RULE], segments)
    incidents.update(0, {"r": verdict({2: finding(2, 9)})})
    (alert,) = incidents.update(2 * HOUR_MS, {"r": verdict({}, seen=False)})
    assert (alert.status, alert.has_data) == (FIRING, False)


def test_the_part_with_all_of_the_loss_explains_it_not_the_one_with_its_share_of_traffic() -> None:
    names = [
        "all",
        "channel=web",
        "channel=app",
        "channel=web|device=desktop",
        "channel=web|device=mobile",
        "channel=app|device=mobile",
    ]
    expected = np.array([100.0, 70.0, 30.0, 40.0, 30.0, 30.0])
    observed = np.array([45.0, 43.0, 2.0, 40.0, 3.0, 2.0])
    best = parts(names, "all", observed, expected)[0]
    assert best == Part("device=mobile", pytest.approx(1.0), pytest.approx(0.6))  # type: ignore[arg-type] # stands for a float
    assert parts(names, "channel=web", observed, expected)[0].where == "device=mobile"


def test_a_loss_that_is_everywhere_has_no_part_to_blame() -> None:
    names = ["all", "channel=web", "channel=app"]
    assert parts(names, "all", np.array([50.0, 30.0, 20.0]), np.array([100.0, 60.0, 40.0])) == []


def trained(decider: Decider) -> int:
    """Ten ordinary hours; gives the time after them."""
    chance = np.random.default_rng(1)
    for name in ("all", "channel=web", "channel=web|device=mobile", "channel=web|device=desktop"):
        decider.segments.row(name)
    rows = {name: row_of(480.0 * (2 if at < 2 else 1)) for at, name in enumerate(decider.segments.names)}
    usual = counts_of(MEASURES, decider.segments, rows)
    at = MONDAY
    while at < MONDAY + 10 * HOUR_MS:
        if at % HOUR_MS == 0 and at >= MONDAY + decider.back_ms:
            decider.learn(at - decider.back_ms, usual)
        decider.step(at, step_counts(chance, 4.0, 4.0))
        at += STEP_MS
    return at


def row_of(completed: float) -> dict[str, int]:
    ages = AGES["checkout"]
    return {ages.completed[3]: round(completed), ages.at_risk[3]: round(completed * 60_000)}


def step_counts(
    chance: np.random.Generator, desktop: float, mobile: float, at_risk: float = 4.0, events: float = 100.0
) -> Floats:
    """Four completions a step are usual in each."""
    life, d, m = MEASURES.life["checkout"], chance.poisson(desktop), chance.poisson(mobile)
    found = np.zeros((4, len(MEASURES.columns)))
    found[:, life.completed.start + 3] = [d + m, d + m, m, d]
    found[:, life.at_risk.start + 3] = np.array([2, 2, 1, 1]) * at_risk * 60_000
    found[:, MEASURES.columns["events"]] = events
    return found


def restored_from(decider: Decider, next_ms: int) -> Decider:
    """A state through a cut, as the first that a detector keeps."""
    decider.next_ms = next_ms
    whole, restored = Detector(MEASURES, DETECTOR_RULES), Detector(MEASURES, DETECTOR_RULES)
    whole.kept[0] = decider
    made = whole.snapshot()  # a first cut names all shards
    restored.restore(made.head, made.changed)
    return restored.kept[0]


def test_an_outage_on_one_device_is_one_alert_that_names_it_and_survives_a_restart() -> None:
    decider = Decider(MEASURES, DETECTOR_RULES)
    at = trained(decider)
    assert decider.incidents.open == []
    chance = np.random.default_rng(2)
    fired_after = None
    for step in range(20):
        for alert in decider.step(at, step_counts(chance, 4.0, 0.0)):
            if alert.status == FIRING and fired_after is None:
                fired_after = step + 1
        at += STEP_MS
        if step == 3:
            restored = restored_from(decider, at)
            assert [a.alert_id for a in restored.incidents.open] == [a.alert_id for a in decider.incidents.open]
            decider = restored
    assert fired_after is not None
    assert fired_after <= 8  # 4 min at 8 completions a minute on each device
    (alert,) = [alert for alert in decider.incidents.open if alert.status == FIRING]
    assert alert.rule.family == "purchase"
    assert alert.segment == "all"
    assert "device=mobile" in alert.causes[0].where
    statuses = []
    for _ in range(40):
        statuses += [
            a.status for a in decider.step(at, step_counts(chance, 4.0, 4.0)) if a.alert_id == alert.alert_id
        ]
        at += STEP_MS
    assert statuses[-1] == RESOLVED


def test_a_state_whose_segments_have_grown_is_restored() -> None:
    decider = Decider(MEASURES, DETECTOR_RULES)
    chance = np.random.default_rng(4)
    decider.step(MONDAY, step_counts(chance, 4.0, 4.0)[:2])
    for name in ("a", "b", "c", "d"):
        decider.segments.row(name)
    decider.step(MONDAY + STEP_MS, step_counts(chance, 4.0, 4.0))
    at = MONDAY + 2 * STEP_MS
    restored = restored_from(decider, at)
    assert restored.step(at, step_counts(chance, 4.0, 4.0)) == []
    assert [len(step.counts) for step in restored.recent.values()] == [2, 4, 4]


def test_when_nothing_comes_in_at_all_nothing_is_said_of_the_shop() -> None:
    decider = Decider(MEASURES, DETECTOR_RULES)
    at = trained(decider)
    chance = np.random.default_rng(3)
    for _ in range(20):
        assert decider.step(at, step_counts(chance, 0.0, 0.0, events=0.0)) == []
        at += STEP_MS


def test_all_sources_must_have_told_a_step_before_it_is_decided() -> None:
    detector = Detector(MEASURES, DETECTOR_RULES, sources=2)
    detector.take("t:0", 5, MONDAY + STEP_MS, [], [])
    assert list(detector.decide()) == []
    assert detector.next_ms is None
    detector.take("t:1", 7, MONDAY + 4 * STEP_MS, [], [])
    assert list(detector.decide()) == []
    assert detector.next_ms == MONDAY + STEP_MS


def test_errors_that_turn_out_to_cost_completions_are_one_incident_of_the_graver_rule() -> None:
    by_name = {rule.name: rule for rule in DETECTOR_RULES}
    friction, checkout = by_name["friction"], by_name["checkout-completions"]
    segments = Segments()
    for name in ("all", "channel=web", "channel=pos"):
        segments.row(name)
    incidents = Incidents((friction, checkout, by_name["queue-completions"]), segments)

    def tell(at_ms: int, **found: dict[int, Finding]) -> list[Alert]:
        names = {name: name.replace("-", "_") for name in incidents.rules}
        return incidents.update(
            at_ms, {name: verdict(found.get(key, {}), segments=3) for name, key in names.items()}
        )

    errors = {1: Finding(1, 180_000, 60.0, 10.0, 1_000.0, 9.0)}
    (alert,) = tell(MONDAY, friction=errors)
    assert (alert.rule.name, alert.rule.severity) == ("friction", "warning")
    first = alert.alert_id
    missing = {0: Finding(0, 120_000, 2.0, 30.0, 30.0, 7.0)}
    (alert,) = tell(MONDAY + STEP_MS, friction=errors, checkout_completions=missing)
    assert alert.alert_id == first
    assert (alert.rule.name, alert.segment, alert.latest.expected) == ("checkout-completions", "all", 30.0)
    both = tell(
        MONDAY + 2 * STEP_MS, friction=errors, queue_completions={2: Finding(2, 180_000, 1.0, 30.0, 30.0, 8.0)}
    )
    assert sorted(a.rule.name for a in both) == ["checkout-completions", "queue-completions"]


def test_a_warning_that_widens_over_a_graver_alert_becomes_it() -> None:
    by_name = {rule.name: rule for rule in DETECTOR_RULES}
    rules = (by_name["friction"], by_name["checkout-completions"])
    segments = Segments()
    for name in ("all", "channel=app", "channel=web|device=mobile"):
        segments.row(name)
    incidents = Incidents(rules, segments)

    def tell(at_ms: int, friction: dict[int, Finding], checkout: dict[int, Finding]) -> list[Alert]:
        verdicts = {"friction": verdict(friction, 3), "checkout-completions": verdict(checkout, 3)}
        return incidents.update(at_ms, verdicts)

    errors = Finding(1, 180_000, 60.0, 10.0, 1_000.0, 9.0)
    missing = Finding(2, 120_000, 2.0, 30.0, 30.0, 9.0)
    tell(MONDAY, {1: errors}, {})
    (_, grave) = tell(MONDAY + STEP_MS, {1: errors}, {2: missing})
    grave.stake = Stake(28.0, None, "EUR")
    changed = tell(MONDAY + 2 * STEP_MS, {0: errors._replace(row=0), 1: errors}, {})
    assert [alert.status for alert in changed] == [FIRING, RESOLVED]
    wide, taken_in = changed
    assert taken_in.part_of == wide.alert_id
    assert (wide.rule.name, wide.segment, wide.stake) == ("checkout-completions", "all", grave.stake)


def test_errors_after_an_incident_are_news_and_its_echoes_are_not_also_after_a_restart() -> None:
    decider = Decider(MEASURES, DETECTOR_RULES)
    decider.segments.row("all")
    by_name = decider.incidents.rules
    over = Alert(
        "x", by_name["checkout-completions"], "all", FIRING, MONDAY, MONDAY, Finding(0, 60_000, 0, 9, 9, 9)
    )
    over.status, over.resolved_ms = RESOLVED, MONDAY
    over.members["checkout-completions", 0] = Member(MONDAY, MONDAY, MONDAY, 60_000, is_sure=True)
    decider.incidents.over.append(over)
    restored = restored_from(decider, MONDAY)
    late = MONDAY + 25 * 60_000
    for incidents in (decider.incidents, restored.incidents):
        rate = {0: Finding(0, 900_000, 50.0, 20.0, 60.0, 9.0)}
        errors = {0: Finding(0, 180_000, 60.0, 10.0, 1_000.0, 9.0)}
        assert incidents.update(late, {"checkout-abandonment": verdict(rate, 1)}) == []
        (alert,) = incidents.update(late + STEP_MS, {"friction": verdict(errors, 1)})
        assert alert.rule.name == "friction"
