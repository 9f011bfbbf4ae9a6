"""Persons: whatever the order, the cuts and the crashes, what is told is what the naive computation finds."""

import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.source import Source
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_returns import is_of_persons
from schemas.events import TOPIC_PREFIX
from tests.persons import FEW_NAIVE, FEW_RULES, SAID, Chain
from tests.support import assert_signals, event_json, log_of, naive_logs

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SOURCES: tuple[Source, ...] = (("touchpoints.web", 0), ("touchpoints.web", 1), ("touchpoints.pos", 0))


KINDS = ["product_added", "product_added", "checkout_started", "basket_opened", "page_viewed"]
BUYS = ["order_completed", "sale_completed", "order_completed", "order_cancelled"]
CUSTOMERS = [None, None, "anna", "ben"]
VISITORS = [None, "phone", "desk", "phone"]


def drawn(chance: random.Random, sessions: int, asking: random.Random | None = None) -> dict[Source, list[Record]]:
    """Sessions of few customers and visitors over three weeks; events up to 50 minutes out of order."""
    found: dict[Source, list[tuple[int, bytes | int]]] = {source: [] for source in SOURCES}
    span = chance.choice([3 * HOUR, 3 * DAY, 12 * DAY, 21 * DAY])
    for number in range(sessions):
        source = chance.choice(SOURCES)
        at_ms, channel = chance.randrange(span), source[0].removeprefix(TOPIC_PREFIX)
        customer, visitor = chance.choice(CUSTOMERS), chance.choice(VISITORS)
        for place in range(chance.randrange(1, 6)):
            at_ms += chance.choice([0, 1, 5_000, 10 * MINUTE, 29 * MINUTE, 31 * MINUTE, 45 * MINUTE])
            if chance.random() < 0.3:
                customer = chance.choice(CUSTOMERS)
            if chance.random() < 0.15:
                visitor = chance.choice(VISITORS)
            event = event_json(
                at_ms,
                event_id=f"e{number % 7}-{place}",
                type=chance.choice(KINDS + BUYS),
                session_id=f"s-{number}",
                channel=channel,
                store_id="1" if channel == "pos" else None,
                customer_id=customer if chance.random() < 0.6 else None,
                visitor_id=visitor if chance.random() < 0.7 else None,
                consent=None if asking is None else asking.choice(SAID),
                order_id=chance.choice([None, None, "o-1", "o-2"]),
                value=chance.choice([None, 10, 25.5, 0.0001]),
                currency=chance.choice([None, None, "USD"]),
            )
            found[source].append((at_ms + chance.randrange(-50 * MINUTE, 1) * (chance.random() < 0.4), event))
    # In two steps, so that no partition's clock leaps over what another one still has to say.
    ends = [*range(0, 3 * span, 6 * HOUR), span + 9 * DAY]
    logs = {}
    for source, events in found.items():
        both: list[tuple[int, bytes | int]] = [*events, *((end, end) for end in ends)]
        logs[source] = log_of([value for _, value in sorted(both, key=lambda pair: pair[0])])
    return logs


@pytest.mark.parametrize(
    "rules", [FEW_RULES, replace(FEW_RULES, most_later=3)], ids=["as it is", "short sessions"]
)
@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 30))
@example(seed=490, sessions=4)
@example(seed=62957, sessions=28)
@example(seed=88095, sessions=12)  # a cut while a source told again
@example(seed=2789084210, sessions=3)  # time passed far while it did
@example(seed=230091427, sessions=9)  # tiles were let go before the facts counted in them
@example(seed=1138547094, sessions=4)  # the last batch told again was nothing new
def test_any_order_cut_and_crash_gives_the_naive_recoveries(rules: Rules, seed: int, sessions: int) -> None:
    chance = random.Random(seed)
    logs = drawn(chance, sessions)
    naive = replace(FEW_NAIVE, most_later=rules.most_later)
    expected = compute(naive_logs(logs), naive)
    chain = Chain(logs, seed, rules)
    chain.run(crashes=chance.choice([0, 0.1, 0.3]))
    assert chain.table() == expected.recoveries
    assert chain.purchases() == expected.purchases
    assert_signals(chain.signals(), {key: row for key, row in expected.signals.items() if is_of_persons(key[0])})


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 30))
def test_what_is_without_consent_is_nobodys_whatever_the_order(seed: int, sessions: int) -> None:
    chance = random.Random(seed)
    logs = drawn(chance, sessions, random.Random(seed))
    expected = compute(naive_logs(logs), FEW_NAIVE)
    chain = Chain(logs, seed, FEW_RULES)
    chain.run(crashes=chance.choice([0, 0.1, 0.3]))
    assert chain.table() == expected.recoveries
    assert chain.purchases() == expected.purchases
    assert_signals(chain.signals(), {key: row for key, row in expected.signals.items() if is_of_persons(key[0])})
