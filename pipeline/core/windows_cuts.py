"""Cuts of phase two's state, and the state made again from its shards."""

from typing import Final

from pipeline.core.cuts import MINUTE, MINUTE_MS, Cut, Head, Shards
from pipeline.core.signals import SignalTable
from pipeline.core.tiles import BUCKET_MS
from pipeline.core.windows import Forgotten, Windows

_VERSIONS: Final = "versions"


def cut(windows: Windows) -> Cut:
    """What has changed since the last cut. To be made after an emission, before the next merge."""
    made = Cut(
        {
            "watermarks": windows.watermarks,
            "newest_ms": windows.newest_ms,
            "forgotten": windows.forgotten.stretches,
        }
    )
    for minute in windows.changed_minutes:
        buckets = range(minute, minute + MINUTE_MS, BUCKET_MS)
        names = windows.in_minute.get(minute, set())
        found = [
            (name, tiles)
            for name in names
            if name in windows.segments and (tiles := windows.segments[name].tiles_in(buckets))
        ]
        windows.in_minute[minute] = {name for name, _ in found}
        if not found:
            del windows.in_minute[minute]
        made.put(f"{MINUTE}{minute}", found)
    if windows.changed_minutes:
        # Not to be had from the tiles: the newest of a source may be among those forgotten.
        made.put(_VERSIONS, {name: held.versions for name, held in windows.segments.items()})
    windows.changed_minutes = set()
    return made


def has_changed(windows: Windows) -> bool:
    """Whether a cut would write any shard."""
    return bool(windows.changed_minutes)


def restored(table: SignalTable, lateness_ms: int, head: Head, shards: Shards) -> Windows:
    """The state as it was when the cut was made whose head this is."""
    windows = Windows(table, lateness_ms)
    windows.watermarks = dict(head["watermarks"])
    windows.newest_ms = head["newest_ms"]
    windows.forgotten = Forgotten((first, last) for first, last in head["forgotten"])
    for name in sorted(shards):
        if name == _VERSIONS:
            continue
        for segment, buckets in shards[name]:
            held = windows.held(segment)
            for bucket, by_source in buckets:
                windows.in_minute.setdefault(bucket - bucket % MINUTE_MS, set()).add(segment)
                for source, (version, counters) in by_source.items():
                    held.put(bucket, source, version, counters)
    for segment, versions in shards.get(_VERSIONS, {}).items():
        windows.held(segment).versions = dict(versions)
    for held in windows.segments.values():
        held.forget_changes()
    return windows
