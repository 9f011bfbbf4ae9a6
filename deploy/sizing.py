"""How many partitions and workers, how much memory and disk.

``python -m deploy.sizing --events 2000 --segments 500`` prints it.

Formulas are those of ``deploy/SIZING.md``, constants were measured (the command beside each).
"""

import argparse
import math
from dataclasses import dataclass, fields
from typing import Final

#: Events a second that one core does, with everything on. ``make bench ARGS="--copies 1"``; halved, so that a peak
#: finds room.
EVENTS_PER_CORE: Final = 15_000
#: Sessions stay for the lateness and the longest timeout. ``make bench``: memory of one with two events, and of
#: six more.
SESSION_BYTES: Final = 344 + 6 * 60
EVENTS_PER_SESSION: Final = 8
#: Baselines of a segment with all hours of the week learned, its tiles of the last two hours, two weeks of what
#: is counted of persons (of most segments less, of busy ones ten times as much).
SEGMENT_BYTES: Final = 190_000 + 2 * 360 * 400 + 1_000_000
#: The program, its buffers of rows and messages.
WORKER_BYTES: Final = 900 << 20
#: ``python -m tests.benchmarks.sizes``, on disk.
SIGNAL_ROW_BYTES: Final = 12.6
HOURLY_ROW_BYTES: Final = 26.6
JOURNEY_ROW_BYTES: Final = 29.4 + 27.8
TILE_ROW_BYTES: Final = 28.9
#: The same, of messages with key and headers.
EVENT_MESSAGE_BYTES: Final = 229
TILES_PER_EVENT_BYTES: Final = 0.012 * 14_180
SIGNAL_MESSAGE_BYTES: Final = 537
JOURNEY_MESSAGE_BYTES: Final = 648
#: What lz4 leaves of them: of events (a quarter in large batches), of tiles, and of what comes out.
EVENTS_COMPRESSED: Final = 0.35
TILES_COMPRESSED: Final = 0.3
COMPRESSED: Final = 0.17
#: Of a partition's checkpoint topic: what is not compacted yet, and the segment that is being written.
CHECKPOINT_BYTES: Final = 2 * (64 << 20)
JOURNEYS_PER_EVENT: Final = 0.25
#: Of events the abandoned carts, checkouts and baskets, purchases and cancellations of somebody known.
FACTS_PER_EVENT: Final = 0.033
FACT_BYTES: Final = 214
#: Facts are kept so long (``model.facts``).
FACTS_DAYS: Final = 15
TILES_PER_EVENT: Final = 0.8
#: Ends in an hour of the 1m and 5m windows, and of the 15m and 1h windows.
ENDS_PER_HOUR: Final = {"short": 360 + 60, "long": 12 + 6}
#: Records of cx.tiles are kept so long, if there is room.
_TILES_DAYS: Final = 7
#: A row is written once, and again where a late event changes it.
WRITTEN_AGAIN: Final = 1.05


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be carried."""

    events_per_s: float
    """At the peak, over all channels."""
    segments: int
    mean_share: float = 0.4
    """The day's mean rate, as a share of the peak."""
    signals_per_segment: float = 24
    """Of the 50 there are, those that a segment has at a time."""
    replication: int = 3
    short_days: int = 3
    long_days: int = 30
    hourly_days: int = 400
    journeys_days: int = 90
    touchpoint_days: int = 7
    signal_topic_days: int = 3
    tiles_mb: int = 2_048
    """``CX_KAFKA__TILES_MB``: the most that a partition of ``cx.tiles`` keeps."""


@dataclass(frozen=True, slots=True)
class Size:
    """What carries it."""

    workers: int
    """One core each; one more than the peak needs, so that one may fail."""
    partitions: int
    """Of each touchpoint topic and of ``cx.tiles``: room to double."""
    worker_memory_mib: int
    kafka_disk_gib: int
    """With all replicas, lz4."""
    clickhouse_disk_gib: int
    """One replica."""
    signal_rows_per_s: int


