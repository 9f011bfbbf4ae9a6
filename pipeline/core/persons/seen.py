"""When persons come: a function of the set of a person's facts.

Facts with no more than half an hour between them are one visit, as sessions are told apart in web analytics; its
first fact counts, with the values of its dimensions. This adds up over time, as a count of different persons does
not, and moments of a window are told against it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pipeline.core.persons.counts import Place, dims_of
from pipeline.model.dimensions import Dims
from pipeline.model.tiles import bucket_of
from schemas.facts import Fact

SILENCE_MS: Final = 1_800_000
"""After so long without a fact a person comes anew."""

Times = dict[int, Dims]
"""When there were facts, ms, and the dimensions that count: of several at one time the least."""


def times_of(facts: Iterable[Fact], dimensions: int) -> Times:
    """``facts``: those that hold."""
    found: Times = {}
    for fact in facts:
        at_ms, dims = fact.ended_ms, dims_of(fact, dimensions)
        before = found.get(at_ms)
        if before is None or _texts(dims) < _texts(before):
            found[at_ms] = dims
    return found


def changes(before: Mapping[int, Dims], now: Mapping[int, Dims]) -> Iterator[tuple[Place, int]]:
    """Where persons have come that had not before (1), or have not (-1)."""
    first_ms = min([at_ms for at_ms in (*before, *now) if before.get(at_ms) != now.get(at_ms)], default=None)
    if first_ms is None:
        return
    for place in _places(before, first_ms):
        yield place, -1
    for place in _places(now, first_ms):
        yield place, 1


def _places(times: Mapping[int, Dims], first_ms: int) -> Iterator[Place]:
    """Where visits begin that do not begin before a time."""
    last_ms: int | None = None
    for at_ms in sorted(times):
        if at_ms >= first_ms and (last_ms is None or at_ms - last_ms > SILENCE_MS):
            yield times[at_ms], bucket_of(at_ms)
        last_ms = at_ms


def _texts(dims: Dims) -> list[str]:
    return [value or "" for value in dims]
