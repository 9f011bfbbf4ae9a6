"""When persons come: a function of the set of a person's facts.

Facts with no more than half an hour between them are one visit, as sessions are told apart in web analytics; its
first fact counts, with the values of its dimensions. This adds up over time, as a count of different persons does
not, and moments of a window are told against it.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.core.persons.counts import Place, dims_of
from pipeline.model.dimensions import Dims
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import Held
from pipeline.model.tiles import bucket_of
from schemas.facts import Fact, FactKey

SILENCE_MS: Final = 1_800_000
"""After so long without a fact a person comes anew."""


def changes(
    told: Iterable[FactKey], before: dict[FactKey, Held], now: dict[FactKey, Held], dimensions: int
) -> list[tuple[Place, int]]:
    """Where a person has come that had not before (1), or has not (-1). Of both the facts that hold.

    ``told``: the facts that something has been told of; all others are as they were.
    """
    first_ms = _first_changed(told, before, now)
    if first_ms == NEVER_MS:
        return []
    found = [(place, -1) for place in _visits(before, first_ms, dimensions)]
    found += [(place, 1) for place in _visits(now, first_ms, dimensions)]
    return found


def _first_changed(told: Iterable[FactKey], before: dict[FactKey, Held], now: dict[FactKey, Held]) -> int:
    """When the earliest of what differs was, by either."""
    found = NEVER_MS
    for key in told:
        one, other = before.get(key), now.get(key)
        if one is not other and (one is None or other is None or one.fact != other.fact):
            if one is not None and one.fact.ended_ms < found:
                found = one.fact.ended_ms
            if other is not None and other.fact.ended_ms < found:
                found = other.fact.ended_ms
    return found


def _visits(held: dict[FactKey, Held], first_ms: int, dimensions: int) -> list[Place]:
    """Where visits begin that do not begin before a time."""
    if not held:
        return []
    since_ms = first_ms - SILENCE_MS
    late = [one.fact for one in held.values() if one.fact.ended_ms >= since_ms]
    if len(late) > 1:
        late.sort(key=_time)
    last_ms = -NEVER_MS
    begun: list[Fact] = []
    for fact in late:
        at_ms = fact.ended_ms
        if begun and begun[-1].ended_ms == at_ms:
            begun[-1] = _lesser(begun[-1], fact, dimensions)
        elif at_ms - last_ms > SILENCE_MS:
            begun.append(fact)
        last_ms = at_ms
    return [(dims_of(fact, dimensions), bucket_of(fact.ended_ms)) for fact in begun if fact.ended_ms >= first_ms]


def _lesser(one: Fact, other: Fact, dimensions: int) -> Fact:
    """Of several at one time one counts, whatever their order."""
    return min(one, other, key=lambda fact: _texts(dims_of(fact, dimensions)))


def _texts(dims: Dims) -> list[str]:
    return [value or "" for value in dims]


def _time(fact: Fact) -> int:
    return fact.ended_ms
