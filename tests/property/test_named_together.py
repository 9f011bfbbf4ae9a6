"""Of the times at which two were named together those that are left out change nothing."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.facts import HORIZON_MS
from pipeline.model.named_together import telling, that_tell
from schemas.facts import Observation

DAY = 86_400_000
TIMES = st.lists(st.integers(0, 60 * 24).map(lambda hour: hour * DAY // 24), max_size=12)


def is_near(times: list[int], at_ms: int) -> bool:
    return any(abs(one - at_ms) <= HORIZON_MS for one in times)


@given(TIMES, st.integers(-10 * 24, 70 * 24))
def test_near_to_what_tells_is_what_is_near_to_any(times: list[int], hour: int) -> None:
    at_ms = hour * DAY // 24
    kept = telling(sorted(set(times)))
    assert is_near(kept, at_ms) == is_near(times, at_ms)
    assert telling(kept) == kept


@given(TIMES, TIMES)
def test_pairs_are_kept_apart_and_of_each_what_tells(anna: list[int], ben: list[int]) -> None:
    told = [Observation("v", "anna", at) for at in anna] + [Observation("v", "ben", at) for at in ben]
    kept = that_tell(told)
    for name, times in (("anna", anna), ("ben", ben)):
        assert [one.at_ms for one in kept if one.customer_id == name] == telling(sorted(set(times)))


def test_of_three_within_two_horizons_the_middle_one_is_left_out() -> None:
    assert telling([0, DAY, 2 * DAY, 14 * DAY]) == [0, 14 * DAY]
    assert telling([0, DAY, 15 * DAY]) == [0, DAY, 15 * DAY]
