"""Signals of persons: kept small for weeks, corrected where they change, told to a detector of their own."""

import numpy as np
import pytest

from pipeline.core.detection.detection import Detection, is_of_persons
from pipeline.core.detection.incidents import FIRING
from pipeline.core.detection.watch import Rule
from pipeline.core.windows.windows import Windows
from pipeline.model.ages import age_counters
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence
from pipeline.model.facts import KEPT_MS
from pipeline.model.tiles import BUCKET_MS, Counters
from tests.support import ALERT_RULES, DETECTOR_RULES, RULES, START_MS, Store, lay

T0 = START_MS - START_MS % HOUR_MS
DAY_MS = 24 * HOUR_MS
WEB, PERSONS = "touchpoints.web:0", "cx.facts:0"
MONDAY = 4 * DAY_MS
AGES = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)


def new_windows() -> Windows:
    return Windows(RULES.funnels, RULES.longest_lateness_ms, sources=1, persons=1)


class Setting:
    """Phase two of a shop with ten abandonments and ten completions in a bucket each half minute."""

    def __init__(self, hours: int = 2) -> None:
        self.windows, self.store, self._version = new_windows(), Store(), 0
        self.end_ms = T0 + hours * HOUR_MS
        tiles = [("all", at, {"cart_abandoned": 10, "cart_completed": 10}) for at in self.buckets()]
        self.merge(WEB, tiles, self.end_ms)

    def buckets(self) -> range:
        return range(T0, self.end_ms, 3 * BUCKET_MS)

    def merge(self, source: str, tiles: list[tuple[str, int, Counters]], watermark: int) -> None:
        self._version += 1
        self.windows.merge(source, self._version, watermark, tiles)

    def persons(self, elsewhere: int, at: int | None = None, watermark: int | None = None) -> None:
        """So many of each bucket's abandonments (of one bucket's) were completed elsewhere."""
        counters = {"cart_known": 5, "cart_elsewhere": elsewhere}
        tiles = [("all", one, counters) for one in (self.buckets() if at is None else [at])]
        self.merge(PERSONS, tiles, self.end_ms if watermark is None else watermark)

    def emit(self, **options: bool) -> int:
        return self.store.take_signals(self.windows, **options)

    def net(self, window: str, end_ms: int) -> float:
        _, row = self.store.signals["cart_net_abandonment", "all", window, end_ms]
        return row.numerator


def test_they_wait_for_what_is_told_of_persons_and_nothing_else_does() -> None:
    setting = Setting()
    setting.emit()
    assert ("cart_abandonment", "all", "1h", setting.end_ms) in setting.store.signals
    assert not any(key[0] == "cart_net_abandonment" for key in setting.store.signals)
    setting.persons(2, watermark=setting.end_ms - HOUR_MS)
    setting.emit()
    ends = {key[3] for key in setting.store.signals if key[0] == "cart_net_abandonment"}
    assert max(ends) == setting.end_ms - HOUR_MS
    setting.persons(2)
    setting.emit()
    assert setting.net("1h", setting.end_ms) == 120 * 8
    assert setting.store.incomplete == set()


def test_what_lags_for_too_long_is_put_out_as_not_complete_and_once_more() -> None:
    setting = Setting()
    setting.store.take_signals(setting.windows, persons_due_ms=setting.end_ms)
    key = ("cart_net_abandonment", "all", "1h", setting.end_ms)
    assert setting.net("1h", setting.end_ms) == 120 * 10
    assert key in setting.store.incomplete
    setting.persons(2)
    setting.emit()
    assert setting.net("1h", setting.end_ms) == 120 * 8
    assert key not in setting.store.incomplete


def test_what_changes_two_weeks_later_is_put_out_again_and_nothing_else() -> None:
    setting = Setting()
    setting.persons(2)
    setting.emit()
    later = T0 + KEPT_MS
    setting.merge(WEB, [("all", later, {"events": 1})], later + HOUR_MS)
    setting.merge(PERSONS, [], later + HOUR_MS)
    setting.emit()
    at = T0 + 30 * 60_000
    setting.persons(0, at, later + HOUR_MS)
    assert setting.windows.has_corrections()
    count = setting.emit()
    assert setting.net("1h", T0 + HOUR_MS) == 120 * 8 + 2
    assert setting.net("1h", T0 + 2 * HOUR_MS) == 120 * 8
    ends = 6 + 5 + 3 + 6  # of the four windows, those that hold the bucket
    assert count == 2 * ends, "of net abandonment and of who is known, and of no other signal or time"
    assert not setting.windows.has_corrections()


