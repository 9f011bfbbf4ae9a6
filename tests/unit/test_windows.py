"""Which rows exist, what replaces what, and what is forgotten."""

import numpy as np

from pipeline.core.windows.forgotten import Forgotten
from pipeline.core.windows.formulas import formulas
from pipeline.core.windows.signals import SignalTable
from pipeline.core.windows.windows import Windows
from tests.support import RULES, Store, stored_windows

HOUR = 3_600_000
CART = 1_800_000  # the longest timeout: so much earlier, somebody at risk may have entered
T0 = 1_772_442_000_000  # a full hour


def windows() -> Windows:
    return Windows(RULES.funnels, lateness_ms=HOUR)


def rows(
    state: Windows,
    window: str = "1m",
    signal: str = "friction",
    due_ms: int | None = None,
    *,
    is_complete: bool = True,
    is_correcting: bool = True,
) -> dict[int, float]:
    """Of what an emission puts out: window end in seconds after T0, to the denominator."""
    store = Store()
    store.take_signals(state, due_ms, is_correcting=is_correcting)
    return {
        (key[3] - T0) // 1000: row.denominator
        for key, (_, row) in sorted(store.signals.items())
        if (key[2], key[0], key not in store.incomplete) == (window, signal, is_complete)
    }


def test_rows_are_put_out_once_when_all_sources_have_passed_their_end() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 25_000, [("all", T0, {"events": 2}), ("all", T0 + 20_000, {"events": 3})])
    assert rows(state) == {10: 2, 20: 2}
    assert rows(state) == {}  # nothing new
    state.merge("web:0", 2, T0 + 30_000, [])
    assert rows(state) == {30: 5}  # a watermark at a boundary has passed it
    state.merge("app:0", 1, T0 + 40_000, [("all", T0 + 30_000, {"events": 1})])
    state.merge("web:0", 3, T0 + 200_000, [])
    assert rows(state) == {40: 6}  # the other source is there yet
    state.merge("app:0", 2, T0 + 85_000, [])
    assert rows(state) == {50: 6, 60: 6, 70: 4, 80: 4}


def test_long_windows_end_on_every_tenth_minute() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 601_000, [("all", T0 + 55_000, {"events": 1})])
    assert rows(state, "1h") == {600: 1}
    state = windows()
    state.merge("web:0", 1, T0 + 601_000, [("all", T0 + 50_000, {"events": 1})])
    assert rows(state, "15m") == {300: 1, 600: 1}
    state = windows()
    state.merge("web:0", 1, T0 + 601_000, [("all", T0 + 50_000, {"events": 1})])
    assert rows(state, "5m") == {60: 1, 120: 1, 180: 1, 240: 1, 300: 1}


def test_what_has_waited_long_enough_is_put_out_without_the_source_that_lags_and_again_with_it() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 45_000, [("all", T0, {"events": 2})])
    state.merge("app:0", 1, T0 + 11_000, [("all", T0, {"events": 1})])
    assert rows(state, due_ms=None) == {10: 3}
    assert rows(state, due_ms=T0 + 30_000, is_complete=False) == {20: 3, 30: 3}
    assert not state.is_due(T0 + 30_000)
    assert state.is_due(T0 + 31_000)
    assert rows(state, due_ms=T0 + 30_000, is_complete=False) == {}
    state.merge("app:0", 2, T0 + 25_000, [("all", T0 + 10_000, {"events": 5})])
    assert rows(state) == {20: 8}
    state.merge("app:0", 3, T0 + 45_000, [])
    assert rows(state) == {30: 8, 40: 8}


def test_a_row_that_was_put_out_early_and_is_none_when_complete_is_taken_back() -> None:
    """What it was of is retracted in between; a restart in between forgets nothing of that."""
    state = windows()
    state.merge("web:0", 1, T0 + 45_000, [("all", T0, {"events": 1, "cart_abandoned": 1})])
    state.merge("app:0", 1, T0, [])
    assert rows(state, signal="cart_abandonment", due_ms=T0 + 10_000, is_complete=False) == {10: 1}
    state.merge("web:0", 2, T0 + 45_000, [("all", T0, {"events": 1, "cart_abandoned": 0})])
    assert rows(state, signal="cart_abandonment") == {}
    again = stored_windows(state, {})
    for one in (state, again):
        one.merge("app:0", 2, T0 + 10_000, [])
        assert rows(one, signal="cart_abandonment") == {10: 0}


