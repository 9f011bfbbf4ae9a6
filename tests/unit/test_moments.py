"""Moments: what the contract says, case by case."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.persons.changing import MomentRow
from pipeline.core.persons.moments import MOST_EVENTS, Moment, Past, moments, possible, settled
from pipeline.core.persons.persons import Persons
from pipeline.model.facts import KEPT_MS, MOST_FACTS
from pipeline.model.moments import LONGEST_MS, Condition, MomentFacts, MomentRule
from pipeline.outputs.moments import moment_message, moment_row
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import Tables
from schemas.facts import Fact, Statement
from schemas.moments import MomentMessage
from sinks.tables import COLUMNS, MOMENTS
from tests.support import NAIVE, RULES, event_json, log_of, naive_logs

T0 = 1_772_449_200_000
MINUTE, DAY = 60_000, 86_400_000
ERRORS = Condition(types=frozenset({"error_shown"}), count=2)
RAGE = Condition(types=frozenset({"rage_clicked"}))


def rule(*conditions: Condition, **more: Any) -> MomentRule:
    given: dict[str, Any] = {"unless": frozenset(), "within_ms": 10 * MINUTE, "cooldown_ms": 60 * MINUTE}
    return MomentRule("r", conditions or (ERRORS, RAGE), **given | {"is_of_session": False} | more)


def event(at: int, kind: str = "error_shown", name: str | None = None, **more: Any) -> Fact:
    session = more.pop("session", "s")
    which = "event", kind, more.pop("channel", "web"), session, name or f"{kind[0]}{at}"
    times = T0 + at * MINUTE, T0 + at * MINUTE
    return Fact(*which, *times, more.pop("value", 0.0), None, ("7", None, "mobile"), **more)


def cart(at: int, value: float, outcome: str = "abandoned") -> Fact:
    times = T0 + at * MINUTE - 30 * MINUTE, T0 + at * MINUTE
    return Fact(f"outcome:{outcome}", "cart", "web", "s", f"c{at}", *times, value, None, (), "review")


def fired(facts: list[Fact], *rules: MomentRule, past: Past | None = None) -> list[tuple[int, tuple[str, ...]]]:
    """Minutes at which it fires, and what led to it."""
    found = moments(reversed(facts), rules or (rule(),), past or Past())
    return [((one.fact.ended_ms - T0) // MINUTE, one.events) for one in found.values()]


def test_it_fires_at_the_first_event_at_which_all_hold() -> None:
    facts = [event(0), event(3, "rage_clicked"), event(4), event(5)]
    assert fired(facts) == [(4, ("e0", "r3", "e4"))]
    assert fired(facts[:2]) == []


def test_what_is_further_apart_does_not_count_together() -> None:
    assert fired([event(0), event(1), event(10, "rage_clicked")]) == [(10, ("e0", "e1", "r10"))]
    assert fired([event(0), event(1), event(11, "rage_clicked")]) == []


def test_what_was_before_an_unless_counts_no_more() -> None:
    bought = rule(unless=frozenset({"order_completed"}))
    facts = [event(0), event(1), event(2, "order_completed"), event(3, "rage_clicked")]
    assert fired(facts, bought) == []
    assert fired([*facts, event(4), event(5)], bought) == [(5, ("r3", "e4", "e5"))]


def test_it_is_silent_for_its_cooldown_and_no_longer() -> None:
    facts = [event(at, "rage_clicked") for at in (0, 30, 59, 60, 61, 121)]
    assert [at for at, _ in fired(facts, rule(RAGE))] == [0, 60, 121]
    assert [at for at, _ in fired(facts, rule(RAGE, cooldown_ms=0))] == [0, 30, 59, 60, 61, 121]


def test_events_of_one_time_are_in_the_order_of_their_ids() -> None:
    facts = [event(0, name="b"), event(0, "rage_clicked", name="c"), event(0, name="a")]
    assert fired(facts) == [(0, ("a", "b", "c"))]


def test_a_rule_about_sessions_keeps_them_apart() -> None:
    facts = [event(0), event(1, session="t"), event(2, "rage_clicked"), event(3, session="t")]
    assert fired(facts) == [(2, ("e0", "e1", "r2"))]
    assert fired(facts, rule(is_of_session=True)) == []
    assert fired([*facts, event(4)], rule(is_of_session=True)) == [(4, ("e0", "r2", "e4"))]


@pytest.mark.parametrize(
    ("condition", "matching", "others"),
    [
        (Condition(types=frozenset({"error_shown"}), step="payment"), event(0, step="payment"), [event(0)]),
        (Condition(types=frozenset({"error_shown"}), channel="app"), event(0, channel="app"), [event(0)]),
        (
            Condition(types=frozenset({"survey_answered"}), survey="nps", most_score=6),
            event(0, "survey_answered", survey="nps", score=6.0),
            [
                event(0, "survey_answered", survey="nps", score=6.5),
                event(0, "survey_answered", survey="csat", score=1.0),
                event(0, "survey_answered"),
            ],
        ),
        (
            Condition(types=frozenset({"survey_answered"}), survey="csat", least_score=4),
            event(0, "survey_answered", survey="csat", score=4.0),
            [event(0, "survey_answered", survey="csat", score=3.9)],
        ),
        (
            Condition(journey="cart", least_value=150),
            cart(0, 150.0),
            [cart(0, 149.99), cart(0, 200.0, "completed")],
        ),
        (Condition(journey="cart", outcome="completed"), cart(0, 1.0, "completed"), [cart(0, 1.0)]),
        (Condition(journey="cart", step="review"), cart(0, 1.0), [event(0, step="review")]),
    ],
)
def test_conditions(condition: Condition, matching: Fact, others: list[Fact]) -> None:
    assert condition.matches(matching)
    assert not any(condition.matches(other) for other in others)


def test_of_many_events_the_last_are_named() -> None:
    facts = [event(0, name=f"{number:03}") for number in range(MOST_EVENTS + 5)]
    many = rule(Condition(types=frozenset({"error_shown"}), count=MOST_EVENTS + 5))
    assert fired(facts, many) == [(0, tuple(f"{number:03}" for number in range(5, MOST_EVENTS + 5)))]


def test_what_can_have_been_told_is_all_that_holds_without_what_takes_away() -> None:
    rules = [rule(RAGE, unless=frozenset({"order_completed"}))]
    facts = [event(0, "rage_clicked"), event(1, "rage_clicked"), event(2, "order_completed"), event(3)]
    assert [one.fact.event_id for one in possible(facts, rules, Past(), T0).values()] == ["r0", "r1"]
    assert [one.fact.event_id for one in possible(facts, rules, Past(), T0 + 1).values()] == ["r1"]


def test_what_is_settled_stays_and_keeps_its_silence() -> None:
    rules = [rule(RAGE)]
    facts = [event(0, "rage_clicked"), event(50, "rage_clicked"), event(70, "rage_clicked")]
    past = settled(Past(), moments(facts, rules, Past()).values(), rules, T0 + 10 * MINUTE)
    assert past == Past(T0 + 10 * MINUTE, {"r": T0})
    assert [at for at, _ in fired(facts, *rules, past=past)] == [70]
    assert [at for at, _ in fired(facts[1:], *rules, past=past)] == [70]
    assert settled(past, [], rules, T0 + 61 * MINUTE).fired == {}
    assert settled(past, [], rules, T0) is past


def test_a_settled_silence_is_that_of_its_session() -> None:
    rules = [rule(RAGE, is_of_session=True)]
    first = [event(0, "rage_clicked")]
    past = settled(Past(), moments(first, rules, Past()).values(), rules, T0 + MINUTE)
    later = [event(5, "rage_clicked"), event(6, "rage_clicked", session="t")]
    assert [at for at, _ in fired(later, *rules, past=past)] == [6]


def test_only_what_rules_name_becomes_a_fact() -> None:
    named = MomentFacts([rule(ERRORS, Condition(journey="cart"), unless=frozenset({"form_submitted"}))])
    assert named.types == {"error_shown", "form_submitted"}
    assert named.outcomes == {"cart": {"abandoned"}}
    assert MomentFacts([]).types == frozenset()


class One:
    """One person, told fact by fact."""

    def __init__(self, *rules: MomentRule, person: str = "c:anna") -> None:
        self.persons = Persons(0, 1, 3_600_000, RULES.segmenter, rules or (rule(),))
        self.persons.end_catching_up()
        self._person, self._version = person, 0

    def tell(self, *facts: Fact, holds: bool = True, passed: int = 0) -> list[tuple[str, bool]]:
        self._version += 1
        statements = [Statement(self._person, holds, fact) for fact in facts]
        self.persons.take("touchpoints.web:0", self._version, T0 + passed, False, statements)
        self.persons.settle()
        return [(row.moment.fact.event_id, row.holds) for row in self.persons.take_moments()]


def test_a_late_event_moves_or_withdraws_a_moment() -> None:
    one = One(rule(unless=frozenset({"order_completed"})))
    assert one.tell(event(5), event(6)) == []
    assert one.tell(event(7, "rage_clicked")) == [("r7", True)]
    assert one.tell(event(5, "rage_clicked", name="early")) == [("e6", True), ("r7", False)]
    assert one.tell(event(6, "order_completed", name="zz")) == []  # e6 is before it
    assert one.tell(event(5, "order_completed", name="zz")) == [("e6", False)]
    assert one.tell(event(5), holds=False) == []


def test_a_fact_counts_for_each_condition_that_it_matches() -> None:
    """So that fewer facts are enough than the conditions ask for together."""
    either = Condition(types=frozenset({"error_shown", "rage_clicked"}), count=2)
    one = One(rule(ERRORS, either))
    assert one.tell(event(0)) == []
    assert one.tell(event(1)) == [("e1", True)]


def test_what_fired_is_withdrawn_though_its_facts_make_room_for_newer_ones_at_once() -> None:
    one = One()
    assert one.tell(event(0), event(1), event(2, "rage_clicked")) == [("r2", True)]
    taken_back = [Statement("c:anna", False, fact) for fact in (event(0), event(1), event(2, "rage_clicked"))]
    newer = [Statement("c:anna", True, event(10 + n, "other")) for n in range(2 * MOST_FACTS)]
    one.persons.take("touchpoints.web:0", 2, T0, False, [*taken_back, *newer])
    one.persons.settle()
    assert [(row.moment.fact.event_id, row.holds) for row in one.persons.take_moments()] == [("r2", False)]


def test_nothing_is_told_twice() -> None:
    one = One()
    assert one.tell(event(0), event(1), event(2, "rage_clicked")) == [("r2", True)]
    assert one.tell(event(2, "rage_clicked"), event(3)) == []


def test_somebody_of_whom_only_the_session_is_known_has_moments_and_no_recoveries() -> None:
    one = One(person="s:web:s")
    assert one.tell(event(0), event(1), event(2, "rage_clicked")) == [("r2", True)]


def test_a_run_that_may_have_told_more_withdraws_what_is_not_so() -> None:
    one = One(rule(RAGE, unless=frozenset()))
    one.persons.is_catching_up = True
    first, second = event(0, "rage_clicked"), event(1, "rage_clicked")
    assert one.tell(second, first) == [("r0", True), ("r1", False)]  # the second alone fired in between, perhaps


def test_facts_are_let_go_and_their_silence_stays() -> None:
    one = One(rule(replace(RAGE, count=2), within_ms=LONGEST_MS, cooldown_ms=LONGEST_MS))
    day = 24 * 60
    assert one.tell(event(0, "rage_clicked")) == []
    assert one.tell(event(6 * day, "rage_clicked")) == [("r8640", True)]
    assert one.tell(passed=KEPT_MS + 2 * DAY) == []  # the first is let go
    assert one.tell(event(12 * day, "rage_clicked")) == []  # six days after
    assert one.tell(event(13 * day, "rage_clicked")) == [("r18720", True)]
    assert one.tell(passed=KEPT_MS + 30 * DAY) == []
    assert len(one.persons) == 0


def test_the_row_says_what_the_message_says() -> None:
    moment = Moment("r", event(2, "rage_clicked", name="e/1"), ("a", "b"))
    for holds, status, events in ((True, "fired", ["a", "b"]), (False, "withdrawn", [])):
        row = dict(zip(COLUMNS[MOMENTS], moment_row(MomentRow("c:ann", moment, holds), 9), strict=True))
        told = MomentMessage.model_validate(moment_message(MomentRow("c:ann", moment, holds), 9))
        assert told.id == f"r:c:ann:e%2F1/web/s/{T0 + 2 * MINUTE}/9"
        assert (told.moment_id, told.at) == ("r:c:ann:e/1", "2026-03-02T11:02:00.000Z")
        assert (told.status, told.events) == (row["status"], row["events"]) == (status, events)
        assert (told.store_id, told.region, told.device) == ("7", None, "mobile")
        assert (row["store_id"], row["region"], row["device"], row["at"]) == ("7", "", "mobile", T0 + 2 * MINUTE)
        same = ("moment_id", "rule", "person", "channel", "session_id", "version")
        assert [getattr(told, name) for name in same] == [row[name] for name in same]


def test_of_a_session_that_is_many_no_moments_are_computed_naively() -> None:
    """Not all of it is kept; and each of very many would be held against all others."""

    def tables(count: int) -> Tables:
        events = [event_json(1_000 * n, type="error_shown", event_id=f"e{n}") for n in range(count)]
        return compute(naive_logs({("touchpoints.web", 0): log_of(events)}), NAIVE)

    few, many = tables(MOST_FACTS), tables(MOST_FACTS + 1)
    assert {row.person for row in few.moments.values()} == {"s:web:s"}
    assert (many.crowds, many.moments) == ({"s:web:s"}, {})
