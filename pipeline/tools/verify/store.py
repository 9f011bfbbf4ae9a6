"""What ClickHouse holds, in the form in which it is compared."""

from collections.abc import Iterator
from typing import Any

from pipeline.model.signals import Kind
from pipeline.outputs.purchases import COUNTED
from pipeline.tools.verify.naive_returns import is_of_persons
from pipeline.tools.verify.naive_types import (
    Arm,
    JourneyKey,
    JourneyValue,
    MomentKey,
    MomentValue,
    PurchaseKey,
    RecoveryKey,
    RecoveryValue,
    SignalKey,
    SignalValue,
    TileKey,
)
from schemas.deadletters import OWN_MARK
from schemas.moments import FIRED
from schemas.recoveries import RETRACTED
from schemas.versioning import OFFSET_BITS
from sinks.tables import COUNTERS


def journeys(client: Any) -> Iterator[tuple[JourneyKey, JourneyValue, int]]:
    """Key, row and version of every journey, retracted ones included."""
    query = (
        "SELECT channel, session_id, journey_id, toUnixTimestamp64Milli(entered_at), funnel, "
        "toUnixTimestamp64Milli(ended_at), outcome, reason, customer_id, visitor_id, store_id, region, device, "
        "last_step, value, arrayZip(steps, step_after_ms), version FROM cx.journeys FINAL"
    )
    for row in client.execute_iter(query):
        value, steps, version = row[14:]
        found = JourneyValue._make((*row[4:14], round(value * 10_000), tuple(steps)))
        yield JourneyKey(*row[:4]), found, version


def recoveries(client: Any) -> Iterator[tuple[RecoveryKey, RecoveryValue | None, int]]:
    """Key, row and version of every recovery of somebody not erased; no row where it was retracted."""
    query = (
        "SELECT person, channel, session_id, journey_id, toUnixTimestamp64Milli(entered_at), funnel, "
        "toUnixTimestamp64Milli(ended_at), value, status, toUnixTimestamp64Milli(recovered_at), "
        "recovered_channel, recovered_session, recovered_value, store_id, region, device, version "
        "FROM cx.recoveries FINAL WHERE person != ''"
    )
    for row in client.execute_iter(query):
        found = RecoveryValue(*row[5:-1])
        yield RecoveryKey(*row[:5]), None if found.status == RETRACTED else found, row[-1]


def moments(client: Any) -> Iterator[tuple[MomentKey, MomentValue | None, int]]:
    """Key, row and version of every moment of somebody not erased; no row where it was withdrawn."""
    query = (
        "SELECT moment_id, channel, session_id, toUnixTimestamp64Milli(at), rule, person, events, status, version "
        "FROM cx.moments FINAL WHERE person != ''"
    )
    for *key, rule, person, events, status, version in client.execute_iter(query):
        yield MomentKey(*key), MomentValue(rule, person, tuple(events)) if status == FIRED else None, version


def arms(client: Any, generation: int) -> Iterator[Arm]:
    """Of the moments of somebody not erased those that were drawn for an experiment, in this generation."""
    query = (
        "SELECT rule, person, channel, session_id, toUnixTimestamp64Milli(at), is_held, holdout "
        "FROM cx.moments FINAL WHERE person != '' AND (is_held OR holdout > 0) AND version >= %(first)s"
    )
    yield from map(Arm._make, client.execute_iter(query, {"first": generation << OFFSET_BITS}))


def purchases(client: Any) -> Iterator[tuple[PurchaseKey, float | None, int]]:
    """Key, value and version of every purchase of somebody not erased; no value where it is void."""
    query = (
        "SELECT person, channel, session_id, event_id, toUnixTimestamp64Milli(at), value, status, version "
        "FROM cx.purchases FINAL WHERE person != ''"
    )
    for *key, value, status, version in client.execute_iter(query):
        yield PurchaseKey(*key), value if status == COUNTED else None, version


def tiles(client: Any) -> Iterator[tuple[TileKey, dict[str, int], int]]:
    """Key, counters above 0 and version of every tile."""
    query = (
        "SELECT segment, toUnixTimestamp64Milli(bucket), source, version, by_age, by_step, by_funnel, by_person, "
        f"{', '.join(COUNTERS)} FROM cx.tiles FINAL"
    )
    for segment, bucket, source, version, by_age, by_step, by_funnel, by_person, *counts in client.execute_iter(
        query
    ):
        counters = dict(zip(COUNTERS, counts, strict=True)) | by_age | by_step | by_funnel | by_person
        counters = {name: count for name, count in counters.items() if count}
        yield (segment, bucket, source), counters, version


def signals(client: Any, up_to_ms: int) -> Iterator[tuple[SignalKey, SignalValue]]:
    """Key and row of every complete signal of a window that ends at or before the time."""
    query = (
        "SELECT signal, segment, window, toUnixTimestamp64Milli(window_end), numerator, denominator, value, "
        "lower, upper FROM cx.signals FINAL WHERE complete AND toUnixTimestamp64Milli(window_end) <= %(up_to)s"
    )
    for signal, segment, window, end, *numbers in client.execute_iter(query, {"up_to": up_to_ms}):
        yield (signal, segment, window, end), SignalValue(*numbers)


def incomplete_signals(client: Any, up_to_ms: int) -> Iterator[SignalKey]:
    """Keys of the signals of windows that end at or before the time which say that something may be missing."""
    query = (
        "SELECT signal, segment, window, toUnixTimestamp64Milli(window_end) FROM cx.signals FINAL "
        "WHERE NOT complete AND denominator > 0 AND toUnixTimestamp64Milli(window_end) <= %(up_to)s"
    )
    yield from client.execute_iter(query, {"up_to": up_to_ms})


def complete_signals(client: Any, end_ms: int) -> int:
    """How many complete rows there are of windows that end then, without those of persons and of the past."""
    query = (
        "SELECT signal, count() FROM cx.signals FINAL WHERE complete AND denominator > 0 "
        "AND NOT endsWith(signal, %(past)s) AND toUnixTimestamp64Milli(window_end) = %(end)s GROUP BY signal"
    )
    rows = client.execute(query, {"end": end_ms, "past": f"_{Kind.COMPLETION_RATIO}"})
    return sum(int(count) for signal, count in rows if not is_of_persons(signal))


def dead_letters(client: Any) -> Iterator[tuple[tuple[str, int, int], str]]:
    """Where it was and why, of every dead letter."""
    query = (
        "SELECT topic, partition, offset, reason FROM cx.dead_letters FINAL "
        "WHERE position(topic, %(own)s) = 0"  # those are no input, so nothing to be computed
    )
    for topic, partition, offset, reason in client.execute_iter(query, {"own": OWN_MARK}):
        yield (topic, partition, offset), reason
