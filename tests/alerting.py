"""Detection as a stage, with everything around it in memory, and evidence to give it."""

import numpy as np

from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.kafka.memory import MemoryProducer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.ages import age_counters
from pipeline.model.evidence import HOUR_MS, STEP_MS
from pipeline.model.records import Record
from pipeline.model.rules import GENERATION_SHIFT
from pipeline.stages.alerts import AlertsStage
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from pipeline.stages.paging import Paging
from schemas.evidence import EVIDENCE_TOPIC, EvidenceMessage
from sinks.alertmanager import MemoryPager, Pager
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import COLUMNS
from tests.support import ALERT_RULES, RULES

EVIDENCE = (EVIDENCE_TOPIC, 0)
MONDAY = 4 * 24 * HOUR_MS
AGES = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)["checkout"]
HOURS = 5
FIRST = 1 << GENERATION_SHIFT


class Setting:
    def __init__(self) -> None:
        store, self.metrics = MemoryCheckpoints(), Metrics()
        self.pager, self.now_s = MemoryPager(), MONDAY / 1000 + HOURS * 3600
        self.leases = Leases(Recovery(store, RULES, "d", ALERT_RULES))
        _, self.epoch = self.leases.acquire(EVIDENCE)
        self.producer, self.sink = MemoryProducer(), MemorySink()
        self.buffer = SinkBuffer(self.sink, COLUMNS, Limits(1, 0.001, 1 << 20))
        checkpointer = Checkpointer(self.leases, store, self.metrics, 1, "d")
        self.paging = self.new_paging(self.pager)
        outbox = Outbox(self.producer, self.buffer)
        self.stage = AlertsStage(
            self.leases, outbox, self.metrics, checkpointer, 1, lambda alerts: self.paging.note(alerts)
        )
        self._offset = 0

    def new_paging(self, pager: Pager, oldest_s: float = 3600.0) -> Paging:
        return Paging(self.leases, pager, self.metrics, 30.0, oldest_s, lambda: self.now_s)

    async def take(self, message: EvidenceMessage) -> None:
        record = Record(self._offset, -1, message.model_dump_json().encode())
        self._offset += 1
        await self.stage.process(RecordBatch(EVIDENCE, self.epoch, 0, [record]))


def evidence(start_ms: int, steps: int, completed: float, seed: int = 1, version: int = FIRST) -> EvidenceMessage:
    """Steps of one segment with eight completions usual in each, and the hours that they make up."""
    chance = np.random.default_rng(seed)
    rows = []
    for step in range(steps):
        count = int(chance.poisson(completed))
        counters = {AGES.completed[3]: count, AGES.at_risk[3]: 480_000, "events": 100}
        rows.append(("all", start_ms + step * STEP_MS, counters))
    end = start_ms + steps * STEP_MS
    hours = [
        ("all", hour, {AGES.completed[3]: 960, AGES.at_risk[3]: 120 * 480_000})
        for hour in range(start_ms, end - end % HOUR_MS, HOUR_MS)
    ]
    return EvidenceMessage(
        schema_version="1.0", source="cx.tiles:0", version=version, complete=end, steps=rows, hours=hours
    )