def test_what_moves_from_one_partition_to_another_changes_no_row() -> None:
    """A visitor turns out to be a customer: one source tells of one less, another of one more."""
    setting = Setting()
    setting.windows = Windows(RULES.funnels, RULES.longest_lateness_ms, sources=1, persons=2)
    setting.merge(WEB, [("all", T0, {"cart_abandoned": 2})], T0 + HOUR_MS)
    setting.merge("cx.facts:0", [("all", T0, {"cart_known": 1})], T0 + HOUR_MS)
    setting.merge("cx.facts:1", [], T0 + HOUR_MS)
    assert setting.emit() > 0
    setting.merge("cx.facts:0", [("all", T0, {"cart_known": 0})], T0 + HOUR_MS)
    setting.merge("cx.facts:1", [("all", T0, {"cart_known": 1})], T0 + HOUR_MS)
    assert setting.emit() == 0
    setting.merge("cx.facts:0", [("all", T0, {"cart_known": 1})], T0 + HOUR_MS)
    assert setting.emit() > 0, "now there are two"


def test_rows_put_out_between_two_corrections_are_put_out_again() -> None:
    """What they hold is taken back before its turn has come, so that in the end it is as it was."""
    setting = Setting()
    setting.persons(2, watermark=T0 + HOUR_MS)
    setting.emit()
    at = T0 + HOUR_MS - 3 * BUCKET_MS
    setting.persons(7, at, T0 + HOUR_MS + 60_000)
    setting.emit(is_correcting=False)
    assert setting.net("1m", T0 + HOUR_MS + BUCKET_MS) == 8 + 3
    setting.persons(2, at, T0 + HOUR_MS + 60_000)
    setting.emit()
    assert setting.net("1m", T0 + HOUR_MS + BUCKET_MS) == 8 + 8


def test_two_weeks_are_kept_small_and_come_back_with_a_restart() -> None:
    setting = Setting(hours=48)
    setting.persons(2)
    setting.emit()
    shards: dict[str, object] = {}
    head = lay(shards, setting.windows.snapshot())
    packed = sum(len(str(content)) for name, content in shards.items() if name.startswith("persons-"))
    assert packed < 48 * 120 * 10, "bytes"
    again = new_windows()
    again.restore(head, shards)
    setting.windows = again
    setting.persons(0, T0 + 30 * 60_000)
    setting.emit()
    assert setting.net("1h", T0 + HOUR_MS) == 120 * 8 + 2


def test_what_is_older_than_that_is_refused() -> None:
    setting = Setting()
    setting.persons(2)
    later = T0 + KEPT_MS + RULES.longest_lateness_ms + 6 * HOUR_MS
    setting.merge(WEB, [("all", later, {"events": 1})], later)
    setting.merge(PERSONS, [], later)
    setting.emit()
    setting.persons(0, T0 + 30 * 60_000, later)
    assert setting.emit() == 0
    assert setting.windows.persons.refused == 1


def test_a_broken_hour_is_told() -> None:
    setting = Setting()
    setting.persons(2)
    setting.emit()
    shards: dict[str, object] = {}
    head = lay(shards, setting.windows.snapshot())
    name = next(name for name in shards if name.startswith("persons-"))
    content = shards[name]
    assert isinstance(content, bytes)
    again = new_windows()
    again.restore(head, shards | {name: content[:-4] + b"    "})
    setting.windows = again
    with pytest.raises(ValueError, match="broken"):
        setting.persons(0)


def test_no_row_is_made_between_two_parts_of_what_a_partition_tells() -> None:
    windows = new_windows()
    windows.merge(WEB, 1, T0, [])
    windows.merge(PERSONS, 1, None, [("all", T0, {"cart_known": 1})], more=True)
    assert windows.is_mid_batch
    windows.merge(PERSONS, 1, T0, [])
    assert not windows.is_mid_batch


