"""What an engine keeps: sessions that come and go, long ones, large amounts."""

import itertools
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest

from pipeline.core.sessions.engine import by_column, new_engine
from pipeline.core.sessions.partition import Partition
from pipeline.model.records import ClockRefusal, Record
from pipeline.tools.simulator.disturbance import Rates, disturb
from pipeline.tools.simulator.traffic import ShopSettings, traffic
from tests.property.test_engines import MINUTE, WITH_FEW
from tests.support import FETCHED_MS, RULES, START_MS, event_json, kept_sessions, stored_partition


def views(partition: Partition, sessions: range, at_ms: int) -> None:
    values = [event_json(at_ms, session_id=f"s-{number}", event_id=str(number)) for number in sessions]
    partition.process(
        [Record(number, -1, value) for number, value in zip(sessions, values, strict=True)], FETCHED_MS
    )


def test_sessions_come_and_go_by_the_ten_thousands_and_every_checkpoint_holds_those_that_are_there() -> None:
    partition, shards = Partition("web", RULES), dict[str, Any]()
    for generation in range(5):
        views(partition, range(generation * 64 * 256, (generation + 1) * 64 * 256), generation * 180 * MINUTE)
        restored = stored_partition(partition, shards)
        assert len(partition.sessions) == len(restored.sessions) == 64 * 256
        count = sum(name.startswith("sessions-") for name in shards)
        assert 64 <= count <= 64 + 4 * 32, "small while there are few, then twice as large, and so on"
    tick = Record(5 * 64 * 256, -1, None, START_MS + 5 * 180 * MINUTE)
    partition.process([tick], FETCHED_MS)  # the shard that was filled last is full, and empty now
    stored_partition(partition, shards)
    assert len(partition.sessions) == 0
    assert not any(name.startswith("sessions-") for name in shards)
    views(partition, range(10**6, 10**6 + 300), 5 * 180 * MINUTE)
    assert len(stored_partition(partition, shards).sessions) == len(partition.sessions) == 300
    assert "sessions-0" not in shards


def test_a_session_that_is_late_in_every_batch_leaves_nothing_behind() -> None:
    partition = Partition("web", RULES)
    tracemalloc.start()
    taken = list[int]()
    for number in range(400):
        at_ms = number * 100
        batch = [event_json(at, event_id=str(at), session_id="late") for at in (at_ms + 50, at_ms)]
        partition.process([Record(2 * number + n, -1, value) for n, value in enumerate(batch)], FETCHED_MS)
        if number in (199, 399):
            taken.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert taken[1] - taken[0] < 50_000


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_session_with_more_events_than_are_kept_is_told_and_shortened(is_compiled: bool) -> None:
    partition = Partition("web", WITH_FEW, is_compiled=is_compiled)
    lengths = []
    for first in range(0, 60, 12):
        views = [event_json(n, event_id=str(n), session_id="s") for n in range(first, first + 12)]
        out = partition.process([Record(first + n, -1, value) for n, value in enumerate(views)], FETCHED_MS)
        lengths.append((out.long_sessions.get("s"), len(kept_sessions(partition)["s"].entries)))
    assert lengths == [(None, 12), (None, 24), (36, 36), (48, 25), (37, 25)]
    late = [event_json(58, event_id="just late", session_id="s"), event_json(10, event_id="far", session_id="s")]
    out = partition.process([Record(100 + n, -1, value) for n, value in enumerate(late)], FETCHED_MS)
    assert (out.accepted, [letter.reason for letter in out.dead_letters]) == (1, ["too_late"])


def test_amounts_that_no_machine_word_holds_add_up() -> None:
    for is_compiled in (True, False):
        partition = Partition("web", RULES, is_compiled=is_compiled)
        kinds = ["product_added"] * 1_100 + ["product_removed"] * 30
        values = [
            event_json(n, event_id=str(n), session_id="s", type=kind, value=1e12) for n, kind in enumerate(kinds)
        ]
        values.append(event_json(5_000, event_id="end", session_id="s", type="product_added", value=1))
        partition.process([Record(n, -1, value) for n, value in enumerate(values)], FETCHED_MS)
        partition = stored_partition(partition, {}, is_compiled=is_compiled)
        out = partition.process([Record(9_999, -1, None, START_MS + 31 * MINUTE)], FETCHED_MS)
        (journey,) = (row.journey for row in out.journeys if row.journey.funnel == "cart")
        assert journey.value == (1_070 * 10**12 + 1) * 10_000


def test_what_was_refused_before_these_records_does_not_keep_the_engine_from_them() -> None:
    partition = Partition("web", RULES)
    partition.refused = {
        5: ClockRefusal(START_MS, "in_future", "0"),
        200: ClockRefusal(START_MS, "in_future", "0"),
    }
    partition.process([Record(100, -1, event_json(0))], FETCHED_MS)
    assert list(partition.refused) == [200]


def test_what_a_shop_sends_is_read_by_the_compiled_engine_but_for_surveys() -> None:
    engine = new_engine("web", RULES, is_compiled=True, hide_customer=None, hide_visitor=None)
    rates = Rates(out_of_order=0.05, late=0.0, duplicate=0.01, broken=0.0)
    sendings = disturb(traffic(ShopSettings(50.0, seed=7), START_MS), rates, seed=7)
    sent = [sending.event for sending in itertools.islice(sendings, 5_000)]
    records = by_column([Record(n, -1, e.payload) for n, e in enumerate(sent) if e.channel == "web"])
    left = list[bytes]()
    at = engine.take(records, 0, FETCHED_MS)
    while at < len(records):
        left.append(records[at].value or b"")
        at = engine.take(records, at + 1, FETCHED_MS)
    assert len(records) > 1_000
    assert engine.duplicates > 5
    assert len(engine.settle_late()) > 5
    assert all(b'"survey_answered"' in payload for payload in left)


WITH_HASH_0 = """
from pipeline.core.sessions.partition import Partition
from pipeline.model.records import Record
from tests.support import FETCHED_MS, RULES, event_json
assert hash(b"s-173365") % 2**64 >> 40 == 0
partition = Partition("web", RULES)
for number in range(3):
    event = event_json(number, event_id=str(number), session_id="s-173365")
    print(partition.process([Record(number, -1, event)], FETCHED_MS).accepted, len(partition.sessions))
"""


def test_an_id_whose_hash_is_0_is_like_any_other() -> None:
    """One in 16 million is; the index has a 0 where there is no session."""
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, "-c", WITH_HASH_0], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [b"1"] * 6), done.stderr
