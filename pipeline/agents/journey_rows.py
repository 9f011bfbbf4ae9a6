"""A journey as a message and as a row: compiled, for it is done for every one of them."""

from typing import Any

from pipeline.agents.outbox import Outgoing
from pipeline.core.records import JourneyRow
from schemas.cloudevents import headers
from schemas.journeys import JOURNEY_TYPE, journey_message_id
from schemas.times import format_rfc3339
from schemas.units import from_units
from schemas.versioning import SCHEMA_VERSION


def journey_messages(channel: str, rows: list[JourneyRow], version: int) -> list[Outgoing]:
    """What is to be sent of each, keyed by session."""
    messages = []
    for row in rows:
        body = journey_message(channel, row, version)
        # The constructor that a NamedTuple has for itself is Python.
        message = tuple.__new__(Outgoing, (body, headers(JOURNEY_TYPE, body["id"]), row.session_id, -1))
        messages.append(message)
    return messages


def journey_message(channel: str, row: JourneyRow, version: int) -> dict[str, Any]:
    """The message of :class:`schemas.journeys.JourneyMessage`."""
    session_id, journey = row
    opened = journey.opened_by
    _, store_id, region, device, _ = opened.dims
    return {
        "schema_version": SCHEMA_VERSION,
        "id": journey_message_id(channel, session_id, journey.journey_id, opened.at_ms, version),
        "journey_id": journey.journey_id,
        "funnel": journey.funnel,
        "session_id": session_id,
        "customer_id": journey.customer_id,
        "channel": channel,
        "store_id": store_id,
        "region": region,
        "device": device,
        "entered_at": format_rfc3339(opened.at_ms),
        "ended_at": format_rfc3339(journey.ended_ms),
        "outcome": journey.outcome,
        "reason": journey.reason,
        "last_step": journey.last_step,
        "value": from_units(journey.value),
        "version": version,
    }


def journey_row(channel: str, row: JourneyRow, version: int) -> tuple[Any, ...]:
    """The row of the table ``journeys``, in the order of its columns."""
    session_id, journey = row
    opened = journey.opened_by
    _, store_id, region, device, _ = opened.dims
    return (
        journey.journey_id,
        journey.funnel,
        session_id,
        journey.customer_id or "",
        channel,
        store_id or "",
        region or "",
        device or "",
        opened.at_ms,
        journey.ended_ms,
        journey.outcome,
        journey.reason or "",
        journey.last_step or "",
        from_units(journey.value),
        version,
    )