def test_no_row_is_made_while_one_that_has_crashed_tells_again_what_it_takes_back_later() -> None:
    windows = new_windows()
    windows.merge(WEB, 1, T0, [])
    windows.merge(PERSONS, 10, T0, [("all", T0, {"cart_known": 1})])
    list(windows.emit())
    windows.merge(PERSONS, 6, T0, [("all", T0 + 10_000, {"cart_known": 1})])
    assert windows.is_mid_batch  # by then the sum of versions is that of other content
    windows.merge(PERSONS, 12, T0, [("all", T0 + 10_000, {"cart_known": 0})])
    assert not windows.is_mid_batch
    assert not windows.is_told_again
    windows.merge(PERSONS, 7, T0, [])
    windows.merge(WEB, 2, T0 + 3_600_000, [])
    assert windows.is_told_again
    assert not windows.is_mid_batch  # rows of an hour do not wait


def test_corrections_of_many_hours_keep_few_of_them_open() -> None:
    setting = Setting(hours=12 * 24)
    setting.persons(1)
    setting.emit()
    hours = setting.windows.persons.hours
    setting.merge(PERSONS, [("all", at, {"cart_known": 2}) for at in setting.buckets()], setting.end_ms)
    assert hours.open < 280
    setting.emit()
    known = [
        row.numerator
        for key, (_, row) in setting.store.signals.items()
        if key[0] == "cart_known" and key[2] == "1h" and key[3] >= T0 + HOUR_MS
    ]
    assert len(known) > 12 * 24 * 5
    assert set(known) == {240}


def evidence(start_ms: int, steps: int, elsewhere: float, seed: int = 1) -> tuple[list[Evidence], list[Evidence]]:
    """Steps of one segment with ten abandonments and ten completions, and the hours that they make up."""
    chance = np.random.default_rng(seed)
    rows: list[Evidence] = []
    hours: dict[int, Counters] = {}
    for at in range(start_ms, start_ms + steps * STEP_MS, STEP_MS):
        bought = min(10, int(chance.poisson(elsewhere)))
        counters = {"cart_abandoned": 10, "cart_completed": 10, "cart_elsewhere": bought, "events": 20}
        rows.append(Evidence("all", at, counters))
        hour = hours.setdefault(at - at % HOUR_MS, {})
        for name, count in counters.items():
            hour[name] = hour.get(name, 0) + count
    return rows, [Evidence("all", at, counters) for at, counters in hours.items()]


def detection_of(rules: tuple[Rule, ...]) -> Detection:
    return Detection(AGES, rules, about_persons=RULES.about_persons)


def test_fewer_who_buy_on_another_way_are_an_alert_of_net_abandonment() -> None:
    detection = detection_of(ALERT_RULES)
    shards: dict[str, object] = {}
    fired: list[tuple[str, str]] = []
    times = ((MONDAY, 6 * 120, 4.0), (MONDAY + 6 * HOUR_MS, 60, 0.0))
    for version, (start, steps, elsewhere) in enumerate(times, 1):
        rows, hours = evidence(start, steps, elsewhere)
        for is_about in (False, True):
            told = rows if is_about else [one._replace(counters={"events": 20}) for one in rows]
            detector = detection.of(is_about)
            assert detector is not None
            detector.take("cx.tiles:0", version, start + steps * STEP_MS, told, hours if elsewhere else [])
        fired += [
            (alert.rule.name, alert.segment)
            for decided in detection.decide()
            for alert in decided.alerts
            if alert.status == FIRING
        ]
        if elsewhere:
            assert fired == []
        again = detection_of(ALERT_RULES)
        again.restore(lay(shards, detection.snapshot()), shards)
        detection = again
    assert set(fired) == {("cart-net-abandonment", "all")}
    assert [alert.rule.name for alert in detection.open_alerts()] == ["cart-net-abandonment"]


