"""``verify`` follows the pipeline where a session is in several partitions, and says what it cannot show."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.core.sessions.partition import Partition
from pipeline.kafka.logs import held_back
from pipeline.model.holdout import Holdout
from pipeline.model.moments import MomentRule
from pipeline.model.privacy import fingerprint
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.tools.verify.compare import (
    END_OF_TIME,
    Bounds,
    Report,
    add_arms,
    add_incomplete,
    compare_journeys,
    compare_moments,
    compare_purchases,
    compare_recoveries,
)
from pipeline.tools.verify.doubts import doubts, session_sources
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import (
    Arm,
    JourneyKey,
    JourneyValue,
    LogRecord,
    MomentKey,
    MomentValue,
    PurchaseKey,
    RecoveryKey,
    RecoveryValue,
    Tables,
)
from pipeline.tools.verify.progress import Told
from pipeline.tools.verify.run import told_of
from schemas.versioning import OFFSET_BITS
from tests.support import FETCHED_MS, NAIVE, RULES, START_MS, Store, event_json, log_of, naive_logs

FIRST, SECOND = ("touchpoints.web", 0), ("touchpoints.web", 1)
MINUTE = 60_000


def split_session() -> dict[tuple[str, int], list[Record]]:
    """The same cart in both partitions: left in one, bought in the other."""
    added = event_json(0, type="product_added", value=30.0)
    return {
        FIRST: log_of([added, 3 * 60 * MINUTE]),
        SECOND: log_of([added, event_json(MINUTE, type="order_completed", value=30.0), 3 * 60 * MINUTE]),
    }


def rows_of(logs: dict[tuple[str, int], list[Record]], last: tuple[str, int]) -> Store:
    store = Store()
    for source in sorted(logs, key=lambda one: one == last):
        out = Partition("web", RULES).process(logs[source], FETCHED_MS)
        store.take(source, out)
    return store


def test_each_partitions_part_of_a_session_is_right_and_nothing_else_is() -> None:
    logs = naive_logs(split_session())
    tables, sessions = compute(logs, NAIVE), session_sources(logs)
    bounds = Bounds({source: len(records) for source, records in logs.items()}, END_OF_TIME, 0)

    def compared(rows: list[tuple[JourneyKey, JourneyValue, int]]) -> int:
        return compare_journeys(
            rows, tables, bounds, lambda key: sessions[key.channel, key.session_id]
        ).differences

    assert len(tables.twins) == 1
    (key,) = tables.twins
    for row in (tables.journeys[key], *tables.twins[key]):
        others = [(k, v, 1) for k, v in tables.journeys.items() if k != key]
        assert compared([(key, row, 1), *others]) == 0
        assert compared([(key, row._replace(value_units=1), 1), *others]) == 1
    assert {tables.journeys[key].outcome, tables.twins[key][0].outcome} == {"abandoned", "completed"}
    produced = rows_of(split_session(), SECOND).tables().journeys
    assert produced[key] in (tables.journeys[key], *tables.twins[key])


def test_what_later_events_wrote_is_left_out_and_what_they_left_alone_is_compared() -> None:
    logs = naive_logs({FIRST: split_session()[FIRST]})
    tables, sessions = compute(logs, NAIVE), session_sources(logs)
    bounds = Bounds({FIRST: 2}, END_OF_TIME, 1)
    ((key, row),) = tables.journeys.items()
    sources_of = lambda key: sessions[key.channel, key.session_id]  # noqa: E731 - used twice, here
    later = (1 << OFFSET_BITS) + 3
    other = row._replace(outcome="completed")
    assert compare_journeys([(key, other, later)], tables, bounds, sources_of).left_out == 1
    assert compare_journeys([(key, other, later - 1)], tables, bounds, sources_of).differences == 1
    assert compare_journeys([(key, row, later)], tables, bounds, sources_of).compared == 1


def test_what_cannot_be_shown_is_said() -> None:
    far = START_MS + 60 * MINUTE
    logs = {
        FIRST: [LogRecord(7, -1, event_json(0), None), LogRecord(8, START_MS, None, far)],
        SECOND: [LogRecord(0, START_MS, event_json(0), None)],
    }
    found = list(doubts(logs, session_sources(logs), {FIRST: 3}))
    assert found.pop(0).startswith("3 records wait behind open transactions in 1 partitions")
    assert [text.split(":")[0] for text in found[:1]] == ["touchpoints.web"]
    assert "offset 7" in found[0]
    assert found[1].startswith("1 records have no timestamp")
    assert found[2].startswith("1 ticks are over five minutes ahead")
    assert found[3].startswith("1 sessions are in another partition than their session_id's, 1 in several")
    assert list(doubts({FIRST: [LogRecord(0, START_MS, event_json(0), None)]}, {}, {})) == []


def test_a_letter_of_the_log_before_refuses_nothing_of_this_one() -> None:
    """The topic was deleted and made anew: another record is where the refused one was."""
    logs = {FIRST: [LogRecord(7, START_MS, event_json(0), None), LogRecord(8, START_MS, event_json(1), None)]}
    told = {(*FIRST, 7): {fingerprint(b"", event_json(0))}, (*FIRST, 8): {fingerprint(b"", event_json(9))}}
    assert told_of(logs, told, b"") == {(*FIRST, 7)}
    assert told_of(logs, told, b"another key, so other fingerprints") == frozenset()


def test_who_is_held_out_is_drawn_again() -> None:
    rule, key = MomentRule("r", (), 0, frozenset(), 0, False, holdout=0.3), b"of the experiment"
    people = [f"c:{number}" for number in range(400)]
    arms = [
        Arm("r", person, "web", "s", START_MS, Holdout([rule], key).has("r", person, START_MS), 0.3)
        for person in people
    ]
    assert 80 < sum(arm.is_held for arm in arms) < 160

    def differences(some: Iterable[Arm], with_key: bytes = key) -> Report:
        report = Report("moments")
        add_arms(report, some, with_key)
        return report

    assert differences(arms).differences == 0
    another = differences(arms, b"another")
    assert another.differences > 100
    assert "CX_MOMENTS__HOLDOUT_KEY" in another.shown[0]
    assert not any("c:" in text for text in another.shown)
    assert differences([arms[0]._replace(is_held=not arms[0].is_held)]).differences == 1
    assert differences([arms[0]._replace(person="s:web:s", is_held=True)]).differences == 1, "nobody known"


def test_what_is_missing_at_a_first_look_is_not_taken_for_the_work_of_later_events() -> None:
    key, row = MomentKey("r:c:anna:e", "web", "s", START_MS), MomentValue("r", "c:anna", ("e",))
    tables = Tables(moments={key: row})
    later = Bounds({}, START_MS + MINUTE, 1)
    found = compare_moments([], tables, later)
    assert (found.left_out, found.differences) == (1, 0)
    found = compare_moments([], tables, replace(later, is_first_look=True))
    assert (found.left_out, found.differences) == (0, 1), "it may only not be stored yet"
    found = compare_moments([(key, None, 2 << OFFSET_BITS)], tables, replace(later, is_first_look=True))
    assert (found.left_out, found.differences) == (1, 0), "withdrawn since"


def test_how_far_a_source_is_is_the_newest_that_it_has_told_in_this_generation() -> None:
    told = Told(2)
    for value in (
        b'{"source": "touchpoints.web:1", "version": %d, "tiles": []}' % ((2 << OFFSET_BITS) + 7),
        b'{"source": "touchpoints.web:1", "version": %d}' % ((2 << OFFSET_BITS) + 5),
        b'{"source": "touchpoints.web:2", "version": %d}' % ((1 << OFFSET_BITS) + 900),
        b'{"source": "cx.visits", "version": %d}' % ((2 << OFFSET_BITS) + 3),
        '{"source": "cx.visits:²", "version": %d}'.encode() % ((2 << OFFSET_BITS) + 3),
        b'{"source": "\xff:1", "version": 1}',
        b'{"source": "cx.visits:1", "version": -1, "more": ' + b"[" * 100_000 + b"}",
        b"rubbish",
        None,
    ):
        told.take(value)
    assert told.heard == {("touchpoints.web", 1): 7}


def test_a_row_that_was_put_out_early_and_never_again_is_a_difference() -> None:
    report, key = Report("signals"), ("csat", "all", "1m", START_MS)
    add_incomplete(report, [key], Bounds({}, END_OF_TIME, 2))
    assert report.differences == 0, "of a generation whose log is gone"
    add_incomplete(report, [key], Bounds({}, END_OF_TIME, 1))
    assert report.differences == 1
    assert "not complete" in report.shown[0]


def test_what_producers_append_meanwhile_is_not_held_back() -> None:
    """The ends are asked for one after the other, and an hour's soak was told of transactions that nobody had."""
    appended = itertools.count(100)

    def growing(_: str, sources: Sequence[Source]) -> dict[Source, int]:
        return dict.fromkeys(sources, next(appended))

    def behind_one(isolation: str, sources: Sequence[Source]) -> dict[Source, int]:
        return dict.fromkeys(sources, 99 if isolation == "read_committed" else 100)

    assert held_back([FIRST], growing) == {}
    assert held_back([FIRST, SECOND], behind_one) == {FIRST: 1, SECOND: 1}


