"""Detection as a stage: evidence in, alerts out."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from pipeline.agents.checkpoints import Checkpointer
from pipeline.agents.inner import EvidenceRead, Inner
from pipeline.agents.outbox import Outbox, Outgoing, Receipt, columns_of
from pipeline.agents.ownership import Ownership
from pipeline.core.detection.detector import Decided
from pipeline.core.detection.incidents import FIRING, PENDING, RESOLVED, RETRACTED, Alert
from pipeline.core.detection.sentence import sentence
from pipeline.core.evidence import Evidence
from pipeline.core.records import GENERATION_SHIFT
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from schemas.alerts import ALERT_TYPE, ALERTS_TOPIC
from schemas.cloudevents import headers
from schemas.times import format_rfc3339
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import ALERTS

#: Steps decided on before others get their turn: heartbeats must not wait for a long catch-up.
_STEPS_AT_A_TIME: Final = 5


class AlertsStage:
    """Runs detection on the worker that has the one partition of ``cx.evidence``."""

    def __init__(
        self,
        ownership: Ownership,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        generation: int,
        on_alerts: Callable[[list[Alert]], None] = lambda _: None,
    ) -> None:
        self._ownership = ownership
        self._outbox = outbox
        self._metrics = metrics
        self._checkpointer = checkpointer
        self._first_version = generation << GENERATION_SHIFT
        self._on_alerts = on_alerts
        self._inner = Inner(EvidenceRead, metrics, time.time)

    async def process(self, batch: RecordBatch) -> None:
        owned = self._ownership.detectors.get(batch.source)
        if owned is None or owned.epoch != batch.epoch:
            return  # read before a rebalance that took the partition away
        started = time.perf_counter()
        owned.cut_at = None
        detector, receipt = owned.state, self._outbox.receipt()
        for record in batch.records:
            message = self._inner.read(batch.source, record)
            if message is None or message.version < self._first_version:
                continue  # of an earlier generation: it is told anew
            steps, hours = (map(Evidence._make, some) for some in (message.steps, message.hours))
            detector.take(message.source, message.version, message.complete, steps, hours)
            owned.changed_at = time.monotonic()
            for number, decided in enumerate(detector.decide()):
                await self._put_out(decided, receipt)
                if number % _STEPS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                    if not self._ownership.holds(batch.source, owned):
                        return  # taken away meanwhile
        if not self._ownership.holds(batch.source, owned):
            return
        owned.unfinished.append((batch.next_offset, receipt))
        owned.cut_at = batch.next_offset
        self._checkpointer.consider(batch.source, owned)
        self._measure(detector.open_alerts())
        self._metrics.batch_seconds.labels("alerts").observe(time.perf_counter() - started)

    async def _put_out(self, decided: Decided, receipt: Receipt) -> None:
        alerts, version = decided.alerts, self._first_version + decided.at_ms
        if not alerts:
            return
        self._on_alerts(alerts)
        bodies = [alert_message(alert, version) for alert in alerts]
        messages = (Outgoing(b, headers(ALERT_TYPE, b["id"]), key=b["alert_id"]) for b in bodies)
        await self._outbox.send(receipt, ALERTS_TOPIC, messages)
        rows = [alert_row(alert, version) for alert in alerts]
        await self._outbox.store(receipt, ALERTS, columns_of(rows))

    def _measure(self, alerts: list[Alert]) -> None:
        for status in (PENDING, FIRING):
            self._metrics.alerts.labels(status).set(sum(alert.status == status for alert in alerts))


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
    found = alert.latest
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
        alert.rule.severity,
        sentence(alert),
        version,
    )
