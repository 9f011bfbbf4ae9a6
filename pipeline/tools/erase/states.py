"""How far the workers' states are with an erasure, as their checkpoints say."""

import time
from collections.abc import Callable

from pipeline.durability.kafka import KafkaCheckpoints
from pipeline.kafka.clients import new_producer
from pipeline.kafka.logs import partitions_of
from pipeline.model.source import Source, source_name
from pipeline.settings import KafkaSettings
from schemas.events import TOUCHPOINT_TOPICS
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC

_LOOK_S = 2.0


def wait_for_states(
    settings: KafkaSettings, end: int, timeout_s: float, wait: Callable[[float], None] = time.sleep
) -> list[str]:
    """Return when the checkpoint of every state that knows persons is without who is erased before ``end``.

    Gives the partitions of which that is not so after ``timeout_s``.
    """
    sources = partitions_of(settings, (*TOUCHPOINT_TOPICS, VISITS_TOPIC, FACTS_TOPIC))
    checkpoints = KafkaCheckpoints(settings, new_producer(settings))
    waiting = [source for source in sources if _has_any(checkpoints, source)]
    deadline = time.monotonic() + timeout_s
    while waiting := [source for source in waiting if not _has_erased(checkpoints, source, end)]:
        if time.monotonic() > deadline:
            break
        wait(_LOOK_S)
    return [source_name(source) for source in waiting]


def _has_any(checkpoints: KafkaCheckpoints, source: Source) -> bool:
    """Whether there is a state, or anything to make one of."""
    low, high = checkpoints.bounds(source)
    return low < high or any(True for _ in checkpoints.manifests(source))


def _has_erased(checkpoints: KafkaCheckpoints, source: Source, end: int) -> bool:
    newest = next(iter(checkpoints.manifests(source)), None)
    return newest is not None and newest.erasures >= end
