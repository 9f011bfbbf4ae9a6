"""Leases: the state of a partition for as long as this worker has it, and what of its input is done with.

State is the authority on where reading starts (law 3): a partition comes with its newest checkpoint and is read
from there. When the partition is taken away its lease is revoked: from then on another worker may have the state,
and who asks for it here gets :class:`RevokedError`.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from pipeline.core.detection.detection import Detection
from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.durability.checkpointed import Kept
from pipeline.durability.recovery import Where
from pipeline.model.erasure import NONE, Erased
from pipeline.model.source import Source, source_name
from pipeline.outputs.facts import Told
from pipeline.stages.holding import Holding
from pipeline.stages.outbox import Receipt
from schemas.evidence import EVIDENCE_TOPIC
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC

State = TypeVar("State")


class RevokedError(Exception):
    """The partition was taken away: what is under way with its state, its next owner does anew."""


class PartitionLease(Generic[State]):
    """One partition's state and its input's progress (:class:`pipeline.durability.checkpointed.Lease`)."""

    def __init__(self, source: Source, state: State, epoch: int, kept: Kept, log_end: int = 0) -> None:
        """``epoch``: another one for each lease of a partition. ``log_end``: where the log ended when it began."""
        self.source = source
        self.name = source_name(source)
        self._state = state
        self.epoch = epoch
        self.kept = kept
        self.log_end = log_end
        self.is_revoked = False
        self.cut_at: int | None = None
        """The offset that the state stands at; None while a batch is under way, so that none is cut."""
        self.is_broken = False
        """A cut has failed: the state must not be checkpointed any more."""
        self.changed_at = 0.0
        """Monotonic time of the last batch with more than ticks in it."""
        self.erasures = 0
        """Who is erased by the records of ``cx.erasures`` before this offset is not in the state."""
        self.unfinished: deque[tuple[int, Receipt]] = deque()
        """(next offset, what must be delivered and stored before it counts as done), in order."""
        self._has_caught_up = False

    @property
    def state(self) -> State:
        """Raises RevokedError."""
        self.check()
        return self._state

    def check(self) -> None:
        """Raise RevokedError where the partition was taken away. To be called after every wait."""
        if self.is_revoked:
            raise RevokedError(self.name)

    def catches_up(self, offset: int) -> bool:
        """Whether what comes before the offset is, for the first time, all that a run before this can have taken.

        Then all are to be told how far this is: who has heard that run waits until it has heard as much again.
        """
        if self._has_caught_up or offset < self.log_end:
            return False
        self._has_caught_up = True
        return True

    def finish(self, offset: int, receipt: Receipt) -> None:
        """What came before the offset is done when this has arrived, and all that went before it."""
        self.unfinished.append((offset, receipt))

    def is_done(self, offset: int) -> bool:
        """Whether everything up to the offset is delivered and stored."""
        while self.unfinished and self.unfinished[0][1].is_done():
            self.unfinished.popleft()
        return not self.unfinished or self.unfinished[0][0] > offset

    def waiting(self) -> int:
        """Batches that are not all merged, put out, delivered and stored."""
        self.is_done(-1)
        return len(self.unfinished)


class JourneysLease(PartitionLease[Partition]):
    """Of a touchpoint partition."""

    def __init__(self, source: Source, state: Partition, epoch: int, kept: Kept, log_end: int = 0) -> None:
        super().__init__(source, state, epoch, kept, log_end)
        self.told: dict[str, Told] = {TILES_TOPIC: {}, VISITS_TOPIC: {}, FACTS_TOPIC: {}}
        """By topic."""
        self.announced_at: float | None = None
        """Monotonic time at which the partition was last said to be empty."""

    def tell_anew(self) -> None:
        """How far this is, whether or not that has been told."""
        for told in self.told.values():
            told.clear()


class TellingLease(PartitionLease[State]):
    """Of a partition whose watermark is told to those of one topic."""

    def __init__(self, source: Source, state: State, epoch: int, kept: Kept, log_end: int = 0) -> None:
        super().__init__(source, state, epoch, kept, log_end)
        self.told: Told = {}
        self.told_at = 0.0
        """Monotonic time at which more than how far time has come was last told."""


class SignalsLease(PartitionLease[Windows]):
    """Of a partition of ``cx.tiles``."""

    def __init__(self, source: Source, state: Windows, epoch: int, kept: Kept, log_end: int = 0) -> None:
        super().__init__(source, state, epoch, kept, log_end)
        self.merged: int | None = None
        """The offset up to which tiles are merged, while that is not put out yet."""
        self.has_news = False
        """Whether anything was merged since rows were last put out."""
        self.early: list[Receipt] = []
        """Of rows put out while others, of what was merged as well, still wait."""
        self.awaited: list[tuple[int, int]] = []
        """A heap of (end of the newest bucket, when it was appended), of tiles without rows as yet."""
        self.horizons: deque[tuple[float, int]] = deque()
        """(wall clock, horizon) of the last minute."""
        self.holdings: tuple[Holding, Holding] | None = None
        """How long rows wait for sources that lag, and those of persons; None until it is first asked."""
        self.corrected_at: float | None = None
        """Monotonic time at which what was complete was last put out again."""
        self.mid_batch_since: float | None = None
        """Monotonic time since which the rest of a batch is awaited."""
        self.told_until_ms: dict[bool, int | None] = {}
        """How far detection was last told that all is complete; of persons, and of all else."""

    def finish(self, offset: int, receipt: Receipt) -> None:
        self.unfinished.extend((offset, early) for early in self.early)
        self.early.clear()
        super().finish(offset, receipt)

    def waiting(self) -> int:
        return super().waiting() + (self.merged is not None)


class States(Protocol):
    """Where states come from: :class:`pipeline.durability.recovery.Recovery`."""

    def partition(self, source: Source) -> tuple[Partition, Where]: ...
    def windows(self, source: Source) -> tuple[Windows, Where]: ...
    def detection(self, source: Source) -> tuple[Detection, Where]: ...
    def visitors(self, source: Source) -> tuple[Visitors, Where]: ...
    def persons(self, source: Source) -> tuple[Persons, Where]: ...


Lease = TypeVar("Lease", bound=PartitionLease[Any])


class Leases:
    """The partitions that this worker has. Implements :class:`pipeline.runtime.transport.StateAuthority`."""

    def __init__(
        self,
        states: States,
        on_release: Callable[[str], None] = lambda _: None,
        on_acquire: Callable[[str], None] = lambda _: None,
        erased: Callable[[], Erased] = lambda: NONE,
    ) -> None:
        """``erased``: gives who is erased, to the states that it is not known to yet."""
        self._states = states
        self._erased = erased
        self._on_acquire = on_acquire
        self._on_release = on_release
        self._epochs = itertools.count(1)
        self.partitions: dict[Source, JourneysLease] = {}
        """By touchpoint partition."""
        self.windows: dict[Source, SignalsLease] = {}
        """By partition of ``cx.tiles``."""
        self.detectors: dict[Source, PartitionLease[Detection]] = {}
        """By partition of ``cx.evidence``: there is one."""
        self.visitors: dict[Source, TellingLease[Visitors]] = {}
        """By partition of ``cx.visits``."""
        self.persons: dict[Source, TellingLease[Persons]] = {}
        """By partition of ``cx.facts``."""

    def acquire(self, source: Source) -> tuple[int, int]:
        """Where to read on, and the lease's epoch. Raises CheckpointError where there is no state to be had."""
        epoch = next(self._epochs)
        if source[0] == TILES_TOPIC:
            windows, where = self._states.windows(source)
            self.windows[source] = SignalsLease(source, windows, epoch, Kept.of(where), where.log_end)
        elif source[0] == VISITS_TOPIC:
            visitors, where = self._states.visitors(source)
            self.visitors[source] = TellingLease(source, visitors, epoch, Kept.of(where), where.log_end)
            self.visitors[source].erasures = visitors.erased.end
        elif source[0] == FACTS_TOPIC:
            persons, where = self._states.persons(source)
            self.persons[source] = TellingLease(source, persons, epoch, Kept.of(where), where.log_end)
            self.persons[source].erasures = persons.erased.end
        elif source[0] == EVIDENCE_TOPIC:
            detection, where = self._states.detection(source)
            self.detectors[source] = PartitionLease(source, detection, epoch, Kept.of(where))
        else:
            partition, where = self._states.partition(source)
            self.partitions[source] = JourneysLease(source, partition, epoch, Kept.of(where), where.log_end)
            self.partitions[source].erasures = partition.erased.end
        self._on_acquire(source_name(source))
        return where.resume_at, epoch

    def erase(self, lease: PartitionLease[Any]) -> None:
        """Keep nothing of who was erased since. To be called before a batch of a stage that knows persons."""
        erased = self._erased()
        if lease.erasures != erased.end:
            lease.state.erase(erased)
            lease.erasures = erased.end

    def release(self, source: Source) -> None:
        """Revoke the lease: the partition was taken away."""
        for leases in (self.partitions, self.windows, self.detectors, self.visitors, self.persons):
            lease: PartitionLease[Any] | None = leases.pop(source, None)
            if lease is not None:
                lease.is_revoked = True
        self._on_release(source_name(source))

    def all(self) -> list[PartitionLease[Any]]:
        """Of all stages."""
        stages = (self.partitions, self.windows, self.detectors, self.visitors, self.persons)
        return [lease for leases in stages for lease in leases.values()]

    def watermarks(self) -> Mapping[Source, int | None]:
        """By touchpoint partition."""
        found: dict[Source, int | None] = {}
        for lease in list(self.partitions.values()):
            with contextlib.suppress(RevokedError):  # asked for by another thread
                found[lease.source] = lease.state.watermark_ms
        return found

    def unfinished(self) -> int:
        """Batches that are not all merged, put out, delivered and stored."""
        return sum(lease.waiting() for lease in self.all())

    def committable(self) -> Mapping[Source, int]:
        """Input is acknowledged only after the manifest that holds what it led to."""
        return {lease.source: lease.kept.offset for lease in self.all() if lease.kept.offset is not None}


def lease_of(leases: Mapping[Source, Lease], source: Source, epoch: int) -> Lease:
    """The lease under which a batch was read. Raises RevokedError where a rebalance has ended it since."""
    lease = leases.get(source)
    if lease is None or lease.epoch != epoch:
        raise RevokedError(source_name(source))
    return lease