def test_of_rules_that_are_gone_nothing_stays_stored() -> None:
    detection, shards = detection_of(ALERT_RULES), dict[str, object]()
    rows, hours = evidence(MONDAY, 120, 4.0)
    assert detection.persons is not None
    detection.persons.take("cx.tiles:0", 1, MONDAY + HOUR_MS, rows, hours)
    list(detection.decide())
    head = lay(shards, detection.snapshot())
    assert any(name.startswith("persons-") for name in shards)
    without = detection_of(DETECTOR_RULES)
    without.restore(head, shards)
    head = lay(shards, without.snapshot())
    assert not any(name.startswith("persons-") for name in shards)
    again = detection_of(ALERT_RULES)
    again.restore(head, shards)
    assert again.persons is not None
    assert again.persons.next_ms is None


def test_a_restart_follows_a_step_in_which_nothing_came() -> None:
    """Of persons many steps are empty, and segments are there before it is known what is usual in them."""
    detection, shards = detection_of(ALERT_RULES), dict[str, object]()
    rows, hours = evidence(MONDAY, 6 * 120, 4.0)
    end = MONDAY + 6 * HOUR_MS
    for number in range(30):  # new ones, a step with all of them, and one without anything
        rows.append(Evidence(f"store_id={number}", end + STEP_MS, {"cart_abandoned": 1, "events": 1}))
    rows.append(Evidence("all", end, {"cart_abandoned": 1, "events": 1}))
    later, _ = evidence(end + 3 * STEP_MS, 139, 4.0)  # what was decided on an hour ago is what a checkpoint holds
    rows += later
    end += 140 * STEP_MS
    assert detection.persons is not None
    detection.persons.take("cx.tiles:0", 1, end + 3 * STEP_MS, rows, hours)
    list(detection.decide())
    again = detection_of(ALERT_RULES)
    again.restore(lay(shards, detection.snapshot()), shards)
    for one in (detection, again):
        assert one.persons is not None
        one.persons.take(
            "cx.tiles:0", 2, end + 5 * STEP_MS, [Evidence("all", end + 4 * STEP_MS, {"events": 1})], []
        )
        assert [alert for decided in one.decide() for alert in decided.alerts] == []
        assert one.persons.next_ms == end + 5 * STEP_MS


def test_a_shop_may_have_rules_about_persons_only() -> None:
    detection = detection_of(tuple(rule for rule in ALERT_RULES if is_of_persons(rule)))
    rows, hours = evidence(MONDAY, 120, 4.0)
    for is_about in (False, True):
        detector = detection.of(is_about)
        assert detector is not None
        detector.take("cx.tiles:0", 1, MONDAY + HOUR_MS, rows, hours)
    assert [alert for decided in detection.decide() for alert in decided.alerts] == []
    assert detection.own.next_ms == MONDAY + HOUR_MS


def test_phase_two_tells_that_detector_what_it_needs() -> None:
    setting = Setting(hours=3)
    setting.persons(2)
    setting.emit()
    told = setting.windows.take_persons_told()
    while setting.windows.is_behind():
        setting.emit()
        more = setting.windows.take_persons_told()
        told = told._replace(until_ms=more.until_ms, steps=told.steps + more.steps, hours=told.hours + more.hours)
    assert told.until_ms == setting.end_ms
    counters = {"cart_abandoned": 10, "cart_completed": 10, "cart_elsewhere": 2, "events": 20}
    assert told.steps == [Evidence("all", at, counters) for at in setting.buckets()]
    whole = {name: 120 * count for name, count in counters.items()}
    assert told.hours == [Evidence("all", at, whole) for at in (T0, T0 + HOUR_MS)], "the last is not final yet"
    setting.persons(0, T0 + 2 * HOUR_MS)
    setting.emit()
    changed = Evidence("all", T0 + 2 * HOUR_MS, {"cart_abandoned": 10, "cart_completed": 10, "events": 20})
    assert setting.windows.take_persons_told().steps == [changed]


def test_of_history_few_hours_stay_open() -> None:
    setting = Setting(hours=1)
    for day in range(10):
        end = T0 + (day + 1) * DAY_MS
        tiles = [
            (f"store_id={store}", at, {"cart_abandoned": 1, "cart_completed": 1})
            for store in range(20)
            for at in range(T0 + day * DAY_MS, end, HOUR_MS // 4)
        ]
        setting.merge(WEB, tiles, end)
        setting.merge(PERSONS, [], end)
        setting.emit()
    hours = setting.windows.persons.hours
    assert len(hours) > 10 * 20 * 20
    assert hours.open < 600
