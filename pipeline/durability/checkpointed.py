"""What a checkpointer asks of the partitions that a worker has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.durability.recovery import UNKNOWN, Where
from pipeline.kafka.topics import TopicFacts
from pipeline.model.source import Source
from schemas.checkpoints import Freed, ShardRef


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
    erasures: int = 0
    """Who is erased by the records of ``cx.erasures`` before this offset is not in it."""

    @classmethod
    def of(cls, where: Where) -> "Kept":
        return cls(where.kept, where.shards, where.freed, where.topic, where.erasures)


class State(Protocol):
    """What a checkpoint holds."""

    def snapshot(self) -> Cut:
        """What has changed since the last snapshot. Refers to the live state."""

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""


class Lease(Protocol):
    """One partition's state while a worker has the partition."""

    @property
    def source(self) -> Source: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def epoch(self) -> int: ...
    @property
    def kept(self) -> Kept: ...
    @property
    def is_revoked(self) -> bool: ...
    @property
    def cut_at(self) -> int | None:
        """The offset that the state stands at; None while a batch is under way, so that none is cut."""

    @property
    def erasures(self) -> int:
        """Who is erased by the records of ``cx.erasures`` before this offset is not in the state."""

    is_broken: bool
    """A cut has failed: the state must not be checkpointed any more."""

    @property
    def changed_at(self) -> float:
        """Monotonic time of the last batch with more than ticks in it."""

    def is_done(self, offset: int) -> bool:
        """Whether everything up to the offset is delivered and stored."""


class HasLeases(Protocol):
    """The partitions that this worker has."""

    def all(self) -> Sequence[Lease]: ...
