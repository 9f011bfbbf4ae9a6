"""The compiled engine and the reference are two ways to one state: same outputs, batch by batch."""

import itertools
import os
import random
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sessions.engine import IS_COMPILED, by_column, new_engine
from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.partition import Partition
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.records import ClockRefusal, Record
from pipeline.model.rules import Rules
from pipeline.tools.simulator.disturbance import Rates, disturb
from pipeline.tools.simulator.traffic import ShopSettings, traffic
from schemas.decoding import decode
from schemas.events import EVENT_TYPES
from schemas.reasons import Refusal
from tests.contract.test_decoding import ACCEPTED, GOOD, REFUSED, as_json
from tests.needs import need
from tests.support import FETCHED_MS, RULES, START_MS, event_json, kept_sessions, stored_partition

need(IS_COMPILED, "nothing is compiled here: there is one engine")

MINUTE = 60_000
LEAPS = [MINUTE, 30 * MINUTE, 34 * MINUTE, 120 * MINUTE]
WITH_KEY = replace(RULES, customer_key=b"k" * 32)
WITH_FEW = replace(RULES, most_later=25, lateness_ms=10 * MINUTE)
"""Sessions are shortened, and trimmed while journeys are open."""


def told(out: Outputs) -> dict[str, Any]:
    """All that a batch gives, without the order of rows, which means nothing, and zeros that are not counted."""
    journeys = [
        (row.session_id, row.journey[0], row.journey.opened_by.fields, row.journey[2:]) for row in out.journeys
    ]
    tiles = [(t.segment, t.bucket_ms, sorted((k, n) for k, n in t.counters.items() if n)) for t in out.tiles]
    numbers = (
        out.version,
        out.watermark_ms,
        out.accepted,
        out.duplicates,
        out.newest_ms,
        out.ticks,
        out.refused_ticks,
    )
    return {
        "journeys": sorted(journeys, key=repr),
        "tiles": sorted(tiles),
        "dead letters": out.dead_letters,
        "numbers": (*numbers, out.misplaced),
    }


def drawn_event(chance: random.Random, at_ms: int, sessions: int) -> bytes:
    kind = chance.choice(EVENT_TYPES)
    fields: dict[str, Any] = {
        "type": kind,
        "event_id": chance.choice(["a", "b", "é", f"e-{chance.randrange(10**6)}"]),
        "session_id": f"s-{chance.randrange(sessions)}",
        "customer_id": chance.choice([None, None, "anna", "Jürgen", f"c-{chance.randrange(100)}"]),
        "value": chance.choice([None, None, 0, 1, 19.99, 0.00015, 0.1 + 0.2, 123_456_789_012, 1e12]),
        "currency": chance.choice([None, "EUR", "USD"]),
        "step": chance.choice([None, None, "address", "Zahlung ü", "pay"]),
        "store_id": chance.choice([None, None, "5|th=%", "a"]),
        "device": chance.choice([None, "mobile", 'a "desk"']),
        "attributes": chance.choice([None, None, {"a": [1.5, {"b": None}, True, "x"]}]),
    }
    if kind == "survey_answered":
        fields |= {"survey": "csat", "score": chance.choice([1, 4, 5])}
    return event_json(at_ms, **fields)


def drawn_log(chance: random.Random) -> list[Record]:
    """Sessions of every length; late, repeated and refused events, ticks, and leaps over all timeouts."""
    count, sessions = chance.choice([20, 60, 400]), chance.choice([1, 3, 30])
    pace, lateness = chance.choice([1, 100, 3_000, MINUTE]), chance.choice([10, 3_000, 10 * MINUTE])
    at_ms, values = 0, list[bytes | int]()
    for _ in range(count):
        at_ms += int(chance.expovariate(1 / pace))
        at_ms += chance.choice(LEAPS) if chance.random() < 0.01 else 0
        back = int(chance.expovariate(1 / lateness)) if chance.random() < 0.15 else 0
        if chance.random() < 0.05 and values:
            values.append(chance.choice(values[-50:]))
        elif chance.random() < 0.01:
            values.append(START_MS + at_ms + 1_000)
        elif chance.random() < 0.02:
            values.append(chance.choice([payload for payload, _ in REFUSED.values() if len(payload) < 10_000]))
        else:
            values.append(drawn_event(chance, at_ms - back, sessions))
    return [
        Record(n, chance.choice([-1, value - 299_000, value - 301_000]), None, value)
        if isinstance(value, int)
        else Record(n, drawn_stamp(chance, value), value)
        for n, value in enumerate(values)
    ]


def drawn_stamp(chance: random.Random, value: bytes) -> int:
    """The record's time: that of its event, or up to five minutes and more beside it; or none."""
    event = decode(value)
    if isinstance(event, Refusal):
        return chance.choice([-1, START_MS])
    return chance.choice([-1, event.at_ms, event.at_ms + chance.randrange(-310_000, 4_000_000)])


SHOPS = pytest.mark.parametrize(
    "shop", [RULES, WITH_KEY, WITH_FEW], ids=["as it is", "pseudonyms", "short sessions"]
)


