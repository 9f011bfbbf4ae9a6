"""Snapshots of a partition's state, and the state made again from its shards."""

from typing import TYPE_CHECKING

from pipeline.core.cuts import FACTS, MINUTE, SESSIONS, Cut, Head, Shards, packed_of
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.records import ClockRefusal

if TYPE_CHECKING:
    from pipeline.core.sessions.partition import Partition


def snapshot(partition: "Partition") -> Cut:
    """What has changed since the last one. To be made between batches."""
    refused = [(offset, *letter) for offset, letter in partition.refused.items()]
    made = Cut({"latest_ms": partition.latest_ms, "reached_ms": partition.reached_ms, "refused": refused})
    sessions = partition.sessions
    changed = dict(sessions.take_changed()) | (dict(sessions.everything()) if partition.has_erased else {})
    for number, stored in changed.items():
        made.put(f"{SESSIONS}{number}", stored)
    made.gone += [f"{SESSIONS}{number}" for number in partition.gone if not changed.get(number)]
    partition.gone.clear()
    partition.has_erased = False
    for number, stored in partition.facts.book.take_changed():
        made.put(f"{FACTS}{number}", stored)
    for minute, content in partition.book.take_changed():
        made.put(f"{MINUTE}{minute}", content)
    return made


def restore(partition: "Partition", head: Head, shards: Shards) -> None:
    """Bring a new state to what it was when the snapshot was made whose head this is."""
    partition.refused = {offset: ClockRefusal(*letter) for offset, *letter in head["refused"]}
    latest_ms, reached_ms = head["latest_ms"], head["reached_ms"]
    if latest_ms is None:
        return
    partition.see(latest_ms, reached_ms)
    partition.sessions.restore(packed_of(shards, SESSIONS), reached_ms - WATERMARK_DELAY_MS)
    partition.facts.restore(packed_of(shards, FACTS), partition.sessions, partition.cutoff_ms)
    for name, content in shards.items():
        if name.startswith(MINUTE):
            partition.book.restore(content)
    partition.forget()
