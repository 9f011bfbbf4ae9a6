"""Erasure: whenever it comes, whatever crashes, nothing is left of who is erased, and of others all."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.partition import Partition
from pipeline.model.erasure import Erased
from pipeline.model.privacy import pseudonym
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_returns import is_of_persons
from schemas.erasures import mark_of
from tests.persons import FEW_NAIVE, FEW_RULES, Chain
from tests.property.test_persons import MINUTE, SOURCES, drawn
from tests.support import (
    FETCHED_MS,
    NAIVE,
    RULES,
    Store,
    assert_signals,
    lay,
    naive_logs,
    stored_partition,
    without_zeros,
)

GONE = ["c:anna", "v:phone"]
KEY = b"a key"
_ROUNDS = 6
"""More than any stage needs to hear of an erasure."""


def erased(names: list[str], key: bytes = b"") -> Erased:
    return Erased([mark_of(name[:2] + (pseudonym(key, name[2:]) if key else name[2:])) for name in names], 1)


class Erasing(Chain):
    """A chain in which somebody is erased along the way: each stage hears of it at some time of its own."""

    def erase(self, who: Erased) -> None:
        self._told_of = who
        for stage in self.stages.values():
            self._let_hear(stage, after=self._chance.randrange(4))

    def _let_hear(self, stage: Any, after: int) -> None:
        make, step, steps = stage.make, stage.step, [after]

        def erase(state: Any) -> None:
            if isinstance(state, Partition | Visitors | Persons) and state.erased is not self._told_of:
                state.erase(self._told_of)

        def stepping(state: Any, *rest: Any) -> Any:
            if steps[0] <= 0:
                erase(state)
            steps[0] -= 1
            return step(state, *rest)

        stage.make, stage.step = make, stepping


def ticks_after(logs: dict[Source, list[Record]]) -> dict[Source, list[Record]]:
    """As a running shop has them: whoever hears of an erasure has another batch after it."""
    found = {}
    for source, log in logs.items():
        last = log[-1]
        found[source] = [
            Record(last.offset + n, -1, None, (last.tick_ms or 0) + n * MINUTE) for n in range(1, _ROUNDS + 1)
        ]
    return found


def left_of(chain: Chain, ids: list[str]) -> list[str]:
    """Where the checkpoints of states that are erased now still tell an id."""
    found = []
    for source, stage in chain.stages.items():
        stage.cut()
        text = repr((stage.head, stage.kept))
        found += [f"{one} in {source}" for one in ids if one in text]
    return found


@pytest.mark.parametrize("key", [b"", KEY], ids=["ids", "pseudonyms"])
@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 30), names=st.sampled_from([GONE, GONE[:1], GONE[1:]]))
def test_nothing_is_left_of_who_is_erased_and_of_others_all(
    key: bytes, seed: int, sessions: int, names: list[str]
) -> None:
    chance = random.Random(seed)
    logs, who = drawn(chance, sessions), erased(names, key)
    later = ticks_after(logs)
    naive = replace(FEW_NAIVE, customer_key=key, erased=who.marks)
    expected = compute(naive_logs({source: [*log, *later[source]] for source, log in logs.items()}), naive)
    chain = Erasing(logs, seed, replace(FEW_RULES, customer_key=key))
    crashes = chance.choice([0, 0.1, 0.3])
    for source, log in logs.items():
        chain.stages[source].log = log[: chance.randrange(len(log) + 1)]
    chain.run(crashes)
    chain.erase(who)
    for source, log in logs.items():
        chain.stages[source].log += log[len(chain.stages[source].log) :]
    chain.run(crashes)
    for number in range(_ROUNDS):
        for source, ticks in later.items():
            chain.stages[source].log.append(ticks[number])
        chain.run(crashes)
    # What was told of them before is rewritten where it is stored.
    aside = expected.crowds
    for found, wanted in ((chain.table(), expected.recoveries), (chain.purchases(), expected.purchases)):
        kept = {key: row for key, row in found.items() if not who.has(key.person) and key.person not in aside}
        assert kept == {key: row for key, row in wanted.items() if key.person not in aside}
    if not aside:
        counted = chain.signals()
        both = {key for key in {**counted, **expected.signals} if is_of_persons(key[0])}
        keys = {key for key in both if not expected.is_unsure(key[3])}
        assert_signals(
            {key: row for key, row in counted.items() if key in keys},
            {key: row for key, row in expected.signals.items() if key in keys},
        )
    for stage in chain.stages.values():
        if isinstance(stage.state, Partition | Visitors | Persons):
            stage.state.erase(who)
    ids = [pseudonym(key, name[2:]) if key else name[2:] for name in names]
    assert not left_of(chain, ids)


def blank(shown: str, kind: str, who: Erased) -> str:
    """What is stored of an id once rows are rewritten."""
    return "" if shown and who.has(kind + shown) else shown


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "reference"])
@settings(max_examples=80)
@given(seed=st.integers(0, 2**32), sessions=st.integers(1, 12))
def test_journeys_and_tiles_stay_as_they_are_but_for_who_it_was(
    is_compiled: bool, seed: int, sessions: int
) -> None:
    chance, who = random.Random(seed), erased(GONE)
    source = chance.choice(SOURCES)
    records = drawn(chance, sessions)[source]
    expected = compute({source: naive_logs({source: records})[source]}, replace(NAIVE, erased=who.marks))
    partition = Partition(source[0].removeprefix("touchpoints."), RULES, is_compiled=is_compiled)
    store, kept, at, when = Store(), dict[str, Any](), 0, chance.randrange(len(records) + 1)
    while at < len(records):
        step = chance.choice([1, 2, 5, 50])
        if at <= when < at + step:
            partition.erase(who)
            lay(kept, partition.snapshot())
            assert not [one for one in ("anna", "phone") if one in repr(kept)]
            if chance.random() < 0.3:
                partition = stored_partition(partition, kept)
                partition.erase(who)
        store.take(source, partition.process(records[at : at + step], FETCHED_MS))
        if chance.random() < 0.3:
            lay(kept, partition.snapshot())
        at += step
    found = store.tables()
    rows = {
        key: row._replace(
            customer_id=blank(row.customer_id, "c:", who), visitor_id=blank(row.visitor_id, "v:", who)
        )
        for key, row in found.journeys.items()
    }
    assert rows == expected.journeys
    own = {key: row for key, row in expected.tiles.items() if key[2] == f"{source[0]}:{source[1]}"}
    assert found.tiles == without_zeros(own)
