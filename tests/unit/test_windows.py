"""Which rows exist, what replaces what, and what is forgotten."""

import numpy as np

from pipeline.core.signals import SignalTable
from pipeline.core.windows import Forgotten, Windows
from tests.support import RULES, Store, stored_windows

HOUR = 3_600_000
CART = 1_800_000  # the longest timeout: so much earlier, somebody at risk may have entered
T0 = 1_772_442_000_000  # a full hour


def windows() -> Windows:
    return Windows(RULES.funnels, lateness_ms=HOUR)


def rows(state: Windows, window: str = "1m", signal: str = "friction") -> dict[int, float]:
    """Window end in seconds after T0, to the denominator."""
    store = Store()
    store.take_signals(state)
    return {
        (key[3] - T0) // 1000: row.denominator
        for key, (_, row) in sorted(store.signals.items())
        if key[2] == window and key[0] == signal
    }


def test_rows_cover_data_up_to_the_first_boundary_after_the_newest_watermark() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 25_000, [("all", T0, {"events": 2}), ("all", T0 + 20_000, {"events": 3})])
    assert rows(state) == {10: 2, 20: 2, 30: 5}
    assert rows(state) == {}  # nothing new
    state.merge("web:0", 2, T0 + 30_000, [])
    assert rows(state) == {40: 5}  # a watermark at a boundary: the first one after it
    state.merge("web:0", 3, T0 + 200_000, [])
    assert rows(state) == {50: 5, 60: 5, 70: 3, 80: 3}


def test_long_windows_end_on_minutes() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 61_000, [("all", T0 + 55_000, {"events": 1})])
    assert rows(state, "1h") == {120: 1}
    state = windows()
    state.merge("web:0", 1, T0 + 61_000, [("all", T0 + 50_000, {"events": 1})])
    assert rows(state, "15m") == {60: 1, 120: 1}


def test_a_tile_replaces_an_older_version_and_not_a_newer() -> None:
    state = windows()
    state.merge("web:0", 5, T0 + 1_000, [("all", T0, {"events": 2})])
    state.merge("web:0", 4, T0 + 1_000, [("all", T0, {"events": 9})])
    state.merge("app:0", 7, T0, [("all", T0, {"events": 1})])
    assert rows(state) == {10: 3}
    state.merge("web:0", 6, T0 + 1_000, [("all", T0, {"events": 4})])
    assert state.version == 6 + 7
    assert rows(state) == {10: 5}


def test_a_denominator_that_falls_to_zero_is_written_as_zero() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 1_000, [("all", T0, {"events": 1, "cart_abandoned": 1})])
    assert rows(state, signal="cart_abandonment") == {10: 1}
    state.merge("web:0", 2, T0 + 1_000, [("all", T0, {"events": 1, "cart_abandoned": 0})])
    assert rows(state, signal="cart_abandonment") == {10: 0}


def test_forgetting_waits_for_the_slowest_source_and_never_spoils_what_was_put_out() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 9 * HOUR, [("all", T0, {"events": 1})])
    state.merge("app:0", 1, T0, [])
    assert state.horizon_ms() == T0 - 2 * HOUR - CART
    state.merge("app:0", 2, T0 + 8 * HOUR, [])
    horizon = state.horizon_ms()
    assert horizon == T0 + 6 * HOUR - CART
    rows(state)
    state.forget(horizon)
    assert state.segments == {}
    state.merge("pos:0", 1, T0, [("all", T0 + 30_000, {"events": 5})])  # heard of too late
    assert state.refused == 1
    assert rows(state) == {}
    state.merge("pos:0", 2, T0, [("all", T0 - 30 * HOUR, {"events": 5})])  # far from what was dropped
    assert rows(state)[-30 * 3600 + 10] == 5


