"""How far the workers' states are with an erasure, as their checkpoints say."""

import time
from collections.abc import Callable
from typing import Final

from pipeline.durability.kafka import KafkaCheckpoints
from pipeline.kafka.clients import KafkaUnavailableError, new_producer
from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.model.source import Source, source_name
from pipeline.settings import KafkaSettings
from schemas.checkpoints import Manifest, checkpoint_topic, manifest_key
from schemas.events import TOUCHPOINT_TOPICS
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC

_OF_PERSONS: Final = (*TOUCHPOINT_TOPICS, VISITS_TOPIC, FACTS_TOPIC)
_LOOK_S: Final = 2.0
_FLUSH_S: Final = 30.0
#: A checkpoint under way is younger.
_SPARE_MS: Final = 3_600_000
_KEY_PARTS: Final = 4
"""Source, shard, slot and part."""


def wait_for_states(
    settings: KafkaSettings, end: int, timeout_s: float, wait: Callable[[float], None] = time.sleep
) -> list[str]:
    """Return when the checkpoint of every state that knows persons is without who is erased before ``end``.

    Gives the partitions of which that is not so after ``timeout_s``.
    """
    sources = partitions_of(settings, _OF_PERSONS)
    checkpoints = KafkaCheckpoints(settings, new_producer(settings))
    deadline = time.monotonic() + timeout_s
    # All of them each time: a worker that does not know yet may take one over.
    while waiting := [source for source in sources if not _has_erased(checkpoints, source, end)]:
        if time.monotonic() > deadline:
            break
        wait(_LOOK_S)
    return [source_name(source) for source in waiting]


def _has_erased(checkpoints: KafkaCheckpoints, source: Source, end: int) -> bool:
    newest = next(iter(checkpoints.manifests(source)), None)
    if newest is None:
        low, high = checkpoints.bounds(source)
        return low == high  # else something has come that no checkpoint tells of yet
    return newest.erasures >= end or not newest.shards


def remove_spare(settings: KafkaSettings, now_ms: int) -> int:
    """Remove what former workers have left in checkpoint topics and no manifest names; gives how many records.

    A worker that has crashed, or a state made anew, leaves some: nothing else would ever remove them.
    """
    producer, removed = new_producer(settings), 0
    checkpoints = KafkaCheckpoints(settings, producer)
    for source in partitions_of(settings, _OF_PERSONS):
        newest = next(iter(checkpoints.manifests(source)), None)
        place = checkpoint_topic(source[0]), source[1]
        for key in [] if newest is None else _spare(settings, place, newest, now_ms - _SPARE_MS):
            producer.produce(place[0], key=key, value=None, partition=place[1])
            producer.poll(0)
            removed += 1
    if producer.flush(_FLUSH_S):
        raise KafkaUnavailableError(f"checkpoints were not tidied up within {_FLUSH_S:g} s")
    return removed


def _spare(settings: KafkaSettings, place: Source, newest: Manifest, before_ms: int) -> list[str]:
    """Keys of parts with content that nobody needs. What the manifest's own writer has is its own affair."""
    alive: dict[str, int] = {}
    for _, messages in read_to_end(settings, [place]):
        for message in messages:
            key = (message.key() or b"").decode(errors="replace")
            if message.value():
                alive[key] = message.timestamp()[1]
            else:
                alive.pop(key, None)
    needed = {(name, ref.slot) for name, ref in newest.shards.items()} | {(f.shard, f.slot) for f in newest.freed}
    found = []
    for key, at_ms in alive.items():
        parts = key.rsplit("/", 3)
        if len(parts) != _KEY_PARTS or key == manifest_key(newest.source) or at_ms > before_ms:
            continue
        is_own = parts[2].rpartition("-")[0] == newest.writer
        if not is_own and (parts[1], parts[2]) not in needed and parts[0] == newest.source:
            found.append(key)
    return found
