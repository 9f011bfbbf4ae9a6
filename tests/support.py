"""Shared by tests: rules, events as JSON, and the core run over whole logs."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core.cuts import Cut
from pipeline.core.detection.detection import is_of_persons
from pipeline.core.sessions import codec
from pipeline.core.sessions.codec import StoredSession
from pipeline.core.sessions.outputs import Outputs
from pipeline.core.sessions.partition import Partition
from pipeline.core.sessions.walk import RETRACTED
from pipeline.core.windows.windows import Windows
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.settings import Settings, funnel_names, load, moment_names, rules
from pipeline.settings.alert_rules import load_rules
from pipeline.tools.verify import naive_returns
from pipeline.tools.verify.naive_returns import SOURCE as PERSONS_SOURCE
from pipeline.tools.verify.naive_types import (
    JourneyKey,
    JourneyValue,
    LogRecord,
    NaiveRules,
    SignalValue,
    Source,
    Tables,
)
from pipeline.tools.verify.rules import naive_rules
from schemas.checkpoints import decode_shard, encode_shard
from schemas.times import format_rfc3339, parse_rfc3339

DEFAULTS = Settings()
RULES: Rules = rules(DEFAULTS)
ALERT_RULES = load_rules("", funnel_names(DEFAULTS), moment_names(DEFAULTS))
DETECTOR_RULES = tuple(rule for rule in ALERT_RULES if not is_of_persons(rule))
"""Those of one detector: those of persons have another one."""
NAIVE: NaiveRules = naive_rules(DEFAULTS)
OWN = load(
    {
        "CX_CONFIG": str(Path(__file__).parents[1] / "docs/examples/click_and_collect.toml"),
        "CX_FUNNELS__SEARCH__ENABLED": "false",
        "CX_FUNNELS__BASKET__NAME": "till",
        "CX_FUNNELS__CART__COMPLETES_ON": '[{"type": "order_completed", "step": "payment"}, "sale_completed"]',
        "CX_FUNNELS__FORM__OPENS_ON": '[{"type": "form_started", "channel": "app"}, '
        '{"type": "cart_viewed", "step": "address", "channel": "web"}]',
        "CX_FUNNELS__FORM__FILLS_ON": '[{"type": "product_viewed", "step": "payment"}, "form_started"]',
        "CX_FUNNELS__FORM__EMPTIES_ON": '["page_viewed", {"type": "cart_viewed", "channel": "web"}]',
        "CX_PIPELINE__OWN_LATENESS_S": '{"web": 7200}',
        "CX_SEGMENTS__ATTRIBUTES": '["loyalty", "tier"]',
        "CX_SEGMENTS__COMBINATIONS": '[[], ["loyalty"], ["channel", "tier"], ["device"]]',
    }
)
"""A shop with event types, funnels and dimensions of its own, and some of ours changed, switched off, renamed."""
OWN_RULES: Rules = rules(OWN)
OWN_NAIVE: NaiveRules = naive_rules(OWN)
START_MS = parse_rfc3339("2026-03-02T09:00:00Z")
FETCHED_MS = START_MS + 10 * 365 * 86_400_000
"""So late that no record without a time of its own is refused for it."""


def event_json(at_ms: int, **fields: Any) -> bytes:
    """A touchpoint at START_MS + at_ms; fields override a plain page view on the web."""
    event: dict[str, Any] = {
        "event_id": f"e-{at_ms}",
        "type": "page_viewed",
        "occurred_at": format_rfc3339(START_MS + at_ms),
        "channel": "web",
        "session_id": "s",
    }
    event.update(fields)
    return json.dumps({k: v for k, v in event.items() if v is not None}).encode()


def log_of(values: Iterable[bytes | int], start: int = 0) -> list[Record]:
    """Records with consecutive offsets; an int is a tick at START_MS + that many ms."""
    return [
        Record(start + n, -1, None, START_MS + value) if isinstance(value, int) else Record(start + n, -1, value)
        for n, value in enumerate(values)
    ]


@dataclass
class Store:
    """Keeps of each row the highest version, as a ReplacingMergeTree does."""

    journeys: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    tiles: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    signals: dict[Any, tuple[int, SignalValue]] = field(default_factory=dict)
    incomplete: set[Any] = field(default_factory=set)
    """Keys of the signals whose newest row says that something may be missing."""
    dead_letters: dict[tuple[str, int, int], str] = field(default_factory=dict)
    told: dict[Any, SignalValue] = field(default_factory=dict)
    """Of signals what was told, by key, version, and whether it is complete."""

    def take(self, source: Source, out: Outputs) -> None:
        topic, partition = source
        channel = topic.removeprefix("touchpoints.")
        for session_id, j in out.journeys:
            key = JourneyKey(channel, session_id, j.journey_id, j.opened_by.at_ms)
            _, store_id, region, device, *_ = j.opened_by.dims
            row = JourneyValue(
                j.funnel,
                j.ended_ms,
                j.outcome,
                j.reason or "",
                j.customer_id or "",
                j.visitor_id or "",
                store_id or "",
                region or "",
                device or "",
                j.last_step or "",
                j.value,
                j.steps,
            )
            _put(self.journeys, key, out.version, row)
        for tile in out.tiles:
            _put(
                self.tiles,
                (tile.segment, tile.bucket_ms, f"{topic}:{partition}"),
                out.version,
                tile.counters,
            )
        for letter in out.dead_letters:
            self.dead_letters[topic, partition, letter.offset] = letter.reason

    def take_signals(
        self,
        windows: Windows,
        due_ms: int | None = None,
        *,
        is_correcting: bool = True,
        persons_due_ms: int | None = None,
    ) -> int:
        """What an emission puts out; gives how many rows."""
        count = 0
        for rows in windows.emit(due_ms, is_correcting, persons_due_ms):
            c = rows.columns
            columns = (rows.ends_ms, c.numerator, c.denominator, c.value, c.lower, c.upper)
            numbers = (column.tolist() for column in columns)
            for segment, window, end, *values in zip(rows.segments, rows.windows, *numbers, strict=True):
                key = (c.signal, segment, window, end)
                told = (key, rows.version, rows.is_complete)
                # Who has seen a message drops all others of its id.
                if not windows.is_told_again:
                    assert self.told.setdefault(told, SignalValue(*values)) == SignalValue(*values), told
                if _put(self.signals, key, rows.version, SignalValue(*values)):
                    (self.incomplete.discard if rows.is_complete else self.incomplete.add)(key)
                count += 1
        return count

    def tables(self) -> Tables:
        """What counts: no retracted journeys, no zeros, nothing that may lack something."""
        return Tables(
            journeys={k: row for k, (_, row) in self.journeys.items() if row.outcome != RETRACTED},
            tiles=without_zeros({k: row for k, (_, row) in self.tiles.items()}),
            signals={
                k: row for k, (_, row) in self.signals.items() if row.denominator and k not in self.incomplete
            },
            dead_letters=self.dead_letters,
        )


def _put(table: dict[Any, tuple[int, Any]], key: Any, version: int, row: Any) -> bool:
    """Whether it is the newest one."""
    if version < table.get(key, (-1, None))[0]:
        return False
    table[key] = (version, row)
    return True


def without_zeros(tiles: Mapping[Any, Mapping[str, int]]) -> dict[Any, dict[str, int]]:
    kept = {key: {name: count for name, count in row.items() if count} for key, row in tiles.items()}
    return {key: row for key, row in kept.items() if row}


def new_windows(rules: Rules = RULES, persons: int = 0) -> Windows:
    """``persons``: how many partitions tell of them."""
    return Windows(rules.funnels, rules.longest_lateness_ms, persons=persons, rules=rules.about_persons)


def run_core(
    logs: Mapping[Source, Sequence[Record]],
    seed: int,
    store: Store,
    windows: Windows,
    rules: Rules = RULES,
) -> None:
    """Phase one anew over the logs, in random batches, the partitions taken in random turns.

    Every other seed has it done by the reference engine. ``windows`` and ``store`` may hold what an earlier run
    has sent.
    """
    chance = random.Random(seed)
    partitions = {
        source: Partition(source[0].removeprefix("touchpoints."), rules, is_compiled=seed % 2 == 0)
        for source in logs
    }
    rest = {source: list(records) for source, records in logs.items() if records}
    while rest:
        # As the transport does: a partition with something to read and no watermark yet is the
        # slowest, so that phase two has heard of all sources before it forgets anything (law 5).
        unheard = sorted(source for source in rest if partitions[source].latest_ms is None)
        source = chance.choice(unheard or sorted(rest))
        size = 1 if unheard else chance.choice([1, 2, 3, 10, 1000])
        batch, rest[source] = rest[source][:size], rest[source][size:]
        if not rest[source]:
            del rest[source]
        process(partitions[source], source, batch, store, windows)
        if not rest or (not unheard and chance.random() < 0.6):
            # Now and then a source has been waited for long enough, and corrections for not yet.
            due_ms = windows.sources.newest_ms if chance.random() < 0.2 else None
            store.take_signals(windows, due_ms, is_correcting=chance.random() < 0.5)
            horizon = windows.horizon_ms()
            if not unheard and horizon is not None:
                windows.forget(horizon)
    for (topic, number), partition in partitions.items():
        if partition.latest_ms is None:  # as the stage says again and again
            windows.merge(f"{topic}:{number}", rules.first_version, None, [])
    put_out(store, windows)


def put_out(store: Store, windows: Windows) -> None:
    """All that there is to be put out and to be told."""
    store.take_signals(windows)
    while windows.is_behind():
        store.take_signals(windows)


def run_cuts(source: Source, log: Sequence[Record], cuts: Iterable[int], store: Store, windows: Windows) -> None:
    """One partition anew, in batches that end at the cuts (offsets, ascending) and no further."""
    partition = Partition(source[0].removeprefix("touchpoints."), RULES)
    start = 0
    for cut in cuts:
        if cut > start:
            process(partition, source, log[start:cut], store, windows)
            store.take_signals(windows)
            start = cut


def process(partition: Partition, source: Source, batch: Sequence[Record], store: Store, windows: Windows) -> None:
    out = partition.process(batch, fetched_ms=FETCHED_MS)
    store.take(source, out)
    merge(windows, f"{source[0]}:{source[1]}", out)


def merge(windows: Windows, source: str, out: Outputs) -> None:
    """What phase one has sent reaches phase two."""
    tiles = [(tile.segment, tile.bucket_ms, tile.counters) for tile in out.tiles]
    windows.merge(source, out.version, out.watermark_ms, tiles)


def naive_logs(logs: Mapping[Source, Sequence[Record]]) -> dict[Source, list[LogRecord]]:
    return {source: [LogRecord(*record) for record in records] for source, records in logs.items()}


def assert_same(found: Tables, expected: Tables) -> None:
    assert found.journeys == expected.journeys
    # Persons have stages of their own (tests.persons).
    assert found.tiles == without_zeros({k: row for k, row in expected.tiles.items() if k[2] != PERSONS_SOURCE})
    assert found.dead_letters == expected.dead_letters
    assert_signals(
        found.signals, {k: row for k, row in expected.signals.items() if not naive_returns.is_of_persons(k[0])}
    )


def assert_signals(found: Mapping[Any, SignalValue], expected: Mapping[Any, SignalValue]) -> None:
    assert sorted(found.keys() - expected.keys()) == []
    assert sorted(expected.keys() - found.keys()) == []
    for key, value in expected.items():
        for mine, theirs in zip(found[key], value, strict=True):
            assert abs(mine - theirs) <= 1e-9 * max(1.0, abs(theirs)), (key, found[key], value)


def kept_sessions(partition: Partition) -> dict[str, StoredSession]:
    """By id, what a partition keeps of its sessions."""
    shards = partition.sessions.everything()
    found = (codec.decode(stored, partition.channel, partition.rules) for _, stored in shards)
    return {session.session_id: session for sessions in found for session in sessions}


def stored_partition(
    partition: Partition, shards: dict[str, Any], rules: Rules = RULES, *, is_compiled: bool = True
) -> Partition:
    """A cut laid over earlier ones and read back, as through a checkpoint."""
    head = lay(shards, partition.snapshot())
    again = Partition(partition.channel, rules, is_compiled=is_compiled)
    again.restore(head, shards)
    return again


def stored_windows(windows: Windows, shards: dict[str, Any], rules: Rules = RULES) -> Windows:
    restored = new_windows(rules)
    restored.restore(lay(shards, windows.snapshot()), shards)
    return restored


def lay(shards: dict[str, Any], made: Cut) -> Any:
    for name in made.gone:
        shards.pop(name, None)
    for name, content in made.changed.items():
        shards[name] = decode_shard(encode_shard(content))
    return msgspec.json.decode(msgspec.json.encode(dict(made.head)))
