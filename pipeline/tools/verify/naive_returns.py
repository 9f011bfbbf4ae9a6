"""What is counted of recoveries, from their rows. Written apart from the core."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pipeline.tools.verify.naive_persons import FUNNELS, MINUTE, Seen
from pipeline.tools.verify.naive_types import (
    BUCKET,
    JourneyKey,
    RecoveryKey,
    RecoveryValue,
    Tables,
    TileKey,
)
from schemas.units import to_units

HOUR = 3_600_000
AFTER = {"1h": HOUR, "1d": 24 * HOUR, "7d": 7 * 24 * HOUR}
SOURCE = "cx.facts"
"""Of all its partitions together: which one a person is in is of no matter."""
_SIGNALS = tuple(
    f"{funnel}_{name}"
    for funnel in FUNNELS
    for name in ("net_abandonment", "known", "value_recovered_7d", *(f"recovery_{after}" for after in AFTER))
)


def is_of_persons(signal: str) -> bool:
    """Whether it is made of what persons did."""
    return signal in _SIGNALS or signal.endswith("_moment_rate")


def persons_passed_ms(tables: Tables) -> int:
    """What all sources have passed, by whole minutes."""
    return min(tables.watermarks.values(), default=0) // MINUTE * MINUTE


def tiles(seen: Seen, rows: Mapping[RecoveryKey, RecoveryValue], passed: int) -> dict[TileKey, dict[str, int]]:
    """``passed``: by all sources, in whole minutes."""
    found: dict[TileKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for key, row in rows.items():
        for segment in seen.segments[JourneyKey(*key[1:])]:
            for at, name, count in _counted(row, passed):
                found[segment, at // BUCKET * BUCKET, SOURCE][f"{row.funnel}_{name}"] += count
    return {key: dict(counters) for key, counters in found.items()}


def _counted(row: RecoveryValue, passed: int) -> Iterator[tuple[int, str, int]]:
    yield row.ended_ms, "known", 1
    if row.status == "completed_elsewhere":
        yield row.ended_ms, "elsewhere", 1
        return
    for after, length in AFTER.items():
        at = row.ended_ms + length
        if at >= passed:
            continue
        yield at, f"asked_{after}", 1
        if row.status == "recovered" and row.recovered_ms is not None and row.recovered_ms <= at:
            yield at, f"recovered_{after}", 1
            if after == "7d":
                units = to_units(row.recovered_value)
                yield at, "value_recovered_7d", units
                yield at, "value_recovered_7d_sq", units**2
