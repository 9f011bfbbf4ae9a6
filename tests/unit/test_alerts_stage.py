"""Detection as a stage: evidence in any interleaving, alerts as messages and rows, and nothing once it is lost."""

import asyncio
import json
from typing import Any

import msgspec
import numpy as np

from pipeline.agents.alerts import AlertsStage
from pipeline.agents.checkpoints import Checkpointer
from pipeline.agents.outbox import Outbox
from pipeline.agents.ownership import Ownership
from pipeline.agents.recovery import Recovery
from pipeline.checkpoints.memory import MemoryCheckpoints
from pipeline.core.ages import age_counters
from pipeline.core.evidence import HOUR_MS, STEP_MS
from pipeline.core.records import GENERATION_SHIFT, Record
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from schemas.alerts import ALERTS_TOPIC, AlertMessage
from schemas.evidence import EVIDENCE_TOPIC, EvidenceMessage
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import ALERTS, COLUMNS
from tests.support import ALERT_RULES, RULES

EVIDENCE = (EVIDENCE_TOPIC, 0)
MONDAY = 4 * 24 * HOUR_MS
AGES = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)["checkout"]
HOURS = 5
FIRST = 1 << GENERATION_SHIFT


class Told:
    """Takes messages and acknowledges them at once."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, dict[str, Any]]] = []

    def produce(self, topic: str, *, value: bytes, key: str, on_delivery: Any, **_: Any) -> None:
        self.messages.append((topic, key, json.loads(value)))
        on_delivery(None, None)

    def poll(self, _timeout: float) -> int:
        return 0


class Setting:
    def __init__(self) -> None:
        store, metrics = MemoryCheckpoints(), Metrics()
        self.ownership = Ownership(Recovery(store, RULES, "d", ALERT_RULES))
        _, self.epoch = self.ownership.acquire(EVIDENCE)
        self.told, self.sink = Told(), MemorySink()
        self.buffer = SinkBuffer(self.sink, COLUMNS, Limits(1, 0.001, 1 << 20))
        checkpointer = Checkpointer(self.ownership, store, metrics, 1, "d")
        self.stage = AlertsStage(self.ownership, Outbox(self.told, self.buffer), metrics, checkpointer, 1)
        self._offset = 0

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


def test_an_outage_is_told_as_it_opens_fires_and_ends() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.take(evidence(MONDAY, HOURS * 120, 8.0))
        assert setting.told.messages == []
        at = MONDAY + HOURS * HOUR_MS
        await setting.take(evidence(at, 10, 0.0, version=FIRST + 1))
        await setting.take(evidence(at + 10 * STEP_MS, 60, 8.0, version=FIRST + 2))
        told = [
            AlertMessage.model_validate(body) for topic, _, body in setting.told.messages if topic == ALERTS_TOPIC
        ]
        assert [key for _, key, _ in setting.told.messages] == [one.alert_id for one in told]
        assert len({one.alert_id for one in told}) == 1
        statuses = list(dict.fromkeys(one.status for one in told))
        assert statuses in (["pending", "firing", "resolved"], ["firing", "resolved"])
        assert told[0].rule == "checkout-completions"
        assert "expected completions in the last 2 min (all)" in told[0].explanation
        assert len({one.version for one in told}) == len(told)
        assert told[-1].resolved_at == told[-1].updated_at
        setting.buffer.close()
        await setting.buffer.run()
        rows = setting.sink.tables[ALERTS]
        assert [row["status"] for row in rows] == [one.status for one in told]
        assert rows[-1]["version"] == told[-1].version

    asyncio.run(asyncio.wait_for(work(), 60))


def test_evidence_of_an_earlier_generation_is_passed_over() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.take(evidence(MONDAY, 10, 8.0, version=5))
        assert setting.ownership.detectors[EVIDENCE].state.next_ms is None

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_long_catch_up_ends_where_the_partition_is_taken_away() -> None:
    async def work() -> None:
        setting = Setting()
        owned = setting.ownership.detectors[EVIDENCE]
        running = asyncio.create_task(setting.take(evidence(MONDAY, HOURS * 120, 8.0)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        setting.ownership.release(EVIDENCE)
        await running
        assert owned.state.next_ms is not None
        assert owned.state.next_ms < MONDAY + HOUR_MS
        assert owned.cut_at is None  # a cut of a state that stands between offsets would be wrong
        assert not owned.unfinished

    asyncio.run(asyncio.wait_for(work(), 60))


def test_the_read_side_of_evidence_is_that_of_its_model() -> None:
    text = evidence(MONDAY, 1, 8.0).model_dump_json().encode()
    assert EvidenceMessage.model_validate_json(text) == evidence(MONDAY, 1, 8.0)
    assert set(msgspec.json.decode(text)) == set(EvidenceMessage.model_fields)
