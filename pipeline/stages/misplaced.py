"""Records in another partition than their session_id's: counted and told when it is sure that they are."""

from collections import Counter
from typing import Protocol

from pipeline.logs import Notes
from pipeline.metrics import Metrics


class Asked(Protocol):
    """Knows how many partitions topics have."""

    partitions: dict[str, int]
    """By topic, when last asked."""
    times_asked: int


class Misplaced:
    """A producer may hear before we do that a topic was given partitions, and its records would look misplaced.

    So what was found waits until the brokers have been asked once more.
    """

    def __init__(self, asked: Asked, metrics: Metrics, notes: Notes) -> None:
        self._asked = asked
        self._metrics = metrics
        self._notes = notes
        self._found: Counter[tuple[str, int, int]] = Counter()
        """By topic, how many partitions it was thought to have, and how often that had been asked."""

    def count(self, topic: str, found: int) -> None:
        """Of one batch."""
        if found:
            self._found[topic, self._asked.partitions.get(topic, 0), self._asked.times_asked] += found

    def settle(self) -> None:
        """Count and tell what is sure by now."""
        # An answer that was under way when the records came may be older than they are.
        for key in [key for key in self._found if self._asked.times_asked >= key[2] + 2]:
            (topic, partitions, _), found = key, self._found.pop(key)
            if self._asked.partitions.get(topic, 0) != partitions:
                continue
            self._metrics.misplaced.labels(topic).inc(found)
            self._notes.warn(
                f"misplaced {topic}",
                f"{topic}: {found} records are in another partition than their session_id's. Such sessions may be "
                "split, unfinished to us: producers must use the session_id as the key, with the partitioner "
                "murmur2 (where partitions were added, open sessions are split for a while)",
            )
