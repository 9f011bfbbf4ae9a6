"""Moments: message and row."""

from typing import Any, Final

from pipeline.core.persons.changing import MomentRow
from pipeline.model.holdout import Holdout
from pipeline.outputs.outgoing import Outgoing, Output, columns_of
from schemas.cloudevents import headers
from schemas.moments import FIRED, MOMENT_TYPE, MOMENTS_TOPIC, WITHDRAWN, moment_message_id
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import MOMENTS

NOBODY_HELD: Final = Holdout()


def moments_output(rows: list[MomentRow], version: int, holdout: Holdout) -> Output:
    """Of the rules that a batch has made fire, or found not to have fired. Of who is held out no message."""
    # Withdrawals are of all: under another share it may have been told.
    told = [row for row in rows if not row.holds or not _is_held(row, holdout)]
    bodies = [moment_message(row, version) for row in told]
    messages = [Outgoing(body, headers(MOMENT_TYPE, body["id"]), key=body["person"]) for body in bodies]
    stored = columns_of([moment_row(row, version, holdout) for row in rows])
    return Output(MOMENTS_TOPIC, messages, MOMENTS, stored)


def moment_message(row: MomentRow, version: int) -> dict[str, Any]:
    """The message of :class:`schemas.moments.MomentMessage`."""
    moment_id, rule, person, channel, session_id, at_ms, status, events, *rest = moment_row(row, version)
    store_id, region, device = [text or None for text in rest[:3]]
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


def moment_row(row: MomentRow, version: int, holdout: Holdout = NOBODY_HELD) -> tuple[Any, ...]:
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
        _is_held(row, holdout),
        holdout.share_of(rule, person, fact.ended_ms),
        version,
    )


def _is_held(row: MomentRow, holdout: Holdout) -> bool:
    return holdout.has(row.moment.rule, row.person, row.moment.fact.ended_ms)
