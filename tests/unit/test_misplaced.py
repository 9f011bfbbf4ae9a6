"""When records in another partition than their session_id's are counted."""

from dataclasses import dataclass, field

import pytest

from pipeline.logs import Notes
from pipeline.metrics import Metrics
from pipeline.stages.misplaced import Misplaced

WEB = "touchpoints.web"


@dataclass
class Asked:
    partitions: dict[str, int] = field(default_factory=lambda: {WEB: 4})
    times_asked: int = 1


def counted(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("cx_misplaced_records_total", {"topic": WEB}) or 0.0


def test_they_are_counted_when_the_brokers_were_asked_once_more(caplog: pytest.LogCaptureFixture) -> None:
    asked, metrics = Asked(), Metrics()
    misplaced = Misplaced(asked, metrics, Notes())
    for times in range(1, 5):  # they keep coming
        asked.times_asked = times
        misplaced.count(WEB, 3)
        misplaced.settle()
    assert counted(metrics) == 6
    assert "3 records are in another partition than their session_id's" in caplog.text
    asked.times_asked = 6
    misplaced.settle()
    assert counted(metrics) == 12


def test_they_are_not_where_the_topic_has_more_partitions_than_was_known(caplog: pytest.LogCaptureFixture) -> None:
    asked, metrics = Asked(), Metrics()
    misplaced = Misplaced(asked, metrics, Notes())
    misplaced.count(WEB, 3)
    asked.partitions[WEB], asked.times_asked = 6, 3
    misplaced.settle()
    assert counted(metrics) == 0
    assert caplog.text == ""
    misplaced.count(WEB, 1)
    asked.times_asked = 5
    misplaced.settle()
    assert counted(metrics) == 1
