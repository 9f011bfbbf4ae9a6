"""The state of the partitions that this worker has, and what of their input is done with.

State is the authority on where reading starts (law 3): a partition comes with its newest checkpoint and
is read from there; its state is forgotten when another worker may have it.
"""

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline.agents.outbox import Receipt
from pipeline.agents.recovery import UNKNOWN, Recovery, Where
from pipeline.core.detection.detector import Detector
from pipeline.core.partition import Partition
from pipeline.core.windows import Windows
from pipeline.kafka.logs import Source, source_name
from pipeline.kafka.topics import TopicFacts
from schemas.checkpoints import Freed, ShardRef
from schemas.evidence import EVIDENCE_TOPIC
from schemas.tiles import TILES_TOPIC

State = TypeVar("State")


@dataclass(slots=True)
class Kept:
    """What the newest manifest of a source says."""

    offset: int | None
    """Where a restore would resume; None while there is no manifest."""
    shards: dict[str, ShardRef] = field(default_factory=dict)
    freed: list[Freed] = field(default_factory=list)
    """What is to be removed from the store when its time has come."""
    topic: TopicFacts = UNKNOWN
    """Of the topic that the state is made of, when it was restored."""

    @classmethod
    def of(cls, where: Where) -> "Kept":
        return cls(where.kept, where.shards, where.freed, where.topic)


@dataclass(slots=True)
class Owned(Generic[State]):
    """One partition's state and its input's progress."""

    state: State
    epoch: int
    kept: Kept
    cut_at: int | None = None
    """The offset that the state stands at; None while a batch is under way, so that none is cut."""
    is_broken: bool = False
    """A cut has failed: the state must not be checkpointed any more."""
    changed_at: float = 0.0
    """Monotonic time of the last batch with more than ticks in it."""
    told: dict[int, int | None] = field(default_factory=dict)
    """Phase one: by partition of ``cx.tiles``, which bucket the watermark last told to it was in."""
    unfinished: deque[tuple[int, Receipt]] = field(default_factory=deque)
    """(next offset, what must be delivered and stored before it counts as done), in order."""
    merged: int | None = None
    """Phase two: the offset up to which tiles are merged, while that is not put out yet."""
    early: list[Receipt] = field(default_factory=list)
    """Phase two: of rows put out while others, of what was merged as well, still wait."""
    awaited: list[tuple[int, int]] = field(default_factory=list)
    """Phase two: a heap of (end of the newest bucket, when it was appended), of tiles without rows as yet."""
    horizons: deque[tuple[float, int]] = field(default_factory=deque)
    """Phase two: (wall clock, horizon) of the last minute."""
    log_end: int = 0
    """Phase two: where the log ended when the partition was taken on."""

    def finish(self, offset: int, receipt: Receipt) -> None:
        """What came before the offset is done when this has arrived, and all that went before it."""
        self.unfinished.extend((offset, early) for early in self.early)
        self.early.clear()
        self.unfinished.append((offset, receipt))

    def is_done(self, offset: int) -> bool:
        """Whether everything up to the offset is delivered and stored."""
        while self.unfinished and self.unfinished[0][1].is_done():
            self.unfinished.popleft()
        return not self.unfinished or self.unfinished[0][0] > offset


class Ownership:
    """Implements :class:`pipeline.transport.StateAuthority`."""

    def __init__(
        self,
        recovery: Recovery,
        on_release: Callable[[str], None] = lambda _: None,
        on_acquire: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._recovery = recovery
        self._on_acquire = on_acquire
        self._on_release = on_release
        self._epochs = itertools.count(1)
        self.partitions: dict[Source, Owned[Partition]] = {}
        """Phase one, by touchpoint partition."""
        self.windows: dict[Source, Owned[Windows]] = {}
        """Phase two, by partition of ``cx.tiles``."""
        self.detectors: dict[Source, Owned[Detector]] = {}
        """Detection, by partition of ``cx.evidence``: there is one."""

    def acquire(self, source: Source) -> tuple[int, int]:
        """Raises CheckpointError where the state is not to be had."""
        epoch = next(self._epochs)
        if source[0] == TILES_TOPIC:
            windows, where, log_end = self._recovery.windows(source)
            self.windows[source] = Owned(windows, epoch, Kept.of(where), log_end=log_end)
        elif source[0] == EVIDENCE_TOPIC:
            detector, where = self._recovery.detector(source)
            self.detectors[source] = Owned(detector, epoch, Kept.of(where))
        else:
            partition, where = self._recovery.partition(source)
            self.partitions[source] = Owned(partition, epoch, Kept.of(where))
        self._on_acquire(source_name(source))
        return where.resume_at, epoch

    def release(self, source: Source) -> None:
        self.partitions.pop(source, None)
        self.windows.pop(source, None)
        self.detectors.pop(source, None)
        self._on_release(source_name(source))

    def holds(self, source: Source, owned: Owned[Any]) -> bool:
        """Whether this state is still the partition's: not after it was taken away."""
        return any(states.get(source) is owned for states in self._states())

    def _states(self) -> tuple[dict[Source, Any], ...]:
        return self.partitions, self.windows, self.detectors

    def all(self) -> list[tuple[Source, Owned[Any]]]:
        """Everything that is owned, of all stages."""
        return [item for states in self._states() for item in list(states.items())]

    def watermarks(self) -> Mapping[Source, int | None]:
        return {source: owned.state.watermark_ms for source, owned in list(self.partitions.items())}

    def unfinished(self) -> int:
        """Batches that are not all merged, put out, delivered and stored."""
        waiting = 0
        for _, owned in self.all():
            owned.is_done(-1)
            waiting += len(owned.unfinished) + (owned.merged is not None)
        return waiting

    def committable(self) -> Mapping[Source, int]:
        """Input is acknowledged only after the manifest that holds what it led to."""
        return {source: one.kept.offset for source, one in self.all() if one.kept.offset is not None}
