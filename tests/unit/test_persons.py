"""Persons: what the contract says, case by case; and what keeps them small."""

import random
from typing import Any

import msgspec
import pytest

from pipeline.core.book import LEAST_ROOM, Book
from pipeline.core.persons.changing import Changing, RecoveryRow
from pipeline.core.persons.held import HeldFacts
from pipeline.core.persons.persons import Persons
from pipeline.core.persons.recoveries import Recovery
from pipeline.core.persons.visitors import Visitors
from pipeline.model.facts import HORIZON_MS, KEPT_MS, MOST_CUSTOMERS, MOST_FACTS
from pipeline.outputs.recoveries import recoveries_output
from schemas.facts import Fact, FactsRead, Observation, Statement
from tests.support import RULES

DAY = 86_400_000
T0 = 1_772_449_200_000
SOURCE = "touchpoints.web:0"


def cart(at: int, minutes: int = 30, name: str = "a", funnel: str = "cart", value: float = 50.0) -> Fact:
    times = T0 + at, T0 + at + minutes * 60_000
    return Fact("abandoned", funnel, "web", f"s-{name}", name, *times, value, None, ("1", None))


def bought(at: int, name: str = "p", order: str | None = None, value: float = 70.0) -> Fact:
    return Fact("purchase", "", "pos", f"t-{name}", name, T0 + at, T0 + at, value, order, ())


def cancelled(at: int, order: str) -> Fact:
    return Fact("cancellation", "", "web", "s-x", "x", T0 + at, T0 + at, 0.0, order, ())


class Chain:
    """One person's facts, told one after the other."""

    def __init__(self) -> None:
        self.persons = Persons(0, 1, 3_600_000, RULES.segmenter)
        self.version = 0
        self.rows: dict[str, tuple[str, float]] = {}

    def tell(self, *facts: Fact, holds: bool = True, passed: int = 0) -> "Chain":
        self.version += 1
        statements = [Statement("c:anna", holds, fact) for fact in facts]
        self.persons.take(SOURCE, self.version, T0 + passed, False, statements)
        for _, one in self.persons.settle():
            self.rows[f"{one.journey.funnel}:{one.journey.event_id}"] = one.status, one.value
        return self


def test_bought_before_it_ended_is_no_abandonment_of_the_person() -> None:
    assert Chain().tell(cart(0), bought(30 * 60_000)).rows == {"cart:a": ("completed_elsewhere", 70.0)}
    # One at the very time of the entry was before it, and is not what it was about.
    assert Chain().tell(cart(0), bought(0)).rows == {"cart:a": ("open", 0.0)}


def test_bought_within_seven_days_is_recovered_and_after_that_lost() -> None:
    ends = 30 * 60_000
    assert Chain().tell(cart(0), bought(ends + HORIZON_MS)).rows == {"cart:a": ("recovered", 70.0)}
    late = Chain().tell(cart(0), bought(ends + HORIZON_MS + 1))
    assert late.rows == {"cart:a": ("open", 0.0)}
    late.tell(passed=ends + HORIZON_MS)
    assert late.rows == {"cart:a": ("open", 0.0)}
    late.tell(passed=ends + HORIZON_MS + 60_000)
    assert late.rows == {"cart:a": ("lost", 0.0)}


def test_a_purchase_counts_once_for_each_funnel() -> None:
    """For the journey that ended last; of those that ended together for the greater id."""
    chain = Chain().tell(
        cart(0, name="a"),
        cart(60_000, name="b"),
        cart(60_000, name="c"),
        cart(60_000, name="d", funnel="checkout"),
        bought(DAY),
    )
    assert chain.rows == {
        "cart:a": ("recovered", 0.0),
        "cart:b": ("recovered", 0.0),
        "cart:c": ("recovered", 70.0),
        "checkout:d": ("recovered", 70.0),
    }
    chain.tell(cart(60_000, name="c"), holds=False)
    assert chain.rows["cart:b"] == ("recovered", 70.0)
    assert chain.rows["cart:c"] == ("retracted", 0.0)


