"""One that has crashed tells again: until it is as far as it was nothing is let go that it may still correct."""

from typing import Any

import msgspec

from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sources import Sources
from pipeline.outputs.facts import FactsRouter, Told
from schemas.facts import FACTS_TOPIC, Fact, Observation, Statement
from tests.support import RULES, new_windows

WEB, PERSONS = "touchpoints.web:0", "cx.facts:0"
T0 = 1_772_449_200_000
DAY = 86_400_000
CART = Fact("abandoned", "cart", "web", "s", "a", T0, T0 + 1_800_000, 5.0, None, ())


def test_what_is_still_to_come_is_known_after_a_restart() -> None:
    sources = Sources(0, 2)
    sources.hear(WEB, 10, T0)
    sources.hear(WEB, 6, T0)
    sources.hear(PERSONS, 1, None, more=True)
    restored = Sources(0, 2)
    restored.restore(msgspec.json.decode(msgspec.json.encode(sources.head())))
    assert restored.is_told_again
    assert restored.is_mid_batch
    restored.hear(WEB, 10, T0)
    restored.hear(PERSONS, 1, T0)
    assert not restored.is_told_again
    assert not restored.is_mid_batch


def test_persons_tell_of_no_later_time_and_keep_facts_and_tiles() -> None:
    persons = Persons(0, 1, 3_600_000, RULES.segmenter)

    def hear(version: int, days: int, *facts: Fact) -> int | None:
        persons.take(WEB, version, T0 + days * DAY, False, [Statement("c:anna", True, one) for one in facts])
        persons.settle()
        persons.fold()
        persons.take_tiles(is_due=True)
        return persons.passed_ms

    assert hear(10, 1, CART) == T0 + DAY
    assert hear(6, 40) == T0 + DAY
    assert hear(7, 40) == T0 + DAY
    assert "c:anna" in persons.kept.book
    assert persons.tiles.hours.segments
    assert hear(10, 40) == T0 + 40 * DAY
    assert "c:anna" not in persons.kept.book


def test_visitors_tell_what_they_may_correct_as_a_part_of_more() -> None:
    visitors, router = Visitors(0, 1, 3_600_000), FactsRouter(FACTS_TOPIC, 1)
    told: Told = {}

    def hear(version: int, *facts: Fact) -> list[Any]:
        statements = [Statement("phone", True, one) for one in facts]
        visitors.take(WEB, version, T0, False, statements, [])
        output = router.output(
            "cx.visits:0", version, visitors.passed_ms, told, visitors.settle(), is_sure=visitors.is_sure
        )
        bodies: list[Any] = [message.body for message in output.messages]
        return [(body["more"], body["watermark"]) for body in bodies]

    assert hear(10) == [(False, T0)]
    assert hear(6, CART) == [(True, None)]
    assert hear(10) == [(False, T0)]  # nothing has changed, but that it is sure
    assert hear(11) == []


def test_windows_forget_nothing() -> None:
    windows = new_windows(persons=1)
    windows.merge(WEB, 10, T0, [("all", T0 - 60_000, {"cart_started": 1})])
    windows.merge(PERSONS, 10, T0, [])
    list(windows.emit())
    before = windows.horizon_ms()
    assert before is not None
    windows.merge(WEB, 6, T0, [])
    assert windows.horizon_ms() is None
    windows.merge(WEB, 11, T0, [])
    assert windows.horizon_ms() == before
    of_persons = windows.persons.horizon_ms
    windows.merge(PERSONS, 6, T0 + 40 * DAY, [])
    windows.merge(WEB, 12, T0 + 40 * DAY, [])
    list(windows.emit())
    assert windows.persons.horizon_ms == of_persons
    windows.merge(PERSONS, 11, T0 + 40 * DAY, [])
    list(windows.emit())
    assert windows.persons.horizon_ms > of_persons


def test_who_was_named_near_a_fact_is_known_as_long_as_the_fact_can_be_told_again() -> None:
    """Named a day before it: told again it would be the visitor's else, and stay the customer's."""
    visitors, later = Visitors(0, 2, 3_600_000), "touchpoints.web:1"
    cart = msgspec.structs.replace(CART, at_ms=T0, ended_ms=T0)

    def hear(source: str, version: int, watermark_ms: int, *, observed: bool = False) -> list[tuple[str, bool]]:
        statements = [Statement("phone", True, cart)] if source == WEB else []
        named = [Observation("phone", "anna", T0 - DAY)] if observed else []
        visitors.take(source, version, watermark_ms, False, statements, named)
        return [(one.who, one.holds) for one in visitors.settle()]

    visitors.end_catching_up()
    assert hear(WEB, 10, T0 + 13 * DAY, observed=True) == [("c:anna", True)]
    for day in (1, 13):
        hear(later, 10 + day, T0 + day * DAY + 7_200_000)
    visitors.take(WEB, 11, T0 + 13 * DAY + 7_200_000, False, [], [])
    visitors.settle()
    assert hear(WEB, 5, T0 + DAY) == []
    assert hear(WEB, 12, T0 + 13 * DAY) == [("v:phone", False), ("c:anna", True)]
