"""What detection is told: once all sources have passed a step, and again where it changes."""

import tracemalloc
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.detection.detector import Detector
from pipeline.core.usual.measures import Measures
from pipeline.core.windows.windows import Windows
from pipeline.model.ages import AgeCounters, age_counters
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence
from pipeline.model.tiles import Counters, bucket_of
from pipeline.tools.verify.naive_nowcast import Stay, cells_of
from tests.support import DETECTOR_RULES, RULES

T0 = 1_772_442_000_000  # a full hour
TIMEOUT = 900_000
AGES = AgeCounters.of("checkout", TIMEOUT)

stays = st.lists(
    st.builds(
        lambda at, age, completed: Stay(T0 + at, None if age is None else T0 + at + age, completed),
        st.integers(0, 1_500_000),
        st.one_of(st.none(), st.integers(0, TIMEOUT - 1)),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def windows(sources: int = 1) -> Windows:
    return Windows(RULES.funnels, HOUR_MS, generation=0, sources=sources)


def tiles_of(some: list[Stay]) -> list[tuple[str, int, Counters]]:
    """As phase one counts them; an event at each opening and ending."""
    tiles: dict[int, Counters] = defaultdict(lambda: defaultdict(int))
    for stay in some:
        first = tiles[bucket_of(stay.opened_ms)]
        first["events"] += 1
        first[AGES.opened] += 1
        if stay.ended_ms is not None:
            age = stay.ended_ms - stay.opened_ms
            at = AGES.bin_of(age)
            assert at is not None
            first[AGES.left[at]] += 1
            last = tiles[bucket_of(stay.ended_ms)]
            last["events"] += 1
            last[(AGES.completed if stay.completed else AGES.abandoned)[at]] += 1
            last[AGES.lived[at]] += age - AGES.edges_ms[at]
    return [("all", bucket, dict(counters)) for bucket, counters in sorted(tiles.items())]


def until(some: list[Stay], at_ms: int) -> list[Stay]:
    """What of them is known at a time."""
    known = (stay for stay in some if stay.opened_ms <= at_ms)
    return [s if s.ended_ms is None or s.ended_ms <= at_ms else s._replace(ended_ms=None) for s in known]


def told(state: Windows) -> dict[int, Counters]:
    """Steps told by an emission."""
    found: dict[int, Counters] = {}
    while True:
        for _ in state.emit():
            pass
        found |= {start: counters for _, start, counters in state.take_told().steps}
        if not state.is_behind():
            return found


@settings(max_examples=60, deadline=None)
@given(some=stays, seed=st.integers(0, 5), late_ms=st.sampled_from([5_000, 0, -60_000]))
def test_time_at_risk_is_that_of_the_journeys_one_by_one(some: list[Stay], seed: int, late_ms: int) -> None:
    """Also where events come after the step that they belong to was told."""
    state = windows()
    found: dict[int, Counters] = {}
    # Told bit by bit while time goes on, and some of it anew: the last word counts.
    for version, at_ms in enumerate((T0 + seed * 300_000, T0 + 2 * HOUR_MS)):
        state.merge("web:0", version, at_ms - late_ms, tiles_of(until(some, at_ms)))
        found |= told(state)
    cells = cells_of(some, TIMEOUT)
    expected: dict[int, list[int]] = defaultdict(lambda: [0] * cells.bins)
    for bucket, at_risk in cells.at_risk.items():
        step = expected[bucket - bucket % STEP_MS]
        for at, spent in enumerate(at_risk):
            step[at] += spent
    actual = {
        start: [counters.get(name, 0) for name in AGES.at_risk]
        for start, counters in found.items()
        if any(name in counters for name in AGES.at_risk)
    }
    assert actual == {start: at_risk for start, at_risk in expected.items() if any(at_risk)}
    assert sum(counters.get(AGES.opened, 0) for counters in found.values()) == len(some)


def test_nothing_is_told_before_all_sources_were_heard_and_nothing_is_lost_by_waiting() -> None:
    state = windows(sources=2)
    state.merge("web:0", 1, T0 + HOUR_MS, [("all", T0, {"events": 3})])
    assert told(state) == {}
    state.merge("web:1", 1, None, [])  # an empty partition says so
    assert told(state)[T0] == {"events": 3}
    assert state.teller.told_ms == T0 + HOUR_MS


def test_a_step_that_changes_is_told_again_and_a_final_hour_is_told_whole() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + HOUR_MS, [("all", T0, {"events": 3}), ("all", T0 + 60_000, {"events": 1})])
    assert set(told(state)) == {T0, T0 + 60_000}
    state.merge("web:0", 2, T0 + HOUR_MS, [("all", T0, {"events": 4})])
    assert told(state) == {T0: {"events": 4}}
    state.merge("web:0", 3, T0 + 2 * HOUR_MS, [])
    for _ in state.emit():
        pass
    _, steps, hours = state.take_told()
    assert steps == []
    assert [(segment, start, counters) for segment, start, counters in hours] == [("all", T0, {"events": 5})]


def test_a_long_history_is_told_in_pieces_whole() -> None:
    state = Windows(RULES.funnels, HOUR_MS, sources=1)
    years = 20 * 365 * 24 * HOUR_MS
    old = [T0 + at * HOUR_MS for at in range(72)]
    new = [T0 + years + at * HOUR_MS for at in range(30)]
    names, end = [f"store_id={number}" for number in range(100)], new[-1] + HOUR_MS
    state.merge("web:0", 1, end, [(name, hour, {"events": 1}) for name in names for hour in [*old, *new]])
    pieces = []
    while state.is_behind():
        for _ in state.emit():
            pass
        pieces.append(state.take_told())
        horizon = state.horizon_ms()
        assert horizon is not None
        state.forget(horizon)  # takes nothing away that is still to be told
    told = [(start, segment) for piece in pieces for segment, start, _ in piece.hours]
    assert sorted(told) == sorted((at, name) for at in [*old, *new] if at <= end - 2 * HOUR_MS for name in names)
    steps = [(start, segment) for piece in pieces for segment, start, _ in piece.steps]
    assert sorted(steps) == sorted((at, name) for at in [*old, *new] for name in names)
    assert [len(piece.steps) for piece in pieces if piece.steps] == [5_000, 5_000, 200]
    assert pieces[-1].until_ms == end


def test_a_detector_told_of_years_apart_learns_all_hours_and_does_not_walk_through_the_time_between() -> None:
    ages = age_counters((funnel.name, funnel.timeout_ms) for funnel in RULES.funnels.all)
    detector = Detector(Measures(ages), DETECTOR_RULES)
    later = T0 + 20 * 365 * 24 * HOUR_MS
    for version, start in enumerate((T0, later)):
        hours = [Evidence("all", start + at * HOUR_MS, {"events": 100}) for at in range(10)]
        steps = [Evidence("all", start + 12 * HOUR_MS, {"events": 1})]
        detector.take("a", version, start + 13 * HOUR_MS, steps, hours)
        moves = sum(1 for _ in detector.decide())
        assert moves < 200  # an hour's steps, until no rule looks back at it any more, and the hours learned
    assert detector.kept[-1].baselines.hours.tolist() == [20]
    assert min(detector.told.hours) >= later  # the former ones have taught for good


def test_years_between_two_events_take_no_memory() -> None:
    state = windows()
    tiles = tiles_of([Stay(T0, T0 + 60_000, True)])
    state.merge("web:0", 1, T0 + HOUR_MS, tiles)
    told(state)
    years = 20 * 365 * 24 * HOUR_MS
    state.merge("web:0", 2, T0 + years + HOUR_MS, [("all", at + years, counters) for _, at, counters in tiles])
    tracemalloc.start()
    try:
        told(state)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * 2**20  # 63 million ends of windows lie between them
