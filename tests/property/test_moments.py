"""Moments: whatever the order, the cuts and the crashes, what is told is what the naive walk finds."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.model.moments import OUTCOMES
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.settings import load, rules
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_returns import is_of_persons
from pipeline.tools.verify.rules import naive_rules
from schemas.events import TOPIC_PREFIX
from tests.persons import SAID, Chain
from tests.support import assert_signals, event_json, log_of, naive_logs

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SOURCES: tuple[Source, ...] = (("touchpoints.web", 0), ("touchpoints.web", 1), ("touchpoints.pos", 0))
TYPES = [
    "error_shown",
    "rage_clicked",
    "support_contact_started",
    "survey_answered",
    "product_added",
    "order_completed",
]
RULES_FILE = """
[[moment]]
name = "often"
when = [{ types = ["error_shown", "rage_clicked"], count = 3 }]
unless = ["order_completed"]
within_s = 3600
cooldown_s = 7200

[[moment]]
name = "in-session"
when = [{ types = ["error_shown"], step = "payment" }, { types = ["rage_clicked"], channel = "web" }]
within_s = 1200
cooldown_s = 0
scope = "session"

[[moment]]
name = "unhappy-cart"
when = [
    { journey = "cart", outcome = "abandoned", least_value = 20 },
    { types = ["survey_answered"], survey = "nps", most_score = 6 },
]
within_s = 604800
cooldown_s = 259200

[[moment]]
name = "contacts"
when = [{ types = ["support_contact_started"], count = 2 }]
unless = ["survey_answered"]
within_s = 432000
cooldown_s = 604800

[[moment]]
name = "closed"
when = [{ journey = "support", outcome = "abandoned" }, { journey = "cart", outcome = "completed" }]
within_s = 172800
cooldown_s = 3600
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file: Path = tmp_path_factory.mktemp("moments") / "rules.toml"
    file.write_text(RULES_FILE)
    return load({"CX_MOMENTS__RULES": str(file), "CX_SEGMENTS__COMBINATIONS": '[[], ["channel", "device"]]'})


def drawn(chance: random.Random, sessions: int, asking: random.Random | None = None) -> dict[Source, list[Record]]:
    """Sessions of few customers and visitors, or of nobody known; events up to 50 minutes out of order."""
    found: dict[Source, list[tuple[int, bytes | int]]] = {source: [] for source in SOURCES}
    span = chance.choice([2 * HOUR, 2 * DAY, 12 * DAY, 25 * DAY])
    for number in range(sessions):
        source = chance.choice(SOURCES)
        at_ms, channel = chance.randrange(span), source[0].removeprefix(TOPIC_PREFIX)
        customer, visitor = (
            chance.choice([None, None, "anna", "ben"]),
            chance.choice([None, "phone", "desk", "phone"]),
        )
        for place in range(chance.randrange(1, 9)):
            at_ms += chance.choice([0, 1, 5_000, 5 * MINUTE, 29 * MINUTE, 31 * MINUTE, 6 * HOUR])
            if chance.random() < 0.2:
                customer = chance.choice([None, "anna", "ben"])
            kind = chance.choice(TYPES)
            if kind == "order_completed" and number % 4 == 3:
                kind = "sale_completed"  # which no rule names
            more = {"survey": "nps", "score": chance.choice([0, 6, 7, 10])} if kind == "survey_answered" else {}
            event = event_json(
                at_ms,
                event_id=f"e{number % 3}-{place}",
                type=kind,
                session_id=f"s-{number}",
                channel=channel,
                step=chance.choice([None, "payment", "address"]),
                device=("mobile", None, "desktop")[(number + place) % 3],
                customer_id=customer if chance.random() < 0.6 else None,
                visitor_id=visitor if chance.random() < 0.7 else None,
                consent=None if asking is None else asking.choice(SAID),
                value=chance.choice([None, 10, 25.5]),
                **more,
            )
            found[source].append((at_ms + chance.randrange(-50 * MINUTE, 1) * (chance.random() < 0.4), event))
    ends = [*range(0, 3 * span, 6 * HOUR), span + 9 * DAY]
    logs = {}
    for source, events in found.items():
        both: list[tuple[int, bytes | int]] = [*events, *((end, end) for end in ends)]
        logs[source] = log_of([value for _, value in sorted(both, key=lambda pair: pair[0])])
    return logs


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 25))
@example(seed=90, sessions=20)  # told as withdrawn by a run that crashed, and unchanged to the next one
@example(seed=141, sessions=19)  # a partition begins with what is older than all others have passed
@example(seed=273, sessions=5)  # the end of a journey turns out to be another one
@example(seed=1085, sessions=19)  # a correction is on its way of what would be let go
@example(seed=3403227596, sessions=2)  # a cut while a source told again
def test_any_order_cut_and_crash_gives_the_naive_moments(shop: Any, seed: int, sessions: int) -> None:
    chance = random.Random(seed)
    logs = drawn(chance, sessions)
    expected = compute(naive_logs(logs), naive_rules(shop))
    chain = Chain(logs, seed, rules(shop))
    chain.run(crashes=chance.choice([0, 0.1, 0.3]))
    assert chain.moments() == expected.moments
    assert chain.table() == expected.recoveries
    assert_signals(chain.signals(), {key: row for key, row in expected.signals.items() if is_of_persons(key[0])})


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 25))
def test_what_is_without_consent_makes_no_moment_whatever_the_order(shop: Any, seed: int, sessions: int) -> None:
    chance = random.Random(seed)
    logs = drawn(chance, sessions, random.Random(seed))
    expected = compute(naive_logs(logs), naive_rules(shop))
    chain = Chain(logs, seed, rules(shop))
    chain.run(crashes=chance.choice([0, 0.1, 0.3]))
    assert chain.moments() == expected.moments


def test_what_is_drawn_makes_every_rule_fire(shop: Any) -> None:
    fired = set()
    for seed in range(16):
        tables = compute(naive_logs(drawn(random.Random(seed), 25)), naive_rules(shop))
        fired |= {(row.rule, row.person[:2]) for row in tables.moments.values()}
    assert {rule for rule, _ in fired} == {rule.name for rule in rules(shop).moments}
    assert {person for _, person in fired} == {"c:", "v:", "s:"}
    assert set(OUTCOMES) >= {one.outcome for rule in rules(shop).moments for one in rule.conditions}
