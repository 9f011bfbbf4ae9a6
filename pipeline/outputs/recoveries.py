"""Recoveries: message and row."""

from typing import Any

from pipeline.core.persons.changing import RecoveryRow
from pipeline.outputs.outgoing import Outgoing, Output, columns_of
from schemas.cloudevents import headers
from schemas.facts import Fact
from schemas.recoveries import RECOVERIES_TOPIC, RECOVERY_TYPE, RETRACTED, recovery_message_id
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import RECOVERIES


def recoveries_output(rows: list[RecoveryRow], version: int) -> Output:
    """Of the journeys of which a batch of facts has changed what has become of them."""
    bodies = [recovery_message(row, version) for row in rows]
    messages = [Outgoing(body, headers(RECOVERY_TYPE, body["id"]), key=body["person"]) for body in bodies]
    return Output(RECOVERIES_TOPIC, messages, RECOVERIES, columns_of([recovery_row(row, version) for row in rows]))


def recovery_message(row: RecoveryRow, version: int) -> dict[str, Any]:
    """The message of :class:`schemas.recoveries.RecoveryMessage`."""
    person, (journey, status, purchase, value) = row
    journey_id = f"{journey.funnel}:{journey.event_id}"
    store_id, region, device = _where(journey)
    return {
        "schema_version": SCHEMA_VERSION,
        "id": recovery_message_id(person, journey.channel, journey.session_id, journey_id, journey.at_ms, version),
        "person": person,
        "funnel": journey.funnel,
        "channel": journey.channel,
        "session_id": journey.session_id,
        "journey_id": journey_id,
        "entered_at": format_rfc3339(journey.at_ms),
        "ended_at": format_rfc3339(journey.at_ms if status == RETRACTED else journey.ended_ms),
        "value": journey.value,
        "status": status,
        "recovered_at": None if purchase is None else format_rfc3339(purchase.at_ms),
        "recovered_channel": None if purchase is None else purchase.channel,
        "recovered_session": None if purchase is None else purchase.session_id,
        "recovered_value": value,
        "store_id": store_id,
        "region": region,
        "device": device,
        "version": version,
    }


def recovery_row(row: RecoveryRow, version: int) -> tuple[Any, ...]:
    """The row of the table ``recoveries``, in the order of its columns."""
    person, (journey, status, purchase, value) = row
    store_id, region, device = _where(journey)
    return (
        person,
        journey.funnel,
        journey.channel,
        journey.session_id,
        f"{journey.funnel}:{journey.event_id}",
        journey.at_ms,
        journey.at_ms if status == RETRACTED else journey.ended_ms,
        journey.value,
        status,
        None if purchase is None else purchase.at_ms,
        "" if purchase is None else purchase.channel,
        "" if purchase is None else purchase.session_id,
        value,
        store_id or "",
        region or "",
        device or "",
        version,
    )


def _where(journey: Fact) -> tuple[str | None, str | None, str | None]:
    """Store, region and device; there are none where a statement is not of ours."""
    dims: tuple[str | None, ...] = (*journey.dims, None, None, None)
    return dims[0], dims[1], dims[2]
