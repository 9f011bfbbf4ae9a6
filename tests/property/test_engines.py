"""The compiled engine and the reference are two ways to one state: same outputs, batch by batch."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from pipeline.core.sessions.engine import IS_COMPILED
from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.partition import Partition
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from schemas.decoding import decode
from schemas.events import EVENT_TYPES
from schemas.facts import Fact
from schemas.reasons import Refusal
from tests.contract.test_decoding import REFUSED
from tests.needs import need
from tests.support import FETCHED_MS, OWN_RULES, RULES, START_MS, event_json, kept_sessions, stored_partition

need(IS_COMPILED, "nothing is compiled here: there is one engine")

MINUTE = 60_000
LEAPS = [MINUTE, 30 * MINUTE, 34 * MINUTE, 120 * MINUTE]
WITH_KEY = replace(RULES, customer_key=b"k" * 32)
WITH_FEW = replace(RULES, most_later=25, own_lateness_ms={"web": 10 * MINUTE})
"""Sessions are shortened, and trimmed while journeys are open."""


def told(out: Outputs) -> dict[str, Any]:
    """All that a batch gives, without the order of rows, which means nothing, and zeros that are not counted."""
    journeys = [
        (row.session_id, row.journey[0], row.journey.opened_by.fields, row.journey[2:]) for row in out.journeys
    ]
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
        "dead letters": out.dead_letters,
        "numbers": (*numbers, out.misplaced),
    }


class Tiles(dict[tuple[str, int], dict[str, int]]):
    """What has been told of them. What is told again, or that there is nothing, is told where something could have
    been: an engine that has folded less of a session away thinks so more often.
    """

    def take(self, out: Outputs) -> None:
        for tile in out.tiles:
            self[tile.segment, tile.bucket_ms] = {name: count for name, count in tile.counters.items() if count}

    def shown(self) -> dict[tuple[str, int], dict[str, int]]:
        return {key: counters for key, counters in self.items() if counters}


class Persons:
    """What has been told of them. How often it is told, and what is taken back that never was, each engine decides
    by what it still has of a session.
    """

    def __init__(self) -> None:
        self.ends: dict[tuple[str, str], tuple[int, int]] = {}
        """When each two were first and last named together."""
        self.facts: dict[tuple[str, Any], Fact] = {}

    def take(self, out: Outputs) -> None:
        for topic, statements in (("visits", out.visits), ("facts", out.facts)):
            for who, holds, fact, _ in map(astuple, statements):
                self.facts.pop((topic + who, fact.key), None)
                if holds:
                    self.facts[topic + who, fact.key] = fact
        for one in out.observations:
            key = one.visitor_id, one.customer_id
            first, last = self.ends.get(key, (one.at_ms, one.at_ms))
            self.ends[key] = min(first, one.at_ms), max(last, one.at_ms)


ATTRIBUTES: list[dict[str, Any] | None] = [
    None,
    None,
    {"a": [1.5, {"b": None}, True, "x"]},
    {"loyalty": "gold", "tier": "5|th=%"},
    {"tier": 'a "b"', "loyalty": "é" * 64},
    {"loyalty": "x" * 65, "tier": ""},
    {"x": {"loyalty": "no"}, "tier": 3, "loyalty": None},
    {},
]


def drawn_event(chance: random.Random, at_ms: int, sessions: int) -> bytes:
    kind = chance.choice([*EVENT_TYPES, "order_collected", "product_added", "product_removed", "product_removed"])
    fields: dict[str, Any] = {
        "type": kind,
        "event_id": chance.choice(["a", "b", "é", f"e-{chance.randrange(10**6)}"]),
        "session_id": f"s-{chance.randrange(sessions)}",
        "customer_id": chance.choice([None, None, "anna", "Jürgen", f"c-{chance.randrange(100)}"]),
        "visitor_id": chance.choice([None, None, "b-1", "Gerät", f"v-{chance.randrange(100)}"]),
        "order_id": chance.choice([None, None, None, "o-1", f"Nº {chance.randrange(100)}"]),
        "consent": chance.choice([None, None, None, None, True, False]),
        "value": chance.choice([None, None, 0, 1, 19.99, 0.00015, 0.1 + 0.2, 123_456_789_012, 1e12]),
        "currency": chance.choice([None, "EUR", "USD"]),
        "step": chance.choice([None, None, "address", "Zahlung ü", "payment", "pickup"]),
        "store_id": chance.choice([None, None, "5|th=%", "a"]),
        "device": chance.choice([None, "mobile", 'a "desk"']),
        "attributes": chance.choice(ATTRIBUTES),
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
    "shop",
    [RULES, WITH_KEY, WITH_FEW, OWN_RULES],
    ids=["as it is", "pseudonyms", "short sessions", "words of its own"],
)


@SHOPS
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_both_engines_give_the_same_batch_by_batch(shop: Rules, seed: int) -> None:
    chance = random.Random(seed)
    log = drawn_log(chance)
    log.append(Record(len(log), -1, None, START_MS + 10**11))  # all sessions are let go then
    native, plain = (Partition("web", shop, number=1, partitions=3, is_compiled=way) for way in (True, False))
    at, persons, tiles = 0, (Persons(), Persons()), (Tiles(), Tiles())
    while at < len(log):
        batch = log[at : at + chance.choice([1, 5, 40, 300])]
        fetched_ms = START_MS + (10**12 if batch[-1] is log[-1] else chance.choice([0, 10**7, 10**12]))
        outs = native.process(batch, fetched_ms), plain.process(batch, fetched_ms)
        assert told(outs[0]) == told(outs[1])
        for out, person, tile in zip(outs, persons, tiles, strict=True):
            person.take(out)
            tile.take(out)
        assert persons[0].facts == persons[1].facts
        assert tiles[0].shown() == tiles[1].shown()
        at += len(batch)
        assert changeable(native) == changeable(plain)
    assert len(native.sessions) == len(plain.sessions)
    assert persons[0].ends == persons[1].ends


@SHOPS
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_what_one_engine_has_stored_the_other_goes_on_with(shop: Rules, seed: int) -> None:
    chance = random.Random(seed)
    log = drawn_log(chance)
    stopped, living = Partition("web", shop, is_compiled=chance.random() < 0.7), Partition("web", shop)
    shards: dict[str, Any] = {}
    at, persons, tiles = 0, (Persons(), Persons()), (Tiles(), Tiles())
    while at < len(log):
        batch = log[at : at + chance.choice([5, 40, 300])]
        outs = stopped.process(batch, FETCHED_MS), living.process(batch, FETCHED_MS)
        assert told(outs[0]) == told(outs[1])
        for out, person, tile in zip(outs, persons, tiles, strict=True):
            person.take(out)
            tile.take(out)
        assert persons[0].facts == persons[1].facts
        assert tiles[0].shown() == tiles[1].shown()
        at += len(batch)
        if chance.random() < 0.3:
            stopped = stored_partition(stopped, shards, shop, is_compiled=chance.random() < 0.5)
            assert changeable(stopped) == changeable(living)


def changeable(partition: Partition) -> dict[str, list[Entry]]:
    """By session the events that a late one could still come before."""
    cutoff_ms = (partition.latest_ms or 0) - WATERMARK_DELAY_MS - partition.rules.lateness_of("web")
    logs = {name: session.entries for name, session in kept_sessions(partition).items()}
    most = partition.rules.most_later
    kept = {name: [entry for entry in log if entry.at_ms >= cutoff_ms][-most:] for name, log in logs.items()}
    return {name: entries for name, entries in kept.items() if entries}
