"""Detection as a stage: evidence in, alerts out."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from pipeline.core.detection.detection import Detection
from pipeline.core.detection.detector import Decided
from pipeline.core.detection.incidents import FIRING, PENDING, Alert
from pipeline.durability.checkpointer import Checkpointer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.evidence import Evidence
from pipeline.model.rules import GENERATION_SHIFT
from pipeline.outputs.alerts import alerts_output
from pipeline.stages.inner import EvidenceRead, Inner
from pipeline.stages.lease import Leases, PartitionLease, RevokedError, lease_of
from pipeline.stages.outbox import Outbox, Receipt

#: Steps decided on before others get their turn: heartbeats must not wait for a long catch-up.
_STEPS_AT_A_TIME: Final = 5


class AlertsStage:
    """Runs detection on the worker that has the one partition of ``cx.evidence``."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        generation: int,
        on_alerts: Callable[[list[Alert]], None] = lambda _: None,
    ) -> None:
        self._leases = leases
        self._outbox = outbox
        self._metrics = metrics
        self._checkpointer = checkpointer
        self._first_version = generation << GENERATION_SHIFT
        self._on_alerts = on_alerts
        self._inner = Inner(EvidenceRead, metrics, time.time)

    async def process(self, batch: RecordBatch) -> None:
        """Take a batch. Where the partition is taken away meanwhile the next owner decides."""
        with contextlib.suppress(RevokedError):
            await self._process(lease_of(self._leases.detectors, batch.source, batch.epoch), batch)

    async def _process(self, lease: PartitionLease[Detection], batch: RecordBatch) -> None:
        started = time.perf_counter()
        lease.cut_at = None
        detection, receipt = lease.state, self._outbox.receipt()
        for record in batch.records:
            message = self._inner.read(batch.source, record)
            if message is None or message.version < self._first_version:
                continue  # of an earlier generation: it is told anew
            steps, hours = (map(Evidence._make, some) for some in (message.steps, message.hours))
            detector = detection.of(message.persons)
            if detector is None:
                continue
            detector.take(message.source, message.version, message.complete, steps, hours)
            lease.changed_at = time.monotonic()
            for number, decided in enumerate(detector.decide()):
                await self._put_out(decided, receipt)
                if number % _STEPS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                    lease.check()
        lease.check()
        lease.finish(batch.next_offset, receipt)
        lease.cut_at = batch.next_offset
        self._checkpointer.consider(lease)
        self._measure(detection.open_alerts())
        self._metrics.batch_seconds.labels("alerts").observe(time.perf_counter() - started)

    async def _put_out(self, decided: Decided, receipt: Receipt) -> None:
        alerts, version = decided.alerts, self._first_version + decided.at_ms
        if not alerts:
            return
        self._on_alerts(alerts)
        await self._outbox.put(receipt, alerts_output(alerts, version))

    def _measure(self, alerts: list[Alert]) -> None:
        for status in (PENDING, FIRING):
            self._metrics.alerts.labels(status).set(sum(alert.status == status for alert in alerts))
