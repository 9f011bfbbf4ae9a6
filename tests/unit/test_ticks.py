"""The clock of idle partitions."""

from typing import Any

from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.model.records import Record
from pipeline.stages.lease import Leases
from pipeline.stages.ticks import Ticker
from schemas.ticks import TICK_HEADER, tick_time
from schemas.times import format_rfc3339
from tests.support import ALERT_RULES, FETCHED_MS, RULES, START_MS, event_json

SOURCE = ("touchpoints.web", 0)


class Log:
    """A producer that appends to what is then read; ``reachable`` false: nothing is acknowledged."""

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.reachable = True
        self._unacknowledged: list[Any] = []

    def produce(self, _topic: str, *, headers: Any, on_delivery: Any, **_: Any) -> None:
        at_ms = tick_time(headers)
        assert at_ms is not None
        self.ticks.append(at_ms)
        self._unacknowledged.append(on_delivery)

    def poll(self, _timeout: float) -> int:
        if self.reachable:
            for report in self._unacknowledged:
                report(None, None)
            self._unacknowledged.clear()
        return 0


class Ends:
    at_end = True

    def is_at_end(self, _source: tuple[str, int]) -> bool:
        return self.at_end


def setting() -> tuple[Leases, Log, list[float], Ticker, Ends]:
    leases, log, now = Leases(Recovery(MemoryCheckpoints(), RULES, "", ALERT_RULES)), Log(), [1_000.0]
    leases.acquire(SOURCE)
    return leases, log, now, Ticker(leases, log, 2.0, lambda: now[0]), Ends()


def feed(leases: Leases, *records: Record) -> None:
    leases.partitions[SOURCE].state.process(records, FETCHED_MS)


def test_time_goes_on_at_the_wall_clocks_pace_and_never_jumps_to_now() -> None:
    leases, log, now, ticker, ends = setting()
    assert ticker.tick(ends) == 0  # a partition that never had anything stays silent
    feed(leases, Record(0, -1, event_json(0)))
    for _ in range(5):
        ticker.tick(ends)
        now[0] += 1
    assert log.ticks == [START_MS + 2_000, START_MS + 3_000, START_MS + 4_000]
    feed(leases, Record(1, -1, None, log.ticks[-1]))
    assert ticker.tick(ends) == 0
    now[0] += 1
    assert ticker.tick(ends) == 1
    assert log.ticks[-1] == START_MS + 6_000


def test_a_partition_with_something_to_read_is_not_idle() -> None:
    leases, log, now, ticker, ends = setting()
    feed(leases, Record(0, -1, event_json(0)))
    ends.at_end = False
    for _ in range(10):
        ticker.tick(ends)
        now[0] += 1
    assert log.ticks == []


def test_an_outage_of_kafka_is_no_idleness() -> None:
    leases, log, now, ticker, ends = setting()
    feed(leases, Record(0, -1, event_json(0)))
    log.reachable = False
    for _ in range(100):
        ticker.tick(ends)
        now[0] += 1
    assert len(log.ticks) == 1


def test_a_tick_header_that_is_no_time_is_none() -> None:
    assert tick_time([(TICK_HEADER, format_rfc3339(START_MS).encode())]) == START_MS
    assert tick_time([(TICK_HEADER, b"soon")]) is None
    assert tick_time([(TICK_HEADER, b"\xff")]) is None
    assert tick_time([("other", b"2026-03-02T09:00:00Z")]) is None
    assert tick_time(None) is None