def test_a_recovery_that_later_events_can_change_is_no_difference_and_one_that_they_cannot_is() -> None:
    key = RecoveryKey("c:anna", "web", "s", "cart:a", START_MS)
    lost = RecoveryValue("cart", START_MS, 5.0, "lost", None, "", "", 0.0, "", "", "")
    bought = lost._replace(status="recovered", recovered_ms=START_MS + MINUTE, recovered_value=5.0)
    tables = Tables(recoveries={key: lost})
    week = 7 * 24 * 60 * MINUTE

    def compared(row: RecoveryValue | None, touched_ms: int, *, is_there: bool = True) -> tuple[int, int, int]:
        found = [(key, row, 1 << OFFSET_BITS)] if is_there else []
        report = compare_recoveries(found, tables, Bounds({}, touched_ms, 1))
        return report.compared, report.left_out, report.differences

    assert compared(lost, START_MS) == (1, 0, 0)
    assert compared(bought, START_MS + week) == (0, 1, 0)
    assert compared(bought, START_MS + week + 2 * MINUTE) == (1, 0, 1)
    assert compared(None, END_OF_TIME) == (1, 0, 1), "retracted"
    assert compared(None, END_OF_TIME, is_there=False) == (0, 0, 1)
    assert compared(None, START_MS + week, is_there=False) == (0, 1, 0)
    tables.crowds.add("c:anna")
    assert compared(bought, END_OF_TIME) == (0, 1, 0)