def test_a_cancelled_order_was_none_and_the_next_one_counts() -> None:
    chain = Chain().tell(cart(0), bought(DAY, "p", "o-1"), bought(2 * DAY, "q", "o-2", 20.0))
    assert chain.rows == {"cart:a": ("recovered", 70.0)}
    chain.tell(cancelled(3 * DAY, "o-1"))
    assert chain.rows == {"cart:a": ("recovered", 20.0)}
    chain.tell(cancelled(3 * DAY + 1, "o-2"))
    assert chain.rows == {"cart:a": ("open", 0.0)}


def test_an_order_told_twice_is_one_the_earlier() -> None:
    chain = Chain().tell(bought(0, "p", "o-1"), cart(60_000), bought(DAY, "again", "o-1"))
    assert chain.rows == {"cart:a": ("open", 0.0)}
    # The same number a week and more later is another order.
    chain.tell(bought(HORIZON_MS + 1 + DAY, "later", "o-1"))
    assert Chain().tell(bought(0, "p", "o-1"), cart(DAY), bought(HORIZON_MS + 1, "q", "o-1")).rows == {
        "cart:a": ("recovered", 70.0)
    }


def test_what_is_let_go_leaves_what_followed_from_it() -> None:
    """The first of two copies is forgotten before the second: the second is no purchase even so."""
    facts = HeldFacts()
    for one in (bought(0, "p", "o-1"), bought(6 * DAY, "again", "o-1"), bought(6 * DAY, "other", "o-2")):
        facts.take(one.key, 0, 1, True, one)
    facts.forget(T0 + KEPT_MS + 2 * DAY)
    assert {one.fact.event_id: one.is_settled for one in facts.all()} == {"again": True, "other": False}


def test_a_person_with_too_many_facts_keeps_the_newest() -> None:
    chain = Chain().tell(*(cart(n * 1_000, name=f"n{n}") for n in range(MOST_FACTS + 5)))
    assert chain.persons.facts() == MOST_FACTS
    assert chain.persons.shortened == 5


def visitors(*observations: Observation, facts: tuple[Fact, ...]) -> dict[tuple[str, str], bool]:
    """By person and event, whether the fact is said to be theirs."""
    state = Visitors(0, 1, 3_600_000)
    told: dict[tuple[str, str], bool] = {}
    for version, some in enumerate((facts, observations), 1):
        statements = [Statement("phone", True, one) for one in some if isinstance(one, Fact)]
        seen = [one for one in some if isinstance(one, Observation)]
        state.take(SOURCE, version, T0, False, statements, seen)
        for one in state.settle():
            told[one.who, one.fact.event_id] = one.holds
    return told


def test_a_visitor_is_the_one_customer_named_near_the_fact() -> None:
    at = T0 + 30 * 60_000
    one = Observation("phone", "anna", at + HORIZON_MS)
    assert visitors(one, facts=(cart(0),)) == {("v:phone", "a"): False, ("c:anna", "a"): True}
    too_far = one.__class__("phone", "anna", at + HORIZON_MS + 1)
    assert visitors(too_far, facts=(cart(0),)) == {("v:phone", "a"): True}
    other = Observation("phone", "ben", at - HORIZON_MS)
    told = visitors(one, other, facts=(cart(0),))
    assert {person for (person, _), holds in told.items() if holds} == {"v:phone"}


def test_of_a_device_that_all_use_some_customers_are_kept() -> None:
    state = Visitors(0, 1, 3_600_000)
    crowd = [Observation("kiosk", f"c-{n}", T0 + n) for n in range(MOST_CUSTOMERS + 50)]
    state.take(SOURCE, 1, T0, False, [], crowd)
    assert state.settle() == []
    before = len(state.kept.book.get("kiosk") or b"")
    state.take(SOURCE, 2, T0, False, [], [replace_time(one, DAY) for one in crowd])
    state.settle()
    assert len(state.kept.book.get("kiosk") or b"") < 2 * before


def replace_time(one: Observation, more_ms: int) -> Observation:
    return Observation(one.visitor_id, one.customer_id, one.at_ms + more_ms)


