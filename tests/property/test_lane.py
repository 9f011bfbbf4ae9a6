"""The fast lane and the objects beside it are two ways to one state: same outputs, batch by batch."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.event_log import Entry
from pipeline.core.lanes import IS_COMPILED
from pipeline.core.partition import Partition
from pipeline.core.records import Outputs, Record
from schemas.events import EVENT_TYPES
from tests.contract.test_decoding import ACCEPTED, GOOD, REFUSED, as_json
from tests.support import RULES, START_MS, event_json, stored_partition

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here: there is no lane")

MINUTE = 60_000
LEAPS = [MINUTE, 30 * MINUTE, 34 * MINUTE, 120 * MINUTE]
WITH_KEY = replace(RULES, customer_key=b"k" * 32)


def told(out: Outputs) -> dict[str, Any]:
    """All that a batch gives, without the order of rows, which means nothing, and zeros that are not counted."""
    journeys = [
        (row.session_id, row.journey[0], row.journey.opened_by.fields, row.journey[2:]) for row in out.journeys
    ]
    tiles = [(t.segment, t.bucket_ms, sorted((k, n) for k, n in t.counters.items() if n)) for t in out.tiles]
    numbers = (out.version, out.watermark_ms, out.accepted, out.duplicates, out.newest_ms, out.ticks)
    return {
        "journeys": sorted(journeys, key=repr),
        "tiles": sorted(tiles),
        "dead letters": out.dead_letters,
        "numbers": numbers,
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
        Record(n, -1, None, value) if isinstance(value, int) else Record(n, chance.choice([-1, START_MS]), value)
        for n, value in enumerate(values)
    ]


@pytest.mark.parametrize("shop", [RULES, WITH_KEY], ids=["customers as they are", "pseudonyms"])
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_the_lane_gives_batch_by_batch_what_the_objects_give(shop: Any, seed: int) -> None:
    chance = random.Random(seed)
    log = drawn_log(chance)
    with_lane, without = Partition("web", shop), Partition("web", shop, with_lane=False)
    at = 0
    while at < len(log):
        batch = log[at : at + chance.choice([1, 5, 40, 300])]
        fetched_ms = START_MS + chance.choice([0, 10**12])
        assert told(with_lane.process(batch, fetched_ms)) == told(without.process(batch, fetched_ms))
        at += len(batch)
    assert len(with_lane.sessions.objects) <= len(without.sessions.objects)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_what_one_way_has_stored_the_other_goes_on_with(seed: int) -> None:
    chance = random.Random(seed)
    log = drawn_log(chance)
    stopped, living = Partition("web", RULES, with_lane=chance.random() < 0.7), Partition("web", RULES)
    shards: dict[str, Any] = {}
    at = 0
    while at < len(log):
        batch = log[at : at + chance.choice([5, 40, 300])]
        assert told(stopped.process(batch, START_MS)) == told(living.process(batch, START_MS))
        at += len(batch)
        if chance.random() < 0.3:
            stopped = stored_partition(stopped, shards, with_lane=chance.random() < 0.5)
            assert changeable(stopped) == changeable(living)


def changeable(partition: Partition) -> dict[str, list[Entry]]:
    """By session the events that a late one could still come before."""
    cutoff_ms = (partition.watermark_ms or 0) - RULES.lateness_ms
    logs = {name: session.log for name, session in partition.sessions.everything().items()}
    kept = {name: [entry for entry in log if entry.at_ms >= cutoff_ms] for name, log in logs.items()}
    return {name: entries for name, entries in kept.items() if entries}


def same_entry(payload: bytes) -> None:
    """What is read of one message, with the lane and without."""
    parts = [Partition("web", RULES, with_lane=with_lane) for with_lane in (True, False)]
    outs = [told(part.process([Record(0, -1, payload)], START_MS)) for part in parts]
    assert outs[0] == outs[1]
    logs = [{name: one.log for name, one in part.sessions.everything().items()} for part in parts]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("payload", [*ACCEPTED.values(), *(payload for payload, _ in REFUSED.values())])
def test_a_message_means_the_same_to_the_lane(payload: bytes) -> None:
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
def test_a_message_with_a_bite_taken_out_means_the_same_to_the_lane(data: st.DataObject) -> None:
    payload = as_json(GOOD | EXTRAS)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        gone = data.draw(st.sampled_from([0, 0, 1, 2, 9]))
        payload = payload[:at] + data.draw(st.sampled_from([b"", *PIECES])) + payload[at + gone :]
    same_entry(payload)


@settings(max_examples=500)
@given(
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,16})(\.[0-9]{1,7})?(e[+-]?[0-9]{1,2})?\Z"),
    st.from_regex(
        r"\A(19[67]|20[0-9]|21[89]|220)[0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?Z\Z"
    ),
)
def test_numbers_and_times_are_the_same_to_the_lane(number: str, time: str) -> None:
    payload = as_json(GOOD | {"occurred_at": time, "value": 7_777})
    same_entry(payload.replace(b"7777", number.encode()))
