"""Moments: message and row."""

from typing import Any

from pipeline.core.persons.changing import MomentRow
from pipeline.outputs.outgoing import Outgoing, Output, columns_of
from schemas.cloudevents import headers
from schemas.moments import FIRED, MOMENT_TYPE, MOMENTS_TOPIC, WITHDRAWN, moment_message_id
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import MOMENTS


def moments_output(rows: list[MomentRow], version: int) -> Output:
    """Of the rules that a batch of facts has made fire, or found not to have fired."""
    bodies = [moment_message(row, version) for row in rows]
    messages = [Outgoing(body, headers(MOMENT_TYPE, body["id"]), key=body["person"]) for body in bodies]
    return Output(MOMENTS_TOPIC, messages, MOMENTS, columns_of([moment_row(row, version) for row in rows]))


def moment_message(row: MomentRow, version: int) -> dict[str, Any]:
    """The message of :class:`schemas.moments.MomentMessage`."""
    moment_id, rule, person, channel, session_id, at_ms, status, events, *where, _ = moment_row(row, version)
    store_id, region, device = [text or None for text in where]
    return {
        "schema_version": SCHEMA_VERSION,
        "id": moment_message_id(moment_id, channel, session_id, at_ms, version),
        "moment_id": moment_id,
        "rule": rule,
        "person": person,
        "channel": channel,
        "session_id": session_id,
        "at": format_rfc3339(at_ms),
        "status": status,
        "events": events,
        "store_id": store_id,
        "region": region,
        "device": device,
        "version": version,
    }


def moment_row(row: MomentRow, version: int) -> tuple[Any, ...]:
    """The row of the table ``moments``, in the order of its columns."""
    person, (rule, fact, events), holds = row
    store_id, region, device = (*fact.dims, None, None, None)[:3]
    return (
        f"{rule}:{person}:{fact.event_id}",
        rule,
        person,
        fact.channel,
        fact.session_id,
        fact.ended_ms,
        FIRED if holds else WITHDRAWN,
        list(events) if holds else [],
        store_id or "",
        region or "",
        device or "",
        version,
    )
