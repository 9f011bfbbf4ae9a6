"""What has been learned as usual, in cuts: one shard for all hours, and one for each hour of week."""

import base64
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from pipeline.core.cuts import Cut, Shards
from pipeline.core.statistics import Floats
from pipeline.core.usual.baselines import Baselines, Rates

ALL: Final = "all-hours"
_SLOT: Final = "hour-of-week-"
_FAST: Final = 1


def head(baselines: Baselines) -> dict[str, Any]:
    """Small, and always written."""
    return {"last_ms": baselines.last_ms, "last_of_slot_ms": list(baselines.last_of_slot_ms.items())}


def put(made: Cut, baselines: Baselines, slots: Iterable[int]) -> None:
    """What all hours have taught, and these hours of week."""
    rates = [_rates(baselines.pooled), _rates(baselines.spread)]
    made.put(ALL, [*rates, packed(baselines.streak), packed(baselines.hours)])
    for slot in slots:
        made.put(slot_name(slot), _rates(baselines.slots[slot]))


def slot_name(slot: int) -> str:
    """Of an hour of week's shard."""
    return f"{_SLOT}{slot}"


def restore(baselines: Baselines, content: Mapping[str, Any], shards: Shards) -> None:
    baselines.last_ms = content["last_ms"]
    baselines.last_of_slot_ms = dict(content["last_of_slot_ms"])
    if ALL in shards:
        pooled, spread, streak, hours = shards[ALL]
        baselines.pooled, baselines.spread = _read_rates(pooled), _read_rates(spread)
        baselines.streak, baselines.hours = unpacked(streak), unpacked(hours)
    for name, rates in shards.items():
        if name.startswith(_SLOT):
            baselines.slots[int(name.removeprefix(_SLOT))] = _read_rates(rates)


def _rates(rates: Rates) -> list[Any]:
    return [packed(rates.occurrences), packed(rates.exposures)]


def _read_rates(content: list[Any]) -> Rates:
    rates = Rates(0, 0)
    rates.occurrences, rates.exposures = (unpacked(each) for each in content)
    return rates


def packed(values: Floats) -> list[Any]:
    """Shape and content of an array: most of it is zeros."""
    return [list(values.shape), base64.b64encode(zlib.compress(values.tobytes(), _FAST)).decode()]


def unpacked(content: list[Any]) -> Floats:
    shape, text = content
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.float64).reshape(shape).copy()
