"""A producer in memory, for tests and trials. Its acknowledgements can be held back."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Produced(NamedTuple):
    topic: str
    value: bytes | None
    key: str | None
    partition: int
    headers: Sequence[tuple[str, bytes]]


class MemoryProducer:
    """Implements :class:`pipeline.stages.outbox.Producer`. Acknowledges at once, unless told to hold back."""

    def __init__(self, *, delivers: bool = True, room: int = 1 << 30) -> None:
        """``room``: messages that wait for their acknowledgement; with more the queue is full."""
        self.room = room
        self.delivers = delivers
        """While it is False nothing is acknowledged; what waits is, at the next poll after it was set."""
        self.produced: list[Produced] = []
        self._waiting: list[Callable[[Any, Any], None]] = []

    @property
    def topics(self) -> list[str]:
        return [message.topic for message in self.produced]

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: str | None = None,
        partition: int = -1,
        callback: Callable[[Any, Any], None] | None = None,
        on_delivery: Callable[[Any, Any], None] | None = None,
        timestamp: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Its parameters come in confluent-kafka's order. Raises BufferError where the queue is full."""
        if len(self._waiting) >= self.room:
            raise BufferError("the queue is full")
        self.produced.append(Produced(topic, value, key, partition, headers))
        told = callback or on_delivery
        if told is not None:
            self._waiting.append(told)
        if self.delivers:
            self.poll(0)

    def poll(self, _timeout: float) -> int:
        """Acknowledge what waits; gives how much."""
        if not self.delivers:
            return 0
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            told(None, None)
        return len(waiting)
