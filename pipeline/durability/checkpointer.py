"""Checkpoints: consistent cuts of each partition's state, stored shard by shard, then named (law 3).

A cut is made between batches, at one offset. Its shards are queued at once and acknowledged one by one;
when all are, and all outputs up to the offset are delivered and stored, the manifest is written alone.
Only then is the input acknowledged. One checkpoint of a source is under way at a time.
"""

import contextlib
import logging
import time
import uuid
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from pipeline.durability.checkpointed import HasLeases, Lease
from pipeline.durability.recovery import added, changed, deleted, digest_of
from pipeline.durability.store import CheckpointStore, LogReplacedError, Stored
from pipeline.metrics import Metrics
from pipeline.model.event_time import Clock
from pipeline.model.source import Source
from schemas.checkpoints import (
    MAX_PART_BYTES,
    Freed,
    Manifest,
    ShardRef,
    encode_shard,
    manifest_key,
    part_key,
)
from schemas.events import TOPIC_PREFIX

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
#: No more of the worker's time than this goes into cutting and encoding.
_SHARE: Final = 0.1
_MOST_SAVED_S: Final = 1.0
#: A worker at rest takes its checkpoints early: what its input led to is then acknowledged soon.
_REST_S: Final = 2.0
#: Where little comes the next checkpoint waits this many times as long: it writes much more than what came, and
#: doing so little again takes no time (decisions/0004 has what each event costs).
_SLOWER: Final = 12
#: So many records of a partition are not little.
_MUCH: Final = 5_000
#: So long what is no longer named is kept: a worker that has lost the partition and does not know it yet
#: may still append a manifest that names it.
_GRACE_MS: Final = 600_000
#: A long history replayed at once frees many shards; beyond so many the oldest are removed early.
_MOST_FREED: Final = 5_000
#: The other slot of a pair may have had more parts.
_MORE_PARTS: Final = 4


@dataclass(slots=True)
class _Record:
    key: str
    value: bytes | None
    stored: Stored


@dataclass(slots=True)
class _UnderWay:
    offset: int
    started: float
    taken_ms: int
    head: Mapping[str, Any]
    shards: dict[str, ShardRef]
    dead_letters: dict[int, int]
    freed: list[Freed]
    freed_slots: dict[str, set[str]]
    """By shard, the slots of what is to be removed, by this manifest or the one before."""
    erasures: int
    is_anew: bool
    """Somebody has been erased: what was stored before is not to stay in the other slot of its pair."""
    queue: deque[_Record] = field(default_factory=deque)
    pending: int = 0
    manifest_sent: bool = False

    def free(self, name: str, ref: ShardRef) -> None:
        """Note content that this manifest does not name any more."""
        self.freed.append(Freed(name, ref.slot, len(ref.offsets), self.taken_ms))
        self.freed_slots.setdefault(name, set()).add(ref.slot)