@SHOPS
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_both_engines_give_the_same_batch_by_batch(shop: Rules, seed: int) -> None:
    chance = random.Random(seed)
    log = drawn_log(chance)
    native, plain = (Partition("web", shop, number=1, partitions=3, is_compiled=way) for way in (True, False))
    at = 0
    while at < len(log):
        batch = log[at : at + chance.choice([1, 5, 40, 300])]
        fetched_ms = START_MS + chance.choice([0, 10**7, 10**12])
        assert told(native.process(batch, fetched_ms)) == told(plain.process(batch, fetched_ms))
        at += len(batch)
        assert changeable(native) == changeable(plain)
    assert len(native.sessions) == len(plain.sessions)


@SHOPS
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_what_one_engine_has_stored_the_other_goes_on_with(shop: Rules, seed: int) -> None:
    chance = random.Random(seed)
    log = drawn_log(chance)
    stopped, living = Partition("web", shop, is_compiled=chance.random() < 0.7), Partition("web", shop)
    shards: dict[str, Any] = {}
    at = 0
    while at < len(log):
        batch = log[at : at + chance.choice([5, 40, 300])]
        assert told(stopped.process(batch, FETCHED_MS)) == told(living.process(batch, FETCHED_MS))
        at += len(batch)
        if chance.random() < 0.3:
            stopped = stored_partition(stopped, shards, shop, is_compiled=chance.random() < 0.5)
            assert changeable(stopped) == changeable(living)


def changeable(partition: Partition) -> dict[str, list[Entry]]:
    """By session the events that a late one could still come before."""
    cutoff_ms = (partition.latest_ms or 0) - WATERMARK_DELAY_MS - partition.rules.lateness_ms
    logs = {name: session.entries for name, session in kept_sessions(partition).items()}
    most = partition.rules.most_later
    kept = {name: [entry for entry in log if entry.at_ms >= cutoff_ms][-most:] for name, log in logs.items()}
    return {name: entries for name, entries in kept.items() if entries}


def same_entry(payload: bytes) -> None:
    """What is read of one message by either."""
    parts = [Partition("web", RULES, is_compiled=is_compiled) for is_compiled in (True, False)]
    outs = [told(part.process([Record(0, -1, payload)], START_MS)) for part in parts]
    assert outs[0] == outs[1]
    logs = [{name: one.entries for name, one in kept_sessions(part).items()} for part in parts]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("payload", [*ACCEPTED.values(), *(payload for payload, _ in REFUSED.values())])
def test_a_message_means_the_same_to_both(payload: bytes) -> None:
    same_entry(payload)


PIECES = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"0",
    b"-",
    b".",
    b"e5",
    b"null",
    b"\xff",
    b"\x00",
    "é".encode(),
]
EXTRAS: dict[str, Any] = {
    "value": 12.5,
    "currency": "EUR",
    "customer_id": "c",
    "step": "s",
    "attributes": {"a": [1, None, "x"]},
    "x": [True, {}],
}


@settings(max_examples=1_500)
@given(st.data())
def test_a_message_with_a_bite_taken_out_means_the_same_to_both(data: st.DataObject) -> None:
    payload = as_json(GOOD | EXTRAS)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        gone = data.draw(st.sampled_from([0, 0, 1, 2, 9]))
        payload = payload[:at] + data.draw(st.sampled_from([b"", *PIECES])) + payload[at + gone :]
    same_entry(payload)


BLANKS = st.sampled_from([b"", b"", b" ", b"\n\t "])


@settings(max_examples=300)
@given(st.data())
def test_fields_in_any_order_and_spacing_one_after_the_other_are_the_same_to_both(data: st.DataObject) -> None:
    """It guesses what comes next by what came last time."""
    fields = [as_json({name: value})[1:-1].partition(b":") for name, value in (GOOD | EXTRAS).items()]
    fields.append((b'"event_idx"', b":", b'"e"'))
    for _ in range(3):
        some = data.draw(st.permutations(fields))[: data.draw(st.integers(9, len(fields)))]
        before, behind = data.draw(BLANKS), data.draw(BLANKS)
        same_entry(b"{" + b",".join(name + before + b":" + behind + value for name, _, value in some) + b"}")


EDGES = [
    2**50 / 10_000,
    1e11,
    1e12,
    92_233_720_368_547,
    922_337_203_685_477,
    922_337_203_685_478,
    10**15 - 1,
    10**15,
]


@pytest.mark.parametrize("value", [number + step for number in map(int, EDGES) for step in (-1, 0, 1)])
def test_large_values_are_the_same_to_both(value: int) -> None:
    same_entry(as_json(GOOD | {"value": value}))
    same_entry(as_json(GOOD | {"value": value + 0.25}))


@settings(max_examples=500)
@given(
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,16})(\.[0-9]{1,7})?(e[+-]?[0-9]{1,2})?\Z"),
    st.from_regex(
        r"\A(19[67]|20[0-9]|21[89]|220)[0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?Z\Z"
    ),
)
def test_numbers_and_times_are_the_same_to_both(number: str, time: str) -> None:
    payload = as_json(GOOD | {"occurred_at": time, "value": 7_777})
    same_entry(payload.replace(b"7777", number.encode()))


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
    engine = new_engine("web", RULES, None, is_compiled=True)
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
