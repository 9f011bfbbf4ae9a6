"""Detection as a stage: evidence in any interleaving, alerts as messages and rows, and nothing once it is lost."""

import asyncio

import msgspec
import pytest

from pipeline.model.evidence import HOUR_MS, STEP_MS
from pipeline.stages.lease import RevokedError
from schemas.alerts import ALERTS_TOPIC, AlertMessage
from schemas.evidence import EvidenceMessage
from sinks.tables import ALERTS
from tests.alerting import EVIDENCE, FIRST, HOURS, MONDAY, Setting, evidence


def test_an_outage_is_told_as_it_opens_fires_and_ends() -> None:
    async def work() -> None:
        setting = Setting()
        await setting.take(evidence(MONDAY, HOURS * 120, 8.0))
        assert setting.producer.produced == []
        at = MONDAY + HOURS * HOUR_MS
        await setting.take(evidence(at, 10, 0.0, version=FIRST + 1))
        await setting.take(evidence(at + 10 * STEP_MS, 60, 8.0, version=FIRST + 2))
        told = [
            AlertMessage.model_validate_json(message.value or b"")
            for message in setting.producer.produced
            if message.topic == ALERTS_TOPIC
        ]
        assert [message.key for message in setting.producer.produced] == [one.alert_id for one in told]
        assert len({one.alert_id for one in told}) == 1
        statuses = list(dict.fromkeys(one.status for one in told))
        assert statuses in (["pending", "firing", "resolved"], ["firing", "resolved"])
        assert told[0].rule == "checkout-completions"
        assert "expected completions in the last 1 min (all)" in told[0].explanation
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
        assert setting.leases.detectors[EVIDENCE].state.own.next_ms is None

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_long_catch_up_ends_where_the_partition_is_taken_away() -> None:
    async def work() -> None:
        setting = Setting()
        lease = setting.leases.detectors[EVIDENCE]
        detector = lease.state.own
        running = asyncio.create_task(setting.take(evidence(MONDAY, HOURS * 120, 8.0)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        setting.leases.release(EVIDENCE)
        await running
        assert detector.next_ms is not None
        assert detector.next_ms < MONDAY + HOUR_MS
        assert lease.cut_at is None  # a cut of a state that stands between offsets would be wrong
        assert not lease.unfinished
        with pytest.raises(RevokedError):
            _ = lease.state

    asyncio.run(asyncio.wait_for(work(), 60))


def test_the_read_side_of_evidence_is_that_of_its_model() -> None:
    text = evidence(MONDAY, 1, 8.0).model_dump_json().encode()
    assert EvidenceMessage.model_validate_json(text) == evidence(MONDAY, 1, 8.0)
    assert set(msgspec.json.decode(text)) == set(EvidenceMessage.model_fields)