def size(load: Load) -> Size:
    """Partitions, workers, memory and disk for a load. Raises ValueError where it is none."""
    if load.events_per_s <= 0 or load.segments <= 0:
        raise ValueError("events a second and segments must be above 0")
    workers = math.ceil(load.events_per_s / EVENTS_PER_CORE) + 1
    partitions = max(4, 2 * workers)
    return Size(
        workers=workers,
        partitions=partitions,
        worker_memory_mib=_memory(load, workers),
        kafka_disk_gib=_gib(_kafka_bytes(load, partitions)),
        clickhouse_disk_gib=_gib(_clickhouse_bytes(load)),
        signal_rows_per_s=round(_signals_per_hour(load) / 3600),
    )


def _signals_per_hour(load: Load) -> float:
    return load.segments * load.signals_per_segment * sum(ENDS_PER_HOUR.values()) * WRITTEN_AGAIN


def _memory(load: Load, workers: int) -> int:
    # The lateness, the longest timeout and the time until the next checkpoint: an hour and a half.
    sessions = load.events_per_s / EVENTS_PER_SESSION * 1.5 * 3600
    # When one worker fails, the others have its share as well.
    facts = load.events_per_s * load.mean_share * 86_400 * FACTS_DAYS * FACTS_PER_EVENT
    kept = sessions * SESSION_BYTES + load.segments * SEGMENT_BYTES + facts * FACT_BYTES
    shared = kept / max(1, workers - 1)
    return math.ceil((WORKER_BYTES + shared) / 2**20)


def _kafka_bytes(load: Load, partitions: int) -> float:
    events_per_day = load.events_per_s * load.mean_share * 86_400
    week = EVENTS_COMPRESSED * EVENT_MESSAGE_BYTES + COMPRESSED * JOURNEYS_PER_EVENT * JOURNEY_MESSAGE_BYTES
    tiles = TILES_COMPRESSED * TILES_PER_EVENT_BYTES
    events = events_per_day * week * load.touchpoint_days
    events += min(events_per_day * tiles * _TILES_DAYS, partitions * load.tiles_mb * 2**20)
    signals_per_day = _signals_per_hour(load) * 24 * SIGNAL_MESSAGE_BYTES * COMPRESSED
    # Three topics of touchpoints, tiles, visits, facts, evidence.
    checkpoints = (6 * partitions + 1) * CHECKPOINT_BYTES
    return (events + signals_per_day * load.signal_topic_days + checkpoints) * load.replication


def _clickhouse_bytes(load: Load) -> float:
    events_per_day = load.events_per_s * load.mean_share * 86_400
    rows = load.segments * load.signals_per_segment * 24
    signals = rows * SIGNAL_ROW_BYTES
    short = signals * ENDS_PER_HOUR["short"] * load.short_days
    long = signals * ENDS_PER_HOUR["long"] * load.long_days
    hourly = rows * HOURLY_ROW_BYTES * load.hourly_days
    journeys = events_per_day * JOURNEYS_PER_EVENT * JOURNEY_ROW_BYTES * load.journeys_days
    tiles = events_per_day * TILES_PER_EVENT * TILE_ROW_BYTES * 7
    # Merges write a part anew before the old ones go.
    return 1.5 * (short + long + hourly + journeys + tiles)


def _gib(count: float) -> int:
    return math.ceil(count / 2**30)


def main() -> None:
    """Print the size of a load."""
    parser = argparse.ArgumentParser(description=__doc__)
    for field in fields(Load):
        name = "--" + field.name.removesuffix("_per_s").replace("_", "-")
        needed = field.name in ("events_per_s", "segments")
        kind = int if field.type in (int, "int") else float
        parser.add_argument(
            name, dest=field.name, type=kind, required=needed, default=None if needed else field.default
        )
    found = size(Load(**vars(parser.parse_args())))
    for field in fields(found):
        print(f"{field.name:22} {getattr(found, field.name):>10,}")  # noqa: T201 (a command)


if __name__ == "__main__":
    main()