def test_what_differs_of_moments_and_purchases_is_told_without_the_person() -> None:
    week = 7 * 24 * 60 * MINUTE
    moment = MomentKey("r:c:anna:e", "web", "s", START_MS), MomentValue("r", "c:anna", ("d", "e"))
    purchase = PurchaseKey("c:anna", "pos", "t", "p", START_MS), 10.0
    tables = Tables(moments=dict([moment]), purchases=dict([purchase]))

    def compared(touched_ms: int, *, holds: bool = True, is_there: bool = True, more: int = 0) -> list[Report]:
        (key, row), (where, value), bounds = moment, purchase, Bounds({}, touched_ms, 1)
        told = [(key, row._replace(events=row.events[more:]) if holds else None, 1 << OFFSET_BITS)]
        bought = [(where, value + more if holds else None, 1 << OFFSET_BITS)]
        return [
            compare_moments(told if is_there else [], tables, bounds),
            compare_purchases(bought if is_there else [], tables, bounds),
        ]

    def counts(reports: list[Report]) -> set[tuple[int, int, int]]:
        return {(one.compared, one.left_out, one.differences) for one in reports}

    assert counts(compared(END_OF_TIME)) == {(1, 0, 0)}
    assert counts(compared(END_OF_TIME, more=1)) == counts(compared(END_OF_TIME, holds=False)) == {(1, 0, 1)}
    assert counts(compared(END_OF_TIME, is_there=False)) == {(0, 0, 1)}
    assert counts(compared(START_MS + week, more=1)) == {(0, 1, 0)}
    assert counts(compared(START_MS + week, is_there=False)) == {(0, 1, 0)}
    for report in (*compared(END_OF_TIME, more=1), *compared(END_OF_TIME, is_there=False)):
        assert "anna" not in str(report)
    tables.crowds.add("c:anna")
    assert counts(compared(END_OF_TIME, more=1)) == {(0, 1, 0)}


def test_rows_about_persons_of_a_log_that_is_gone_are_no_difference_and_not_open_either() -> None:
    key, expected = PurchaseKey("c:anna", "pos", "t", "p", START_MS), dict[PurchaseKey, float]()
    held = [(key, 10.0, 1 << OFFSET_BITS)]

    def compared(generation: int, touched_ms: int) -> tuple[int, int, int]:
        report = compare_purchases(held, Tables(purchases=expected), Bounds({}, touched_ms, generation))
        return report.compared, report.left_out, report.differences

    assert compared(2, START_MS) == compared(2, END_OF_TIME) == (0, 0, 0)
    assert compared(1, START_MS) == (0, 1, 0)
    assert compared(1, END_OF_TIME) == (1, 0, 1)
    expected[key] = 11.0  # the new log tells the same story, and its row has not replaced the old one
    assert compared(2, END_OF_TIME) == (1, 0, 1)
