"""Journeys: message and row. Compiled, for it is done for every one of them."""

from collections.abc import Iterator
from typing import Any, Final

from pipeline.core.sessions.outputs import JourneyRow
from pipeline.model.erasure import STANDS
from pipeline.outputs.outgoing import Outgoing, Output
from schemas.cloudevents import headers
from schemas.journeys import JOURNEY_TYPE, JOURNEYS_TOPIC, JourneyBody, journey_message_id
from schemas.times import format_rfc3339
from schemas.units import from_units
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import JOURNEYS

_NO_STEPS: Final[list[Any]] = []
_MOST_MS: Final = 2**32 - 1
"""49 days: what the column holds."""


def journeys_output(channel: str, rows: list[JourneyRow], version: int) -> Output:
    """Of the journeys that a batch of a touchpoint partition has ended or changed."""
    return Output(
        JOURNEYS_TOPIC,
        journey_messages(channel, rows, version),
        JOURNEYS,
        journey_columns(channel, rows, version),
    )


def journey_messages(channel: str, rows: list[JourneyRow], version: int) -> Iterator[Outgoing]:
    """What is to be sent of each, keyed by session.

    One after the other: of thousands held at once the garbage collector takes a fifth of the time.
    """
    for row in rows:
        body = journey_body(channel, row, version)
        # NamedTuple's own constructor is a Python function; this is C.
        yield tuple.__new__(Outgoing, (body, headers(JOURNEY_TYPE, body.id), row.session_id, -1))


def journey_body(channel: str, row: JourneyRow, version: int) -> JourneyBody:
    session_id, journey = row
    # Taken apart, for a field looked up by its name costs three times as much.
    funnel, opened, ended_ms, outcome, reason, value, last_step, customer_id, visitor_id, _ = journey
    _, store_id, region, device, *_ = opened.dims
    entered_ms, journey_id = opened.at_ms, f"{funnel}:{opened.event_id}"
    return JourneyBody(
        SCHEMA_VERSION,
        journey_message_id(channel, session_id, journey_id, entered_ms, version),
        journey_id,
        funnel,
        session_id,
        _shown(customer_id),
        _shown(visitor_id),
        channel,
        store_id,
        region,
        device,
        format_rfc3339(entered_ms),
        format_rfc3339(ended_ms),
        outcome,
        reason,
        last_step,
        from_units(value),
        version,
    )


def _shown(person: str | None) -> str | None:
    """Nobody is told a stand-in."""
    return None if person is None or person[:1] == STANDS else person


def journey_columns(channel: str, rows: list[JourneyRow], version: int) -> list[list[Any]]:
    """The columns of the table ``journeys``."""
    columns: list[list[Any]] = [[] for _ in range(16)]
    ids, funnels, sessions, customers, visitors, stores, regions, devices, entered, ended, *more = columns
    outcomes, reasons, last_steps, all_steps, all_after, values = more
    for row in rows:
        session_id, journey = row
        funnel, opened, ended_ms, outcome, reason, value, last_step, customer_id, visitor_id, steps = journey
        _, store_id, region, device, *_ = opened.dims
        ids.append(f"{funnel}:{opened.event_id}")
        funnels.append(funnel)
        sessions.append(session_id)
        customers.append(_shown(customer_id) or "")
        visitors.append(_shown(visitor_id) or "")
        stores.append(store_id or "")
        regions.append(region or "")
        devices.append(device or "")
        entered.append(opened.at_ms)
        ended.append(ended_ms)
        outcomes.append(outcome)
        reasons.append(reason or "")
        last_steps.append(last_step or "")
        all_steps.append([step for step, _ in steps] if steps else _NO_STEPS)
        all_after.append([min(after_ms, _MOST_MS) for _, after_ms in steps] if steps else _NO_STEPS)
        values.append(from_units(value))
    count = len(rows)
    return [*columns[:5], [channel] * count, *columns[5:], [version] * count]