class Checkpointer:
    """Takes and writes the checkpoints of all partitions that this worker has."""

    def __init__(
        self,
        leases: HasLeases,
        store: CheckpointStore,
        metrics: Metrics,
        generation: int,
        digest: str,
        interval_s: float = 10.0,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        customers: str = "",
    ) -> None:
        self._leases = leases
        self._store = store
        self._metrics = metrics
        self._generation = generation
        self._digest = digest
        self._customers = customers
        self._interval_s = interval_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._writer = uuid.uuid4().hex[:8]
        self._under_way: dict[int, _UnderWay] = {}
        """By the epoch of the lease."""
        self._last: dict[int, float] = {}
        self._dead_letters: dict[int, int] = {}
        self.partitions: dict[str, int] = {}
        """Of the topics, when last asked."""
        self.times_asked = 0
        self._missing: set[str] = set()
        """Topics that there were, and of which no broker knew when last asked."""
        self._allowance_s, self._accrued_at = _MOST_SAVED_S, clock()

    def refresh(self) -> None:
        """Ask where dead letters end by now, and how the topics are. Blocks; before it was called once nothing
        is cut.

        Raises LogReplacedError where a topic has been deleted under this worker, or made anew, or one of the
        pipeline's own was given partitions.
        """
        self._dead_letters = dict(self._store.dead_letters_end())
        facts = self._store.topics()
        for lease in self._leases.all():
            name = lease.source[0]
            topic = facts.get(name)
            if topic is not None and (why := changed(name, lease.kept.topic, topic)):
                raise LogReplacedError(why)
        # Whoever had its partitions: the group takes them away when the brokers no longer name the topic.
        missing = {name for name in self.partitions if name not in facts}
        for name in sorted(missing & self._missing):  # once: a broker that has just started may not know yet
            raise LogReplacedError(deleted(name))
        self._missing = missing
        for name, topic in facts.items():
            if name.startswith(TOPIC_PREFIX) and self.partitions.get(name, topic.partitions) < topic.partitions:
                logger.warning("%s", added(name, self.partitions[name], topic.partitions))
        self.partitions |= {name: topic.partitions for name, topic in facts.items()}
        self.times_asked += 1

    def step(self, force: bool = False) -> int:
        """Go on with all checkpoints, begin those that are due; gives how many are under way.

        ``force``: begin wherever anything is new, as at the end of a worker.
        """
        leases = self._leases.all()
        living = {lease.epoch for lease in leases}
        for gone in [key for key in self._under_way if key not in living]:
            del self._under_way[gone]
        for gone in [key for key in self._last if key not in living]:
            del self._last[gone]
        for lease in leases:
            self.consider(lease, force)
        return len(self._under_way)

    def consider(self, lease: Lease, force: bool = False) -> None:
        """Begin or go on with the checkpoint of one source. To be called between its batches, too."""
        under_way = self._under_way.get(lease.epoch)
        if under_way is None and self._is_due(lease, force):
            under_way = self._under_way[lease.epoch] = self._begin(lease)
        if under_way is not None:
            self._go_on(lease, under_way)

    def _is_due(self, lease: Lease, force: bool) -> bool:
        now = self._clock()
        last = self._last.setdefault(lease.epoch, now)
        has_erased = lease.erasures != lease.kept.erasures
        if lease.cut_at is None or (lease.cut_at == lease.kept.offset and not has_erased):
            return False
        if lease.is_broken or not self._dead_letters:
            return False
        if force or has_erased:
            return True
        self._allowance_s = min(_MOST_SAVED_S, self._allowance_s + (now - self._accrued_at) * _SHARE)
        self._accrued_at = now
        if self._allowance_s <= 0 or now - last < self._interval_s:
            return False
        is_much = lease.cut_at - (lease.kept.offset or 0) >= _MUCH
        return is_much or now - last >= _SLOWER * self._interval_s or now - self._changed_at() >= _REST_S

    def _changed_at(self) -> float:
        """When anything but ticks came last."""
        return max((lease.changed_at for lease in self._leases.all()), default=0.0)

    def _begin(self, lease: Lease) -> _UnderWay:
        try:
            return self._cut(lease)
        except BaseException:
            # What has changed is no longer known: no later checkpoint of this state would be whole.
            lease.is_broken = True
            raise

    def _cut(self, lease: Lease) -> _UnderWay:
        assert lease.cut_at is not None
        started = self._clock()
        cut = lease.state.snapshot()
        shards = dict(lease.kept.shards)
        gone = [(name, ref) for name in cut.gone if (ref := shards.pop(name, None)) is not None]
        now_ms = int(self._wall_clock() * 1000)
        freed = [one for one in lease.kept.freed if one.since_ms > now_ms - _GRACE_MS][-_MOST_FREED:]
        slots: dict[str, set[str]] = {}
        for one in lease.kept.freed:
            slots.setdefault(one.shard, set()).add(one.slot)
        head, letters = _copied(cut.head), self._dead_letters
        erasures = lease.erasures, lease.erasures != lease.kept.erasures
        under_way = _UnderWay(lease.cut_at, started, now_ms, head, shards, letters, freed, slots, *erasures)
        for name, ref in gone:
            under_way.free(name, ref)
        for name, content in cut.changed.items():
            encoded = encode_shard(content)
            self._queue(lease, under_way, name, encoded)
            # One by one: each then takes the memory that the one before has just let go of.
            self._append_queued(lease.source, under_way)
        took = self._clock() - started
        self._allowance_s -= took
        self._metrics.checkpoint_cut_seconds.observe(took)
        return under_way

    def _slot(self, lease: Lease, under_way: _UnderWay, name: str) -> str:
        """The slot of a shard that the newest manifest does not name, nor anything that is to be removed.

        Slots come in pairs, taken in turn. They belong to one worker and one time that it took the
        partition on: one that has lost it and does not know it yet overwrites nothing of its successor's.
        """
        writer = self._writer_of(lease)
        before = lease.kept.shards.get(name)
        if before is not None and before.slot.startswith(f"{writer}-") and not under_way.is_anew:
            return _other(before.slot)
        if before is not None:
            under_way.free(name, before)
        to_be_removed = under_way.freed_slots.get(name, set())
        number = 0
        while not to_be_removed.isdisjoint((f"{writer}-{number}", f"{writer}-{number + 1}")):
            number += 2
        return f"{writer}-{number}"

    def _writer_of(self, lease: Lease) -> str:
        return f"{self._writer}.{lease.epoch}"

    def _queue(self, lease: Lease, under_way: _UnderWay, name: str, content: bytes) -> None:
        """Queue a shard's parts."""
        parts = [content[at : at + MAX_PART_BYTES] for at in range(0, len(content), MAX_PART_BYTES)]
        ref = ShardRef(self._slot(lease, under_way, name), [-1] * len(parts), zlib.crc32(content))
        under_way.shards[name] = ref
        under_way.pending += len(parts)
        for number, part in enumerate(parts):

            def stored(offset: int, number: int = number) -> None:
                ref.offsets[number] = offset
                under_way.pending -= 1

            under_way.queue.append(_Record(part_key(lease.name, name, ref.slot, number), part, stored))
        self._metrics.checkpoint_bytes.inc(len(content))

    def _append_queued(self, source: Source, under_way: _UnderWay) -> None:
        """Where the producer's queue is full they wait for the next step; pending they are all the while."""
        queue = under_way.queue
        with contextlib.suppress(BufferError):
            while queue:
                record = queue[0]
                self._store.append(source, record.key, record.value, record.stored)
                queue.popleft()

    def _go_on(self, lease: Lease, under_way: _UnderWay) -> None:
        self._append_queued(lease.source, under_way)
        if not under_way.pending and not under_way.manifest_sent and lease.is_done(under_way.offset):
            self._send_manifest(lease, under_way)

    def _send_manifest(self, lease: Lease, under_way: _UnderWay) -> None:
        source = lease.source
        manifest = Manifest(
            source=lease.name,
            generation=self._generation,
            rules=digest_of(source, self._digest, self._customers),
            next_offset=under_way.offset,
            taken_ms=under_way.taken_ms,
            dead_letters=under_way.dead_letters,
            head=dict(under_way.head),
            shards=under_way.shards,
            freed=under_way.freed,
            topic_id=lease.kept.topic.topic_id,
            topic_partitions=lease.kept.topic.partitions,
            erasures=under_way.erasures,
            writer=self._writer_of(lease),
        )

        def stored(_offset: int) -> None:
            self._finish(lease, under_way)

        under_way.manifest_sent = True
        try:
            self._store.append(source, manifest_key(manifest.source), _encode(manifest), stored)
        except BufferError:
            under_way.manifest_sent = False

    def _finish(self, lease: Lease, under_way: _UnderWay) -> None:
        if lease.is_revoked:
            return
        still_freed = set(under_way.freed)
        removable = [one for one in lease.kept.freed if one not in still_freed]
        lease.kept.offset, lease.kept.shards = under_way.offset, under_way.shards
        lease.kept.freed, lease.kept.erasures = under_way.freed, under_way.erasures
        now = self._clock()
        self._under_way.pop(lease.epoch, None)
        self._last[lease.epoch] = under_way.started
        source, name = lease.source, lease.name
        self._metrics.checkpoint_time.labels(name).set(under_way.taken_ms / 1000)
        self._metrics.checkpoint_seconds.observe(now - under_way.started)
        while removable:
            one = removable[0]
            try:
                for slot in (one.slot, _other(one.slot)):
                    for part in range(one.parts + _MORE_PARTS):
                        self._store.append(source, part_key(name, one.shard, slot, part), None, lambda _: None)
            except BufferError:
                lease.kept.freed = [*removable, *lease.kept.freed]  # the next one removes them
                return
            removable.pop(0)


def _other(slot: str) -> str:
    """The other one of a pair of slots."""
    writer, _, number = slot.rpartition("-")
    return f"{writer}-{int(number) ^ 1}"


def _copied(head: Mapping[str, Any]) -> Mapping[str, Any]:
    """The head as it is now; the manifest is encoded later."""
    copied: Mapping[str, Any] = msgspec.json.decode(_encode(head))
    return copied
