"""What late events change of alerts that were given already."""

import pytest

from pipeline.core.detection.detector import Decided, Detector
from pipeline.core.detection.incidents import FIRING, RESOLVED, RETRACTED, Alert
from pipeline.core.detection.sentence import sentence
from pipeline.core.usual.measures import Measures
from pipeline.model.ages import age_counters
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence
from pipeline.model.tiles import Counters
from tests.support import DETECTOR_RULES, RULES

MONDAY = 4 * 24 * HOUR_MS
OUTAGE = MONDAY + 6 * HOUR_MS
AGES = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)["checkout"]


def counters(completed: int, steps: int = 1) -> Counters:
    return {AGES.completed[3]: completed * steps, AGES.at_risk[3]: 480_000 * steps, "events": 50 * steps}


class Shop:
    """One segment, one source; a detector that has learned six hours."""

    def __init__(self) -> None:
        ages = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)
        self.detector = Detector(Measures(ages), DETECTOR_RULES)
        self.version = 0
        self.given: list[Decided] = []
        hours = [Evidence("all", MONDAY + at * HOUR_MS, counters(8, steps=120)) for at in range(4)]
        self.tell(MONDAY, 720, 8, hours)

    def tell(
        self, first_ms: int, steps: int, completed: int, hours: list[Evidence] | None = None
    ) -> list[Decided]:
        """Of so many steps from ``first_ms`` on; complete is what has ever been told."""
        self.version += 1
        told = [Evidence("all", first_ms + at * STEP_MS, counters(completed)) for at in range(steps)]
        end = max(first_ms + steps * STEP_MS, self.detector.told.complete.get("a", 0))
        self.detector.take("a", self.version, end, told, hours or [])
        found = [Decided(d.at_ms, [a.copy() for a in d.alerts]) for d in self.detector.decide()]
        self.given += found
        return found

    def statuses(self) -> list[str]:
        """Each as it changed, over all alerts."""
        found: list[str] = []
        for alert in self.alerts():
            if not found or found[-1] != alert.status:
                found.append(alert.status)
        return found

    def alerts(self) -> list[Alert]:
        return [alert for decided in self.given for alert in decided.alerts]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_an_outage_that_was_only_late_is_taken_back_with_a_higher_version(shop: Shop) -> None:
    shop.tell(OUTAGE, 10, 0)
    assert shop.statuses()[-1] == FIRING
    assert [alert.status for alert in shop.detector.open_alerts()] == [FIRING]
    assert shop.tell(OUTAGE, 10, 8) == []  # decided on with the next step, so that versions rise
    shop.tell(OUTAGE + 10 * STEP_MS, 10, 8)
    assert shop.statuses()[-1] == RETRACTED
    assert shop.detector.open_alerts() == []
    last = shop.alerts()[-1]
    assert last.resolved_ms == OUTAGE + 10 * STEP_MS
    assert sentence(last).startswith("taken back, events that came late")
    assert len({alert.alert_id for alert in shop.alerts()}) == 1
    versions = [decided.at_ms for decided in shop.given if decided.alerts]
    assert versions == sorted(set(versions))


def test_an_outage_that_shows_only_in_late_events_is_told_from_firing_on(shop: Shop) -> None:
    shop.tell(OUTAGE, 40, 8)
    shop.tell(OUTAGE, 10, 0)
    assert shop.alerts() == []
    shop.tell(OUTAGE + 40 * STEP_MS, 1, 8)
    found = [(alert.status, alert.opened_ms < OUTAGE + 10 * STEP_MS) for alert in shop.alerts()]
    assert found == [(FIRING, True), (RESOLVED, True)]
    first, then = (decided for decided in shop.given if decided.alerts)
    assert OUTAGE + 40 * STEP_MS < first.at_ms < then.at_ms < OUTAGE + 41 * STEP_MS
    assert first.alerts[0].alert_id == then.alerts[0].alert_id


def test_the_same_told_again_is_no_news(shop: Shop) -> None:
    shop.tell(OUTAGE, 40, 8)
    shop.tell(OUTAGE, 40, 8)
    assert shop.detector.changed == set()


def test_what_can_no_longer_change_is_forgotten(shop: Shop) -> None:
    for at in range(60):
        shop.tell(OUTAGE + at * 10 * STEP_MS, 10, 8)
    detector, end = shop.detector, OUTAGE + 600 * STEP_MS
    assert end - HOUR_MS - 600_000 <= min(detector.told.steps) <= end - HOUR_MS
    assert len(detector.kept) <= 14
    assert detector.said == {}
    before = dict(detector.told.steps)
    shop.tell(OUTAGE, 10, 0)  # longer ago than the lateness: changes nothing
    assert (detector.told.steps, detector.changed) == (before, set())


def test_what_changed_long_ago_is_looked_at_every_five_minutes_and_before_it_is_settled(shop: Shop) -> None:
    shop.tell(OUTAGE, 60, 8)
    shop.tell(OUTAGE + 60 * STEP_MS, 10, 8)
    shop.tell(OUTAGE, 1, 7)
    shop.tell(OUTAGE + 70 * STEP_MS, 1, 8)
    assert shop.detector.changed == set()  # the first time, at once
    shop.tell(OUTAGE, 1, 6)
    shop.tell(OUTAGE + 71 * STEP_MS, 1, 8)
    assert shop.detector.changed == {OUTAGE}
    shop.tell(OUTAGE + 70 * STEP_MS, 1, 7)  # not long ago: at once
    shop.tell(OUTAGE + 72 * STEP_MS, 1, 8)
    assert shop.detector.changed == {OUTAGE}
    shop.tell(OUTAGE + 73 * STEP_MS, 600, 8)
    assert shop.detector.changed == set()