def test_a_book_writes_what_has_changed_and_little_else() -> None:
    book, again = Book(), Book()
    for n in range(20_000):
        book.put(f"p-{n}", b"x" * 100)
    stored = dict(book.take_changed())
    shards = len(stored)
    book.put("p-77", b"y")
    changed = dict(book.take_changed())
    assert len(changed) == 1
    assert sum(map(len, changed.values())) < 200
    stored |= changed
    again.restore({number: content for number, content in stored.items() if content})
    assert again.get("p-77") == b"y"
    assert {name: again.get(name) for name in again} == {name: book.get(name) for name in book}
    assert shards <= 20_000 / LEAST_ROOM


def test_a_book_whose_contents_go_is_written_smaller_and_at_last_not_at_all() -> None:
    book = Book()
    for n in range(100):
        book.put(f"p-{n}", b"x" * 100)
    stored = dict(book.take_changed())
    for n in range(90):
        book.remove(f"p-{n}")
    stored |= dict(book.take_changed())
    assert sum(map(len, stored.values())) < 20 * 120
    for n in range(90, 100):
        book.remove(f"p-{n}")
    stored |= dict(book.take_changed())
    assert not any(stored.values())


@pytest.mark.parametrize("cut", [1, 3, 5, 7, 20])
def test_a_book_that_is_cut_short_is_not_read(cut: int) -> None:
    book = Book()
    book.put("person", b"x" * 20)
    ((number, stored),) = book.take_changed()
    with pytest.raises(ValueError, match="cut short"):
        Book().restore({number: stored[:-cut]})


def test_an_older_statement_changes_nothing() -> None:
    chain = Chain().tell(cart(0)).tell(cart(0), holds=False)
    assert chain.rows == {"cart:a": ("retracted", 0.0)}
    chain.persons.take(SOURCE, 1, T0, False, [Statement("c:anna", True, cart(0))])
    assert chain.persons.settle() == []


def test_two_visitors_of_one_customer_do_not_undo_each_other() -> None:
    """A cookie that is lost within a visit: the fact goes from one visitor to the other, the customer stays."""
    state, persons = Visitors(0, 1, 3_600_000), Persons(0, 1, 3_600_000, RULES.segmenter)
    seen = [Observation(one, "anna", T0) for one in ("phone", "desk")]
    batches = [
        ([Statement("phone", True, cart(0))], seen),
        ([Statement("phone", False, cart(0)), Statement("desk", True, cart(0))], []),
    ]
    rows: dict[str, str] = {}
    for version, (statements, observations) in enumerate(batches, 1):
        state.take(SOURCE, version, T0, False, statements, observations)
        persons.take("cx.visits:0", version, T0, False, state.settle())
        rows |= {row.person: row.recovery.status for row in persons.settle()}
    assert rows["c:anna"] == "open"


def test_one_observation_more_makes_nobody_a_stranger() -> None:
    """Times between two that are near each other are left out, and no two at once."""
    week = HORIZON_MS
    fact = cart(week, minutes=10)
    state = Visitors(0, 1, 3_600_000)
    times = [0, week, 2 * week + 20 * 60_000]
    state.take(SOURCE, 1, T0, False, [Statement("phone", True, fact)], [])
    told = {one.who: one.holds for one in state.settle()}
    for version, at in enumerate([*times, 2 * week - 30 * 60_000], 2):
        state.take(SOURCE, version, T0, False, [], [Observation("phone", "anna", T0 + at)])
        told |= {one.who: one.holds for one in state.settle()}
    assert told == {"v:phone": False, "c:anna": True}


def test_a_crowd_of_customers_on_one_device_is_told_of_once() -> None:
    state = Visitors(0, 1, 3_600_000)
    state.end_catching_up()
    facts = [Statement("kiosk", True, cart(n * 1_000, name=f"n{n}")) for n in range(100)]
    state.take(SOURCE, 1, T0, False, facts, [])
    state.settle()
    told = []
    for version, name in enumerate(("anna", "ben", "cleo", "dora"), 2):
        state.take(SOURCE, version, T0, False, [], [Observation("kiosk", name, T0)])
        told.append(len(state.settle()))
    assert told == [200, 200, 0, 0]


