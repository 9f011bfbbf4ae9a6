"""The state of the partitions that this worker has, and what of their input is done with.

State is the authority on where reading starts (law 3). It is rebuilt from the beginning of the log:
outputs are the same as before or newer, so nothing is lost or counted twice by doing so.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.agents.outbox import Receipt
from pipeline.core.partition import Partition
from pipeline.core.records import Rules
from pipeline.core.signals import SignalTable
from pipeline.core.windows import Windows
from schemas.events import TOPIC_PREFIX
from schemas.tiles import TILES_TOPIC

Source = tuple[str, int]
State = TypeVar("State")
BEGINNING = -2
"""Kafka's logical offset of the oldest record."""


@dataclass(slots=True)
class Owned(Generic[State]):
    """One partition's state and its input's progress."""

    state: State
    epoch: int
    unfinished: deque[tuple[int, Receipt]] = field(default_factory=deque)
    """(next offset, what must be delivered and stored before it may be committed), in order."""
    merged: int | None = None
    """Phase two: the offset up to which tiles are merged, while that is not put out yet."""
    horizons: deque[tuple[float, int]] = field(default_factory=deque)
    """Phase two: (wall clock, horizon) of the last minute."""
    _done: int | None = None

    def finished(self) -> int | None:
        """The offset up to which everything is delivered and stored; None while there is none."""
        while self.unfinished and self.unfinished[0][1].is_done():
            self._done, _ = self.unfinished.popleft()
        return self._done


class Ownership:
    """Implements :class:`pipeline.transport.StateAuthority`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._table = SignalTable(funnel.name for funnel in rules.funnels.all)
        self._epoch = 0
        self.partitions: dict[Source, Owned[Partition]] = {}
        """Phase one, by touchpoint partition."""
        self.windows: dict[Source, Owned[Windows]] = {}
        """Phase two, by partition of ``cx.tiles``."""

    def acquire(self, source: Source) -> tuple[int, int]:
        self._epoch += 1
        topic, _ = source
        if topic == TILES_TOPIC:
            windows = Windows(self._table, self._rules.lateness_ms)
            self.windows[source] = Owned(windows, self._epoch)
        elif topic.startswith(TOPIC_PREFIX):
            partition = Partition(topic.removeprefix(TOPIC_PREFIX), self._rules)
            self.partitions[source] = Owned(partition, self._epoch)
        return BEGINNING, self._epoch

    def release(self, source: Source) -> None:
        self.partitions.pop(source, None)
        self.windows.pop(source, None)

    def watermarks(self) -> Mapping[Source, int | None]:
        return {source: owned.state.watermark_ms for source, owned in list(self.partitions.items())}

    def unfinished(self) -> int:
        """Batches that are not all merged, put out, delivered and stored."""
        self.committable()
        phase_one = sum(len(owned.unfinished) for owned in list(self.partitions.values()))
        phase_two = sum(
            len(owned.unfinished) + (owned.merged is not None) for owned in list(self.windows.values())
        )
        return phase_one + phase_two

    def committable(self) -> Mapping[Source, int]:
        found = {}
        for source, owned in list(self.partitions.items()):
            if (done := owned.finished()) is not None:
                found[source] = done
        for source, windows in list(self.windows.items()):
            if (done := windows.finished()) is not None:
                found[source] = done
        return found
