"""Law 1 for what is compared with the past: the same rows whatever the order, the cuts and the pieces."""

import itertools
import random
from typing import Any

import pytest

from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.model.records import Record
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_types import Source
from tests.shops import HOUR, MINUTE, SOURCES, logs, shop
from tests.support import (
    FETCHED_MS,
    NAIVE,
    RULES,
    START_MS,
    Store,
    assert_same,
    event_json,
    log_of,
    merge,
    naive_logs,
    new_windows,
    process,
    put_out,
    run_core,
    stored_windows,
)


@pytest.mark.parametrize("seed", range(3))
def test_completion_ratios_are_those_of_the_naive_computation_in_any_order(seed: int) -> None:
    events = shop(seed, 14)
    expected = compute(naive_logs(logs(events, 0, seed)), NAIVE)
    ratios = {key: row for key, row in expected.signals.items() if key[0] == "checkout_completion_ratio"}
    assert len(ratios) > 5_000
    hour = [row for key, row in ratios.items() if key[1:3] == ("all", "1h") and key[3] == START_MS + 9 * HOUR]
    broken = [row for key, row in ratios.items() if key[1:3] == ("all", "1h") and key[3] == START_MS + 10 * HOUR]
    assert hour[0].lower < 1 < hour[0].upper
    assert broken[0].upper < 0.7
    for late_ms in (0, 50 * MINUTE):
        found = Store()
        run_core(logs(events, late_ms, seed + 1), seed, found, new_windows())
        assert_same(found.tables(), expected)


def test_what_is_usual_survives_restarts() -> None:
    events = logs(shop(7, 14), 50 * MINUTE, 8)
    expected = compute(naive_logs(events), NAIVE)
    found, windows, shards = Store(), new_windows(), dict[str, Any]()
    partitions = {source: Partition("web", RULES) for source in events}
    for at in range(0, max(map(len, events.values())), 40):
        for source, log in events.items():
            if batch := log[at : at + 40]:
                process(partitions[source], source, batch, found, windows)
        found.take_signals(windows)
        horizon = windows.horizon_ms()
        assert horizon is not None
        windows.forget(horizon)
        windows = stored_windows(windows, shards)
    put_out(found, windows)
    assert_same(found.tables(), expected)
    assert any(name.startswith("usual-") for name in shards)


def emitted(order: list[tuple[Source, list[Record]]]) -> Store:
    """Whole logs one after the other, where all sources are known to be two."""
    found, windows = Store(), Windows(RULES.funnels, RULES.lateness_ms, sources=2)
    for source, log in order:
        process(Partition("web", RULES), source, log, found, windows)
        found.take_signals(windows)
    put_out(found, windows)
    return found


def test_the_source_that_is_heard_of_last_brings_the_rows_of_segments_that_it_has_nothing_of() -> None:
    events = logs(shop(11, 30), 0, 11)
    first, second = SOURCES
    plain = [record for record in events[second] if b"mobile" not in (record.value or b"")]
    events[second] = [record._replace(offset=at) for at, record in enumerate(plain)]
    expected = compute(naive_logs(events), NAIVE)
    for order in ((first, second), (second, first)):
        assert_same(emitted([(source, events[source]) for source in order]).tables(), expected)


def test_what_a_crashed_run_has_published_of_ages_is_taken_back() -> None:
    """An earlier opening, late and of another segment, takes the journey from the one that it was counted in."""
    source, hour = SOURCES[0], 8 * HOUR
    quiet = [event for at_ms, event in shop(3, 6)[source] if at_ms < 5 * HOUR]
    opened = event_json(hour + 5_000, type="checkout_started", event_id="a", session_id="x", device="mobile")
    before = event_json(hour + 4_000, type="checkout_started", event_id="0", session_id="x")
    parts: list[list[bytes | int]] = [
        [*quiet, hour - MINUTE],
        [opened, hour + 3 * MINUTE],
        [before, hour + 4 * MINUTE],
        [10 * HOUR],
    ]
    log = log_of([item for part in parts for item in part])
    expected = compute(naive_logs({source: log}), NAIVE)
    ends = list(itertools.accumulate(map(len, parts)))
    found, crashing, partition = Store(), new_windows(), Partition("web", RULES)
    process(partition, source, log[: ends[0]], found, crashing)
    put_out(found, crashing)
    restored = stored_windows(crashing, {})
    restored.begin_catching_up()
    process(partition, source, log[ends[0] : ends[1]], found, crashing)
    put_out(found, crashing)  # and here it crashes
    mine = {key for key in found.signals if key[1] == "channel=web|device=mobile" and key[3] > START_MS + hour}
    assert "checkout_completion_ratio" in {key[0] for key in mine}
    # The next one reads the same tiles again, and with them those that followed, before it puts anything out.
    process(Partition("web", RULES), source, log[: ends[1]], Store(), restored)
    restored.end_catching_up()
    process(partition, source, log[ends[1] : ends[2]], found, restored)
    put_out(found, restored)
    process(partition, source, log[ends[2] :], found, restored)
    put_out(found, restored)
    assert_same(found.tables(), expected)


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_only_a_crashed_run_could_put_out_are_taken_back(seed: int) -> None:
    """It told every batch at once; the next one reads them all, and those that followed, before it tells any."""
    events = logs(shop(seed, 3), 20 * MINUTE, seed)
    expected = compute(naive_logs(events), NAIVE)
    chance = random.Random(seed)
    found, sent = Store(), list[tuple[str, Outputs]]()
    rest, partitions = dict(events), {source: Partition("web", RULES) for source in events}
    while any(rest.values()):
        source = chance.choice([source for source in rest if rest[source]])
        batch, rest[source] = rest[source][:3], rest[source][3:]
        out = partitions[source].process(batch, fetched_ms=FETCHED_MS)
        found.take(source, out)
        sent.append((f"{source[0]}:{source[1]}", out))
    crashing, kept, shards = new_windows(), len(sent) // 3, dict[str, Any]()
    for at, (name, out) in enumerate(sent[: 2 * len(sent) // 3]):
        if at == kept:
            restored = stored_windows(crashing, shards)
            restored.begin_catching_up()
        merge(crashing, name, out)
        found.take_signals(crashing, crashing.sources.newest_ms if at % 7 == 0 else None)
    for at, (name, out) in enumerate(sent[kept:], kept):
        merge(restored, name, out)
        if at == 2 * len(sent) // 3 - 1:
            restored.end_catching_up()
        if at % 50 == 0:
            found.take_signals(restored)
    put_out(found, restored)
    assert not found.incomplete
    assert_same(found.tables(), expected)