def test_money_beyond_64_bits_adds_up_exactly() -> None:
    state = windows()
    worth, n = 10**16, 5_000
    tile = {"cart_abandoned": n, "cart_value_abandoned": n * worth, "cart_value_abandoned_sq": n * worth**2}
    state.merge("web:0", 1, T0 + 1_000, [("all", T0, tile)])
    store = Store()
    store.take_signals(state)
    _, row = store.signals["cart_value_abandoned", "all", "1m", T0 + 10_000]
    assert (row.numerator, row.value, row.lower, row.upper) == (n * 1e12, 1e12, 1e12, 1e12)


def test_the_first_rows_of_a_new_generation_outrank_the_last_ones_of_the_old() -> None:
    """Made from one source, against rows made from all three at the ends of long logs."""
    old = Windows(RULES.funnels, HOUR, generation=1, sources=3)
    for name in ("web:0", "app:0", "pos:0"):
        old.merge(name, (1 << 44) + 10**9, T0, [("all", T0, {"events": 1})])
    new = Windows(RULES.funnels, HOUR, generation=2, sources=3)
    new.merge("web:0", (2 << 44) + 1, T0, [("all", T0, {"events": 1})])
    assert new.version > old.version
    before = new.version
    new.merge("app:0", (1 << 44) + 5, T0, [("all", T0, {"events": 1})])  # left in the topic by the old one
    assert new.version == before
    assert rows(new) == {10: 1}


def test_what_was_forgotten_is_told_among_many_stretches() -> None:
    forgotten = Forgotten(HOUR)
    nights = [day * 24 * HOUR for day in range(400)]
    forgotten.add(sorted([*nights, *(night + 10_000 for night in nights)]))
    assert len(forgotten.stretches) == 400
    for night in (nights[0], nights[7], nights[399]):
        assert forgotten.touches(night - HOUR + 1)
        assert not forgotten.touches(night - HOUR)
        assert forgotten.touches(night + 10_000 + HOUR - 1)
        assert not forgotten.touches(night + 10_000 + HOUR)


def test_a_source_said_to_be_empty_holds_forgetting_and_telling_back_until_it_is_said_again() -> None:
    """It may have begun since, anywhere: a replay reaches the partitions one after the other."""
    state = Windows(RULES.funnels, lateness_ms=HOUR, sources=2)
    state.merge("web:1", 1, None, [])
    state.merge("web:0", 1, T0 + 100 * HOUR, [("all", T0, {"events": 1})])
    rows(state)
    assert state.smallest_ms() is None
    assert state.horizon_ms() is None
    assert state.complete_ms() is None
    state.merge("web:1", 1, None, [])
    assert state.smallest_ms() == T0 + 100 * HOUR
    state.merge("web:0", 2, T0 + 200 * HOUR, [])
    assert state.smallest_ms() == T0 + 100 * HOUR
    state.merge("web:1", 2, T0 + 5 * HOUR, [("all", T0, {"events": 2})])
    assert state.smallest_ms() == T0 + 5 * HOUR
    assert state.refused == 0
    assert rows(state)[10] == 3


def test_what_is_known_of_empty_sources_survives_a_restart() -> None:
    state = windows()
    state.merge("web:0", 1, T0, [("all", T0, {"events": 1})])
    state.merge("web:1", 1, None, [])
    rows(state)
    restored = stored_windows(state, {})
    assert restored.empty == {"web:1": T0}
    assert restored.smallest_ms() == state.smallest_ms() == T0


def test_a_value_that_was_taken_back_leaves_no_counter() -> None:
    table = SignalTable(["cart"])
    sums = np.zeros((1, table.width), dtype=np.int64)
    for value in (100, -100):
        table.add(sums[0], {"cart_value_abandoned": value})
    assert sums.any(), "its limbs are not 0 each"
    assert table.named(sums) == [{}]


def test_a_long_history_is_put_out_in_pieces() -> None:
    windows = Windows(RULES.funnels, RULES.lateness_ms, sources=1)
    buckets = range(0, 20_000_000, 10_000)
    windows.merge("t:0", 1, 20_000_000, [(name, at, {"events": 1}) for name in ("a", "b", "c") for at in buckets])
    lengths = [len(rows.ends_ms) for rows in windows.emit()]
    assert sum(lengths) > 10_000
    assert max(lengths) <= 8_192
