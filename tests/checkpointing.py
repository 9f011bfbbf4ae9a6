"""A worker of one partition with its checkpoints in memory."""

from typing import Any

from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.durability.store import Stored
from pipeline.metrics import Metrics
from pipeline.model.erasure import NONE, Erased
from pipeline.model.rules import Rules
from pipeline.model.source import Source
from pipeline.stages.lease import Leases
from tests.support import ALERT_RULES, FETCHED_MS, RULES, event_json, kept_sessions, log_of

SOURCE = ("touchpoints.web", 0)
TILES = ("cx.tiles", 0)
HOUR = 3_600_000
FIRST = RULES.generation << 44


class Worker:
    """The state of a worker and its checkpoints, on a store that outlives it."""

    def __init__(
        self,
        store: MemoryCheckpoints,
        rules: Rules = RULES,
        digest: str = "d",
        rebuild: bool = False,
        erased: Erased = NONE,
    ):
        self.now = 1_000.0
        self.erased = erased
        recovery = Recovery(store, rules, digest, ALERT_RULES, rebuild, erasures=self)
        self.leases = Leases(recovery, erased=lambda: self.erased)
        self.checkpointer = Checkpointer(
            self.leases, store, Metrics(), rules.generation, digest, 10.0, lambda: self.now, lambda: self.now
        )
        self.checkpointer.refresh()
        self.resumed_at, _ = self.leases.acquire(SOURCE)
        self.offset = max(0, self.resumed_at)

    def known(self) -> Erased:
        """Implements ``HasErased``."""
        return self.erased

    read = known

    @property
    def lease(self) -> Any:
        return self.leases.partitions[SOURCE]

    def take_over_again(self) -> None:
        """Lose the partition and get it back."""
        self.leases.release(SOURCE)
        self.resumed_at, _ = self.leases.acquire(SOURCE)
        self.offset = max(0, self.resumed_at)

    def process(self, *values: bytes | int) -> None:
        records = log_of(values, start=self.offset)
        self.leases.erase(self.lease)
        out = self.lease.state.process(records, FETCHED_MS)
        self.offset += len(records)
        self.lease.cut_at = self.offset
        if out.records:
            self.lease.changed_at = self.now

    def checkpoint(self) -> None:
        self.checkpointer.step(force=True)
        self.checkpointer.step()

    def content(self) -> tuple[Any, ...]:
        """What a cut holds, as it is now."""
        state = self.lease.state
        sessions = {name: session.entries for name, session in kept_sessions(state).items()}
        tiles = {
            (bucket, segment): {name: count for name, count in counters.items() if count}
            for bucket, segments in state.tiles.items()
            for segment, counters in segments.items()
            if any(counters.values())  # zeros are written where a batch might have been cut otherwise
        }
        return state.latest_ms, tiles, sessions


def added(at_ms: int, session: int = 0, **more: Any) -> bytes:
    which = {"type": "product_added", "session_id": f"s{session}", "event_id": f"{session}-{at_ms}"}
    return event_json(at_ms, **which, **more)


class Crowded(MemoryCheckpoints):
    """A store whose producer's queue has so much room left."""

    room = 1 << 30

    def append(self, source: Source, key: str, value: bytes | None, stored: Stored) -> None:
        if not self.room:
            raise BufferError("the queue is full")
        self.room -= 1
        super().append(source, key, value, stored)