def test_what_was_removed_from_an_exact_book_does_not_come_back() -> None:
    chance, book = random.Random(3), Book(is_exact=True)
    stored: dict[int, bytes] = {}
    kept: dict[str, bytes] = {}
    for step in range(400):
        name = f"p-{chance.randrange(60)}"
        if name in kept and chance.random() < 0.4:
            book.remove(name)
            del kept[name]
        else:
            kept[name] = b"%d" % step
            book.put(name, kept[name])
        if chance.random() < 0.2:
            stored |= dict(book.take_changed())
            again = Book(is_exact=True)
            again.restore({number: content for number, content in stored.items() if content})
            assert {one: again.get(one) for one in again} == kept


def test_a_purchase_and_a_journey_told_together_tell_the_persons_other_journeys_again() -> None:
    """A run that has crashed may have given the purchase's value to the one that came between."""
    first = Chain().tell(cart(100_000, minutes=1, name="j1"), bought(200_000, "p", value=25.0))
    assert first.rows == {"cart:j1": ("recovered", 25.0)}
    first.rows["cart:j1"] = "recovered", 0.0  # as that run told it
    first.tell(cart(0, minutes=3, name="j2"), bought(50_000, "q", value=9.0))
    assert first.rows == {"cart:j1": ("recovered", 25.0), "cart:j2": ("completed_elsewhere", 9.0)}


@pytest.mark.parametrize("dims", [(), ("1",), ("1", "2"), ("1", None, "m", None, "x")])
def test_any_dimensions_make_a_row(dims: tuple[str | None, ...]) -> None:
    fact = msgspec.structs.replace(cart(0), dims=dims)
    output = recoveries_output([RecoveryRow("c:anna", Recovery(fact, "open", None, 0.0))], 1)
    assert len(list(output.messages)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"who": "x" * 300}, {"channel": "web\n"}, {"value": -1.0}, {"session_id": ""}, {"order_id": "o" * 70_000}],
)
def test_a_statement_that_is_none_of_ours_is_not_read(wrong: dict[str, Any]) -> None:
    """A worker would end at it, at each start again."""
    who = wrong.pop("who", "c:anna")
    fact = msgspec.structs.replace(cart(0), **wrong)
    text = msgspec.json.encode(
        {
            "source": SOURCE,
            "version": 1,
            "watermark": None,
            "more": False,
            "statements": [Statement(who, True, fact)],
        }
    )
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=FactsRead)


def test_a_purchase_that_a_crashed_run_may_have_told_counts_as_it_does_now() -> None:
    """It was void, a run counted it between two records, and both come at once after the crash."""
    persons = Persons(0, 1, 3_600_000, RULES.segmenter)
    persons.end_catching_up()

    def tell(version: int, *statements: Statement) -> list[tuple[str, bool]]:
        persons.take(SOURCE, version, T0, False, statements)
        persons.settle()
        return [(row.purchase.event_id, row.counts) for row in persons.take_purchases()]

    one, void = bought(0, order="o"), cancelled(0, "o")
    assert tell(1, Statement("c:anna", True, one)) == [("p", True)]
    assert tell(2, Statement("c:anna", True, void)) == [("p", False)]
    persons.is_catching_up = True
    assert tell(4, Statement("c:anna", True, void)) == [("p", False)]


def test_what_is_taken_back_is_noted_in_one_place_and_for_nobody_else() -> None:
    """Of one id for all very many statements come at once: nothing is copied for each of them."""
    changing = Changing("c:anna", None, None, ())
    changing.state(0, 1, Statement("c:anna", False, bought(0, "p", "o-1")))
    noted = changing.taken_back
    changing.state(0, 1, Statement("c:anna", False, bought(DAY, "q", "o-2")))
    assert changing.taken_back is noted
    assert {one.event_id for one in noted.values()} == {"p", "q"}
    assert Changing("c:ben", None, None, ()).taken_back == {}
