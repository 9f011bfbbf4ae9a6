"""How often rules fire of those who come: who does, what a window makes of it, and the alerts on it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.detection.detection import Detection
from pipeline.core.detection.incidents import FIRING
from pipeline.core.detection.sentence import sentence
from pipeline.core.persons.persons import Persons
from pipeline.core.persons.seen import changes
from pipeline.core.windows.formulas import person_formulas
from pipeline.core.windows.signals import SignalTable
from pipeline.model.ages import age_counters
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence
from pipeline.model.facts import Held
from pipeline.model.signals import Interval, Kind, Unit, rate_of, signal_of, signals_of
from pipeline.model.tiles import SEEN, Counters, is_by_age, is_by_person, is_by_step, moments_counter
from pipeline.settings.alert_rules import RulesError, load_rules
from schemas.facts import Fact, FactKey, Statement
from tests.support import ALERT_RULES, RULES, lay
from tests.unit.test_moments import MINUTE, T0, One, rule

MONDAY = 4 * 24 * HOUR_MS
DIMENSIONS = RULES.segmenter.dimensions


def event(at: int, kind: str = "error_shown", device: str | None = "mobile", name: str | None = None) -> Fact:
    which = "event", kind, "web", "s", name or f"{kind[0]}{at}"
    return Fact(*which, T0 + at * MINUTE, T0 + at * MINUTE, 0.0, None, (None, None, device))


def held(facts: list[Fact]) -> dict[FactKey, Held]:
    return {one.key: Held(0, 0, True, False, one) for one in facts}


def came(before: list[Fact], now: list[Fact]) -> list[tuple[int, str | None, int]]:
    """Minute of the bucket, device, and how many more have come."""
    found: Counter[tuple[int, str | None]] = Counter()
    told = [one.key for one in (*before, *now)]
    for (dims, bucket), times in changes(told, held(before), held(now), DIMENSIONS):
        found[(bucket - T0) // MINUTE, dims[3]] += times
    return sorted((*place, times) for place, times in found.items() if times)


def test_who_has_been_silent_for_longer_than_half_an_hour_comes_anew() -> None:
    facts = [event(0), event(30), event(60), event(91), event(92)]
    assert came([], facts) == [(0, "mobile", 1), (91, "mobile", 1)]
    assert came(facts, facts) == []


def test_a_late_fact_joins_two_visits_and_one_taken_back_parts_them() -> None:
    apart = [event(0), event(50)]
    joined = [*apart, event(25)]
    assert came(apart, joined) == [(50, "mobile", -1)]
    assert came(joined, apart) == [(50, "mobile", 1)]
    assert came(apart, apart[1:]) == [(0, "mobile", -1)]


def test_of_several_facts_at_one_time_the_same_counts_whatever_their_order() -> None:
    desk = event(0, device="desktop", name="d")
    for facts in ([event(0), desk], [desk, event(0)]):
        assert came([], facts) == [(0, "desktop", 1)]


def told(one: One) -> dict[tuple[str, int], Counters]:
    """What tiles have come to hold, by segment and minute."""
    one.persons.fold()
    tiles = one.persons.tiles.take_untold()
    return {(tile.segment, (tile.bucket_ms - T0) // MINUTE): tile.counters for tile in tiles}


def test_a_moment_counts_where_it_fired_until_it_is_withdrawn() -> None:
    one = One(rule(unless=frozenset({"order_completed"})))
    one.tell(event(5, device=None), event(6, device=None), event(7, "rage_clicked", device=None))
    found = told(one)
    assert found["all", 5] == {SEEN: 1, "r_moments": 0}
    assert found["all", 7] == {"r_moments": 1}
    assert found["channel=web", 7] == {"r_moments": 1}
    one.tell(event(6, "order_completed", None, "zz"))
    assert told(one)["all", 7] == {"r_moments": 0}


def test_without_rules_nobody_is_counted() -> None:
    one = One()
    one.persons = Persons(0, 1, 3_600_000, RULES.segmenter)
    one.tell(event(5), event(6))
    assert told(one) == {}


def test_of_1000_who_came_with_the_limits_of_a_count() -> None:
    table = SignalTable(person_formulas([], ["big-cart"]))
    sums = np.zeros((4, table.width), dtype=np.int64)
    drawn: tuple[Counters, ...] = (
        {SEEN: 200, "big_cart_moments": 3},
        {SEEN: 50},
        {"big_cart_moments": 1},
        {SEEN: -1},
    )
    for row, counters in enumerate(drawn):
        table.add(memoryview(sums[row]), counters)
    quarter = np.full(4, 900_000)
    assert list(table.compute(sums, quarter - 1, {"big_cart_moment_rate": np.array([2])})) == []
    (found,) = table.compute(sums, quarter, {})
    assert found.signal == "big_cart_moment_rate"
    assert found.rows.tolist() == [0, 1]
    assert found.numerator.tolist() == [3_000, 0]
    assert found.denominator.tolist() == [200, 50]
    assert found.value.tolist() == [15, 0]
    (kept,) = table.compute(sums[3:], quarter[3:], {"big_cart_moment_rate": np.array([0])})
    assert (kept.denominator.tolist(), kept.value.tolist()) == ([0], [0]), "one too few is nobody"
    # Exact limits of counts of 3 and 0: 0.62 to 8.77, and 0 to 3.69. Byar's are near.
    assert found.lower.tolist() == pytest.approx([0.60 * 5, 0], rel=0.05)
    assert found.upper.tolist() == pytest.approx([8.77 * 5, 3.69 * 20], rel=0.01)


def test_names_are_told_apart_from_all_others() -> None:
    one = signal_of(rate_of("big-cart"))
    assert (one.kind, one.unit, one.interval, one.funnel) == (
        Kind.MOMENT_RATE,
        Unit.PER_1000,
        Interval.POISSON,
        None,
    )
    assert one.is_of_persons
    assert one.topic == "cx.signals.abandonment"
    assert one in signals_of([], ["big-cart"])
    counter = moments_counter("big-cart")
    assert is_by_person(counter)
    assert not is_by_step(counter)
    assert not is_by_age(counter)


def test_one_alert_rule_is_about_every_rule_of_moments_that_no_other_names(tmp_path: Path) -> None:
    shipped = {one.name: one.signal for one in ALERT_RULES if one.kind is Kind.MOMENT_RATE}
    assert shipped == {f"{name}-moments": rate_of(name) for name in RULES.about_persons}
    file = tmp_path / "rules.toml"
    text = "[defaults]\nleast = 9\nchange = 0.1\ndirection = 'rises'\nwindows = [15]\nfalse_rate = 1e-5\n"
    text += "for_s = 0\ncertain = 5\nkeep_s = 60\nwell = 0.5\nseverity = 'info'\n"
    text += "[[rule]]\nname = 'own'\nsignal = 'a_b_moment_rate'\n[[rule]]\nname = 'm'\nkind = 'moment_rate'\n"
    file.write_text(text)
    assert [one.name for one in load_rules(str(file), (), ("a-b", "c"))] == ["own", "c-m"]
    with pytest.raises(RulesError, match=r"no signal 'a_b_moment_rate'; there are .* friction, c_moment_rate"):
        load_rules(str(file), (), ("c",))


def steps(start_ms: int, count: int, rate: float) -> list[Evidence]:
    """Twenty persons come in each, and so many have a moment on average."""
    chance = np.random.default_rng(7)
    name = moments_counter("payment-trouble")
    times = range(start_ms, start_ms + count * STEP_MS, STEP_MS)
    return [Evidence("all", at, {SEEN: 20, name: int(chance.binomial(20, rate)), "events": 20}) for at in times]


def hours(rows: list[Evidence]) -> list[Evidence]:
    found: dict[int, Counters] = {}
    for one in rows:
        hour = found.setdefault(one.start_ms - one.start_ms % HOUR_MS, {})
        for name, count in one.counters.items():
            hour[name] = hour.get(name, 0) + count
    return [Evidence("all", at, counters) for at, counters in found.items()]


def test_more_who_have_trouble_than_usual_are_an_alert_and_nothing_else_is() -> None:
    ages = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)
    detection = Detection(ages, ALERT_RULES, about_persons=RULES.about_persons)
    detector = detection.persons
    assert detector is not None
    calm, trouble = steps(MONDAY, 6 * 120, 0.02), steps(MONDAY + 6 * HOUR_MS, 60, 0.2)
    detector.take("cx.tiles:0", 1, MONDAY + 6 * HOUR_MS, calm, hours(calm))
    assert [alert for decided in detector.decide() for alert in decided.alerts] == []
    detector.take("cx.tiles:0", 2, MONDAY + 6 * HOUR_MS + 60 * STEP_MS, trouble, [])
    fired = [alert for decided in detector.decide() for alert in decided.alerts if alert.status == FIRING]
    assert {alert.rule.name for alert in fired} == {"payment-trouble-moments"}
    assert sentence(fired[-1]).startswith("payment_trouble_moment_rate: ")
    assert " of 1,000 persons in the last " in sentence(fired[-1])


def test_the_first_few_moments_ever_are_not_more_than_usual() -> None:
    rules = tuple(one for one in ALERT_RULES if one.kind is Kind.MOMENT_RATE)
    detector = Detection(age_counters([]), rules, about_persons=RULES.about_persons).persons
    assert detector is not None
    calm, few = steps(MONDAY, 6 * 120, 0.0), steps(MONDAY + 6 * HOUR_MS, 30, 0.0)
    few[-1].counters[moments_counter("payment-trouble")] = 3
    few = [one._replace(counters=one.counters | {SEEN: 2}) for one in few]
    detector.take("cx.tiles:0", 1, MONDAY + 6 * HOUR_MS, calm, hours(calm))
    detector.take("cx.tiles:0", 2, MONDAY + 6 * HOUR_MS + 30 * STEP_MS, few, [])
    assert [alert for decided in detector.decide() for alert in decided.alerts] == []


def test_somebody_may_have_several_so_they_vary_as_counts_do() -> None:
    """Nine for ten persons on average: as a share, which varies little so close to all, this would be an alert."""
    rules = tuple(one for one in ALERT_RULES if one.kind is Kind.MOMENT_RATE)
    detector = Detection(age_counters([]), rules, about_persons=RULES.about_persons).persons
    assert detector is not None
    name = moments_counter("payment-trouble")
    calm, more = steps(MONDAY, 6 * 120, 0.9), steps(MONDAY + 6 * HOUR_MS, 30, 0.9)
    more = [one._replace(counters=one.counters | {name: 23}) for one in more]  # 18 are usual
    detector.take("cx.tiles:0", 1, MONDAY + 6 * HOUR_MS, calm, hours(calm))
    detector.take("cx.tiles:0", 2, MONDAY + 6 * HOUR_MS + 30 * STEP_MS, more, [])
    assert [alert for decided in detector.decide() for alert in decided.alerts] == []


@pytest.mark.parametrize("funnels", [["search"], []])
def test_a_shop_may_follow_no_funnel_in_which_things_are_bought(funnels: list[str]) -> None:
    ages = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all if f.name in funnels)
    rules = tuple(one for one in ALERT_RULES if one.kind is Kind.MOMENT_RATE)
    detection = Detection(ages, rules, about_persons=RULES.about_persons)
    detector = detection.persons
    assert detector is not None
    calm, trouble = steps(MONDAY, 6 * 120, 0.02), steps(MONDAY + 6 * HOUR_MS, 60, 0.2)
    detector.take("cx.tiles:0", 1, MONDAY + 6 * HOUR_MS, calm, hours(calm))
    detector.take("cx.tiles:0", 2, MONDAY + 6 * HOUR_MS + 60 * STEP_MS, trouble, [])
    assert {alert.status for decided in detector.decide() for alert in decided.alerts} >= {FIRING}
    again = Detection(ages, rules, about_persons=RULES.about_persons)
    shards: dict[str, object] = {}
    again.restore(lay(shards, detection.snapshot()), shards)
    assert [alert.rule.name for alert in again.open_alerts()] == ["payment-trouble-moments"]


def test_what_a_crashed_run_may_have_counted_of_what_was_replaced_is_told_again() -> None:
    """The journey's end moves, and what lies before it is gone: the run had heard of the latter alone."""
    first, ended = event(0, device=None), event(20, device=None)
    moved = Fact(*ended.key, ended.at_ms + 5 * MINUTE, 0.0, None, ended.dims)
    one = One()
    one.tell(first, ended)
    assert {minute for _, minute in told(one)} == {0}
    one.persons.is_catching_up = True
    one.persons.take("touchpoints.web:0", 2, T0, True, [Statement("c:anna", False, first)])
    one.persons.take("touchpoints.web:0", 3, T0, False, [Statement("c:anna", True, moved)])
    one.persons.settle()
    found = told(one)
    assert found["all", 20].get(SEEN, 0) == 0
    assert found["all", 25][SEEN] == 1
