"""What moves a partition's time on, as seen from outside."""

import time

from pipeline.model.records import Record
from pipeline.tools.replay.send import _time_of
from tests.support import START_MS, event_json

WEB = "touchpoints.web"


def test_what_is_refused_moves_no_time() -> None:
    now_ms = int(time.time() * 1000)
    assert _time_of(Record(0, -1, None, START_MS), WEB) == START_MS
    assert _time_of(Record(0, -1, event_json(7)), WEB) == START_MS + 7
    assert _time_of(Record(0, START_MS, event_json(300_000)), WEB) == START_MS + 300_000
    assert _time_of(Record(0, START_MS, event_json(300_001)), WEB) is None  # ahead of its record
    assert _time_of(Record(0, now_ms + 400_000, event_json(0)), WEB) is None  # a record ahead of now
    assert _time_of(Record(0, -1, event_json(7)), "touchpoints.app") is None
    assert _time_of(Record(0, -1, b"{"), WEB) is None
