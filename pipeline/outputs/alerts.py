"""Alerts: message and row."""

from typing import Any

from pipeline.core.detection.incidents import RESOLVED, RETRACTED, Alert
from pipeline.core.detection.sentence import sentence
from pipeline.outputs.outgoing import Outgoing, Output, columns_of
from schemas.alerts import ALERT_TYPE, ALERTS_TOPIC
from schemas.cloudevents import headers
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import ALERTS


def alerts_output(alerts: list[Alert], version: int) -> Output:
    """Of the alerts that a step of detection has changed."""
    bodies = [alert_message(alert, version) for alert in alerts]
    messages = [Outgoing(b, headers(ALERT_TYPE, b["id"]), key=b["alert_id"]) for b in bodies]
    return Output(ALERTS_TOPIC, messages, ALERTS, columns_of([alert_row(alert, version) for alert in alerts]))


def alert_message(alert: Alert, version: int) -> dict[str, Any]:
    """The message of :class:`schemas.alerts.AlertMessage`."""
    found, stake = alert.latest, alert.stake
    return {
        "schema_version": SCHEMA_VERSION,
        "id": f"{alert.alert_id}/{version}",
        "alert_id": alert.alert_id,
        "rule": alert.rule.name,
        "signal": alert.rule.signal,
        "segment": alert.segment,
        "status": RESOLVED if alert.status == RETRACTED else alert.status,
        "severity": alert.rule.severity,
        "opened_at": format_rfc3339(alert.opened_ms),
        "updated_at": format_rfc3339(alert.updated_ms),
        "resolved_at": format_rfc3339(alert.resolved_ms) if alert.resolved_ms is not None else None,
        "observed": found.observed,
        "expected": found.expected,
        "n": found.n,
        "window_s": found.window_ms // 1000,
        "has_data": alert.has_data,
        "retracted": alert.status == RETRACTED,
        "causes": [part._asdict() for part in alert.causes],
        "missing": stake.missing if stake is not None else None,
        "at_stake": stake.amount if stake is not None else None,
        "currency": stake.currency if stake is not None else None,
        "explanation": sentence(alert),
        "version": version,
    }


def alert_row(alert: Alert, version: int) -> tuple[Any, ...]:
    """The row of the table ``alerts``, in the order of its columns."""
    found, stake = alert.latest, alert.stake
    return (
        alert.alert_id,
        alert.rule.name,
        alert.rule.signal,
        alert.segment,
        alert.status,
        alert.opened_ms,
        alert.updated_ms,
        alert.resolved_ms,
        found.observed,
        found.expected,
        found.n,
        found.window_ms // 1000,
        [part.where for part in alert.causes],
        [part.share for part in alert.causes],
        None if stake is None else stake.missing,
        None if stake is None else stake.amount,
        "" if stake is None else stake.currency,
        alert.rule.severity,
        sentence(alert),
        version,
    )
