"""How long rows wait for sources that lag."""

from pipeline.core.windows.windows import Windows
from pipeline.stages.holding import HISTORY_HOLD_S, Holding
from tests.support import RULES

T0 = 1_772_442_000_000
HOUR = 3_600_000


class Setting:
    def __init__(self, sources: int = 2) -> None:
        self.holding, self.now_s = Holding(30.0), 100.0
        self.windows = Windows(RULES.funnels, HOUR, sources=sources)
        self._version = 0

    def at(self, seconds: float, **watermarks: int) -> int | None:
        """What is due so long after the beginning: seconds of event time after T0."""
        for source, watermark_s in watermarks.items():
            self._version += 1
            self.windows.merge(source, self._version, T0 + 1000 * watermark_s, [])
        due = self.holding.due_ms(self.now_s + seconds, self.windows.sources.progress())
        return None if due is None else (due - T0) // 1000


def test_what_the_first_source_passed_half_a_minute_ago_is_due() -> None:
    setting = Setting()
    assert setting.at(0, web=10, app=5) is None
    assert setting.at(15, web=25) is None
    assert setting.at(29.9) is None
    assert setting.at(30) == 10
    assert setting.at(44.9, web=60) == 10
    assert setting.at(45) == 25
    assert setting.at(75.1) == 60


def test_history_is_waited_for_longer_as_long_as_it_moves_on() -> None:
    """Hours in a minute: the other partition is being read as well."""
    setting = Setting()
    for second in range(0, int(HISTORY_HOLD_S), 2):
        assert setting.at(second, web=40_000 + second * 60, app=second * 60) is None
    assert setting.at(HISTORY_HOLD_S, app=int(HISTORY_HOLD_S) * 60) == 40_000
    assert setting.at(HISTORY_HOLD_S + 10) == 40_000 + 10 * 60, "not what was reached half a minute ago"


def test_a_source_that_stands_still_far_behind_is_no_history() -> None:
    setting = Setting()
    assert setting.at(0, web=50_000, app=0) is None
    for second in range(1, 30):
        assert setting.at(second, web=50_000 + second) is None
    assert setting.at(30, web=50_030) == 50_000
    assert setting.at(1_000, web=51_000) == 50_030


def test_one_that_always_lags_by_more_than_ten_minutes_is_no_history_either() -> None:
    setting = Setting()
    for second in range(31):
        due = setting.at(second, web=50_000 + second, app=40_000 + second)
    assert due == 50_000


def test_a_source_that_is_not_heard_of_is_waited_for_like_any_other() -> None:
    setting = Setting(sources=3)
    assert setting.at(0) is None, "nothing has been heard of at all"
    for second in range(0, 30, 10):
        assert setting.at(second, web=100 + second, app=100 + second) is None
    assert setting.at(30) == 100
