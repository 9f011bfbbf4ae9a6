"""Cuts of a partition's state, and the state made again from its shards."""

import sys
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.core.cuts import MINUTE, MINUTE_MS, SESSIONS, Cut, Head, Shards
from pipeline.core.sessions.event_log import Entry, Names, names_of
from pipeline.core.sessions.packed_sessions import PackedSession
from pipeline.core.sessions.session import Session
from pipeline.core.sessions.walk import OpenJourney, Walk
from pipeline.model.dimensions import Dims
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.funnels import Funnels
from pipeline.model.records import ClockRefusal
from pipeline.model.tiles import BUCKET_MS

if TYPE_CHECKING:
    from pipeline.core.sessions.partition import Partition


def snapshot(partition: "Partition") -> Cut:
    """What has changed since the last cut. To be made between batches."""
    refused = [(offset, *letter) for offset, letter in partition.refused.items()]
    made = Cut({"latest_ms": partition.latest_ms, "reached_ms": partition.reached_ms, "refused": refused})
    for number, packed, objects in partition.sessions.take_changed():
        content = (
            {"packed": packed, "objects": [_row(session) for session in objects]} if packed or objects else {}
        )
        made.put(f"{SESSIONS}{number}", content)
    tiles = partition.tiles
    for minute in partition.changed_minutes:
        buckets = range(minute, minute + MINUTE_MS, BUCKET_MS)
        made.put(f"{MINUTE}{minute}", [(bucket, tiles[bucket]) for bucket in buckets if bucket in tiles])
    partition.changed_minutes = set()
    return made


def restore(partition: "Partition", head: Head, shards: Shards) -> None:
    """Bring a new state to what it was when the cut was made whose head this is."""
    partition.refused = {offset: ClockRefusal(*letter) for offset, *letter in head["refused"]}
    latest_ms, reached_ms = head["latest_ms"], head["reached_ms"]
    if latest_ms is None:
        return
    partition.see(latest_ms, reached_ms)
    reader = _Reader(partition.rules.funnels)
    numbers = [int(name.removeprefix(SESSIONS)) for name in shards if name.startswith(SESSIONS)]
    partition.sessions.restore(
        numbers,
        lambda number: reader.shard(shards[f"{SESSIONS}{number}"]),
        reached_ms - WATERMARK_DELAY_MS,
    )
    for name, content in shards.items():
        if name.startswith(MINUTE):
            partition.tiles.update(dict(content))
    partition.forget()


def _row(session: Session) -> tuple[Any, ...]:
    """Only what the rest follows from: the folded walk and the kept events."""
    base = session.base
    if base is None:
        return session.session_id, -1, (), session.names, session.packed
    opened = [(j.funnel.name, j.opening(session).fields, j.value, j.last_step, j.customer_id) for j in base.open]
    return session.session_id, base.last_ms, opened, session.names, session.packed


def _bytes(stored: bytes | str) -> bytes:
    """Where a cut went through JSON they are Base64."""
    return stored if isinstance(stored, bytes) else b64decode(stored)


class _Reader:
    """Sessions from their rows. Texts that repeat are kept once, as in a state that grew by itself."""

    def __init__(self, funnels: Funnels) -> None:
        self._funnels = funnels
        self._dims: dict[Dims, Dims] = {}
        self._beginnings: dict[Dims, Names] = {}

    def shard(self, content: Mapping[str, Any]) -> tuple[bytes, Iterator[PackedSession]]:
        """What a lane has stored, and the sessions that were objects."""
        return _bytes(content["packed"]), map(self.session, content["objects"])

    def session(self, row: list[Any]) -> PackedSession:
        session_id, last_ms, opened, names, packed = row
        base = None if last_ms < 0 else Walk(tuple([self._open_journey(*one) for one in opened]), last_ms)
        return PackedSession(session_id, base, self._names(names), _bytes(packed))

    def _open_journey(self, funnel: str, opened_by: list[Any], *rest: Any) -> OpenJourney:
        journey = OpenJourney(self._funnels.by_name[funnel], self._entry(opened_by))
        journey.value, journey.last_step, journey.customer_id = rest
        return journey

    def _names(self, names: list[Any]) -> Names:
        """A tuple where they are those that a session begins with, shared by all that begin so."""
        if len(names) == 2:
            return self._beginnings.setdefault(tuple(names[1]), names_of(self._place(names[1])))
        return [self._place(name) if isinstance(name, list) else name and sys.intern(name) for name in names]

    def _place(self, dims: list[Any]) -> Dims:
        kept = tuple(dims)
        return self._dims.setdefault(kept, kept)

    def _entry(self, row: Iterable[Any]) -> Entry:
        at_ms, event_id, kind, amount, step, customer_id, dims = row
        step = None if step is None else sys.intern(step)
        return Entry(at_ms, event_id, sys.intern(kind), amount, step, customer_id, self._place(dims))
