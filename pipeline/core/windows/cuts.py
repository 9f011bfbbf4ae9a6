"""Cuts of phase two's state, and the state made again from its shards."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pipeline.core.cuts import MINUTE, MINUTE_MS, Cut, Head, Shards
from pipeline.core.usual import cuts as baselines_cuts
from pipeline.core.usual.cuts import packed, unpacked
from pipeline.core.usual.history import Usual
from pipeline.core.windows.forgotten import Forgotten
from pipeline.model.tiles import BUCKET_MS

if TYPE_CHECKING:
    from pipeline.core.windows.windows import Windows

_WAITING: Final = "hours"
_NAMES: Final = "segments"
_USUAL: Final = "usual-"


def snapshot(windows: "Windows") -> Cut:
    """What has changed since the last cut. To be made when all that is merged has been put out."""
    made = Cut({})
    made.head = {
        **windows.sources.head(),
        "complete_ms": windows.complete_ms,
        "out_ms": windows.out_ms,
        "unsure_ms": windows.unsure_ms,
        "shrunk": {name: _lists(held.shrunk) for name, held in windows.segments.items() if held.shrunk},
        "told_ms": windows.teller.told_ms,
        "forgotten": windows.forgotten.stretches,
        "usual_ms": windows.usual_ms,
        "baselines": baselines_cuts.head(windows.usual.baselines),
        "persons": windows.persons.snapshot(made),
    }
    _put_usual(made, windows.usual)
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
    windows.changed_minutes = set()
    return made


def _put_usual(made: Cut, usual: Usual) -> None:
    if usual.baselines.changed_slots:
        baselines_cuts.put(made, usual.baselines, usual.baselines.changed_slots)
        usual.baselines.changed_slots = set()
    made.put(_WAITING, [[start, rows] for start, rows in usual.waiting.items()])
    if usual.changed:
        made.put(_NAMES, usual.segments.names)
    for hour in usual.changed:
        rates = usual.at.get(hour)
        made.put(f"{_USUAL}{hour}", packed(rates) if rates is not None else None)
    usual.changed = set()


def _restore_usual(usual: Usual, head: Head, shards: Shards) -> None:
    baselines_cuts.restore(usual.baselines, head["baselines"], shards)
    usual.waiting = dict(shards.get(_WAITING, ()))
    for name in shards.get(_NAMES, ()):
        usual.segments.row(name)
    for name, rates in shards.items():
        if name.startswith(_USUAL):
            usual.at[int(name.removeprefix(_USUAL))] = unpacked(rates)


def restore(windows: "Windows", head: Head, shards: Shards) -> None:
    """Bring a new state to what it was when the cut was made whose head this is."""
    windows.sources.restore(head)
    windows.complete_ms, windows.out_ms, windows.unsure_ms = (
        head["complete_ms"],
        head["out_ms"],
        head["unsure_ms"],
    )
    windows.teller.told_ms = head["told_ms"]
    windows.persons.restore(head, shards)
    stretches = ((first, last) for first, last in head["forgotten"])
    windows.forgotten = Forgotten(windows.reach_ms, stretches)
    windows.usual_ms = head["usual_ms"]
    _restore_usual(windows.usual, head, shards)
    for name in sorted(name for name in shards if name.startswith(MINUTE)):
        for segment, buckets in shards[name]:
            held = windows.held(segment)
            for bucket, by_source in buckets:
                windows.in_minute.setdefault(bucket - bucket % MINUTE_MS, set()).add(segment)
                for source, (version, counters) in by_source.items():
                    held.put(bucket, source, version, counters)
    for segment, shrunk in head["shrunk"].items():
        if segment in windows.segments:
            windows.segments[segment].shrunk = {signal: set(buckets) for signal, buckets in shrunk.items()}


def _lists(shrunk: Mapping[str, set[int]]) -> dict[str, list[int]]:
    return {signal: sorted(buckets) for signal, buckets in shrunk.items()}
