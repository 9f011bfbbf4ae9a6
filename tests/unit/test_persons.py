"""Persons: what the contract says, case by case; and what keeps them small."""

import pytest

from pipeline.core.book import LEAST_ROOM, Book
from pipeline.core.persons.held import HeldFacts
from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.model.facts import HORIZON_MS, KEPT_MS, MOST_CUSTOMERS, MOST_FACTS
from schemas.facts import Fact, Observation, Statement

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
        self.persons = Persons(0, 1, 3_600_000)
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
    facts.take(0, 1, True, bought(0, "p", "o-1"))
    facts.take(0, 1, True, bought(6 * DAY, "again", "o-1"))
    facts.take(0, 1, True, bought(6 * DAY, "other", "o-2"))
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
