"""Where checkpoints are kept, as the agents see it."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from pipeline.kafka.topics import TopicFacts
from pipeline.model.records import ClockRefusal
from pipeline.model.source import Source
from schemas.checkpoints import Manifest, ShardRef

Stored = Callable[[int], None]
"""Told the offset of a record when the broker has it."""


class CheckpointError(RuntimeError):
    """A state cannot be restored; the message says whose, why and what to do.

    Not raised where the store cannot be asked at the moment.
    """


class LogReplacedError(CheckpointError):
    """The log that a state was made of is no more. Reading what is there now needs a generation of its own."""


class ShardStore(Protocol):
    """A log of keyed values for each source."""

    def append(self, source: Source, key: str, value: bytes | None, stored: Stored) -> None:
        """Queue a record; None removes an older one. Raises BufferError where the queue is full."""

    def manifests(self, source: Source) -> Iterable[Manifest]:
        """The manifests that are still there, the newest first. May block."""

    def read(self, source: Source, refs: Mapping[str, ShardRef]) -> dict[str, bytes]:
        """The content of shards, checked. May block. Raises CheckpointError where any is not there."""


class SourceLogs(Protocol):
    """What there is of the logs that states are made of."""

    def committed(self, source: Source) -> int | None:
        """The group's committed offset; None where there is none. May block."""

    def bounds(self, source: Source) -> tuple[int, int]:
        """The offset of the oldest record that is still there, and the one after the newest. May block."""

    def topics(self) -> Mapping[str, TopicFacts]:
        """The topics that have a state, as of now. May block."""


class Refusals(Protocol):
    """What earlier readings refused by the wall clock."""

    def dead_letters_end(self) -> Mapping[int, int]:
        """By partition of ``cx.deadletters``: no letter to come is before it. May block."""

    def refusals(self, source: Source, since: Mapping[int, int]) -> Mapping[int, ClockRefusal]:
        """Records of the source that were refused by the wall clock since then, by offset. May block."""


class CheckpointStore(ShardStore, SourceLogs, Refusals, Protocol):
    """All that a restore needs."""


def joined(name: str, ref: ShardRef, parts: Sequence[bytes | None]) -> bytes:
    """A shard's parts as its content. Raises CheckpointError where they are not what was stored."""
    content = b"".join(part or b"" for part in parts)
    if zlib.crc32(content) != ref.crc:
        raise CheckpointError(f"shard {name} (slot {ref.slot}) is not as it was stored")
    return content