def test_corrections_wait_for_their_turn_and_new_ends_do_not_wait_for_them() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 11_000, [("all", T0, {"events": 2})])
    assert rows(state) == {10: 2}
    state.merge("web:0", 2, T0 + 21_000, [("all", T0, {"events": 3})])
    assert rows(state, is_correcting=False) == {20: 3}
    assert state.has_corrections()
    state.merge("web:0", 3, T0 + 21_000, [("all", T0, {"events": 4})])
    assert rows(state, is_correcting=False) == {}
    assert rows(state) == {10: 4, 20: 4}
    assert not state.has_corrections()
    state.merge("web:0", 4, T0 + 31_000, [("all", T0 + 20_000, {"events": 1})])
    assert not state.has_corrections(), "of what was never put out"
    assert rows(state) == {30: 5}


def test_nothing_is_complete_while_a_source_is_not_heard_of() -> None:
    state = Windows(RULES.funnels, HOUR, sources=2)
    state.merge("web:0", 1, T0 + 25_000, [("all", T0, {"events": 2})])
    assert rows(state) == {}
    assert rows(state, due_ms=T0 + 10_000, is_complete=False) == {10: 2}
    state.merge("app:0", 1, T0 + 20_000, [])
    assert rows(state) == {10: 2, 20: 2}


def test_a_tile_replaces_an_older_version_and_not_a_newer() -> None:
    state = windows()
    state.merge("web:0", 5, T0 + 11_000, [("all", T0, {"events": 2})])
    state.merge("web:0", 4, T0 + 11_000, [("all", T0, {"events": 9})])
    state.merge("app:0", 7, T0 + 10_000, [("all", T0, {"events": 1})])
    assert rows(state) == {10: 3}
    state.merge("web:0", 6, T0 + 11_000, [("all", T0, {"events": 4})])
    assert state.sources.version == 6 + 7
    assert rows(state) == {10: 5}


def test_a_denominator_that_falls_to_zero_is_written_as_zero() -> None:
    state = windows()
    state.merge("web:0", 1, T0 + 11_000, [("all", T0, {"events": 1, "cart_abandoned": 1})])
    assert rows(state, signal="cart_abandonment") == {10: 1}
    state.merge("web:0", 2, T0 + 11_000, [("all", T0, {"events": 1, "cart_abandoned": 0})])
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
    state.merge("web:0", 1, T0 + 11_000, [("all", T0, tile)])
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
    assert new.sources.version > old.sources.version
    before = new.sources.version
    new.merge("app:0", (1 << 44) + 5, T0, [("all", T0, {"events": 1})])  # left in the topic by the old one
    assert new.sources.version == before
    assert rows(new, due_ms=T0 + 10_000, is_complete=False) == {10: 1}


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
    assert state.sources.smallest_ms() is None
    assert state.horizon_ms() is None
    assert state.tellable_ms() is None
    state.merge("web:1", 1, None, [])
    assert state.sources.smallest_ms() == T0 + 100 * HOUR
    state.merge("web:0", 2, T0 + 200 * HOUR, [])
    assert state.sources.smallest_ms() == T0 + 100 * HOUR
    state.merge("web:1", 2, T0 + 5 * HOUR, [("all", T0, {"events": 2})])
    assert state.sources.smallest_ms() == T0 + 5 * HOUR
    assert state.refused == 0
    assert rows(state)[10] == 3  # put out as complete when the source was said to be empty


def test_what_is_known_of_empty_sources_survives_a_restart() -> None:
    state = windows()
    state.merge("web:0", 1, T0, [("all", T0, {"events": 1})])
    state.merge("web:1", 1, None, [])
    rows(state)
    restored = stored_windows(state, {})
    assert restored.sources.empty == {"web:1": T0}
    assert restored.sources.smallest_ms() == state.sources.smallest_ms() == T0


def test_a_value_that_was_taken_back_leaves_no_counter() -> None:
    table = SignalTable(formulas(["cart"]))
    sums = np.zeros((1, table.width), dtype=np.int64)
    for value in (100, -100):
        table.add(sums[0], {"cart_value_abandoned": value})
    assert sums.any(), "its limbs are not 0 each"
    assert table.named(sums) == [{}]


def test_a_long_history_is_put_out_in_pieces() -> None:
    windows = Windows(RULES.funnels, RULES.lateness_ms, sources=1)
    buckets = range(0, 60_000_000, 10_000)
    windows.merge("t:0", 1, 60_000_000, [(name, at, {"events": 1}) for name in ("a", "b", "c") for at in buckets])
    lengths = [len(rows.ends_ms) for rows in windows.emit()]
    assert sum(lengths) > 10_000
    assert max(lengths) <= 8_192
