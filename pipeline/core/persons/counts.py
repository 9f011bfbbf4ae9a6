"""What a journey adds to the tiles of its segments: whether its person is known, and what has become of it.

It counts at its end, and once more an hour, a day and seven days after that, when these have passed. What it adds
depends on its row and on what has passed alone: taken back and given anew it leaves no trace.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline.core.persons.recoveries import Recovery
from pipeline.model.dimensions import Dims
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import ASKED_AFTER_MS, RECOVERABLE
from pipeline.model.tiles import (
    Counters,
    asked_counters,
    bucket_of,
    elsewhere_counter,
    known_counter,
    recovered_value_counters,
)
from schemas.facts import Fact
from schemas.recoveries import ELSEWHERE, RECOVERED
from schemas.units import to_units

Place = tuple[Dims, int]
"""Dimensions, and the start of the bucket in ms."""


class _Names(NamedTuple):
    known: str
    elsewhere: str
    asked: list[tuple[int, str, str]]
    """After how many ms, and what is counted of it then."""
    value: str
    squares: str


def _names(funnel: str) -> _Names:
    asked = [(after_ms, *asked_counters(funnel, after)) for after, after_ms in ASKED_AFTER_MS.items()]
    return _Names(known_counter(funnel), elsewhere_counter(funnel), asked, *recovered_value_counters(funnel))


_OF_FUNNEL: Final = {funnel: _names(funnel) for funnel in sorted(RECOVERABLE)}
_LAST_MS: Final = max(ASKED_AFTER_MS.values())


def dims_of(journey: Fact, dimensions: int) -> Dims:
    """Its values of so many dimensions, the channel first. In a statement that is not ours some may be missing."""
    dims: Dims = (journey.channel, *journey.dims)
    return (*dims, *[None] * (dimensions - len(dims)))[:dimensions]


def counted(one: Recovery, passed_ms: int | None) -> Iterator[tuple[int, Counters]]:
    """Buckets, and what it adds to them. ``passed_ms``: what all sources have, by whole steps."""
    journey = one.journey
    names = _OF_FUNNEL.get(journey.funnel)
    if names is None:
        return
    is_elsewhere = one.status == ELSEWHERE
    yield bucket_of(journey.ended_ms), {names.known: 1, names.elsewhere: 1} if is_elsewhere else {names.known: 1}
    if is_elsewhere or passed_ms is None:
        return
    for after_ms, asked, recovered in names.asked:
        at_ms = journey.ended_ms + after_ms
        if at_ms >= passed_ms:
            return
        counters = {asked: 1}
        if one.status == RECOVERED and one.purchase is not None and one.purchase.at_ms <= at_ms:
            counters[recovered] = 1
            if after_ms == _LAST_MS:
                units = to_units(one.value)
                counters[names.value] = units
                counters[names.squares] = units * units
        yield bucket_of(at_ms), counters


def buckets(journey: Fact, passed_ms: int | None) -> Iterator[int]:
    """All that it may have been counted in, whatever had become of it."""
    yield bucket_of(journey.ended_ms)
    for after_ms in ASKED_AFTER_MS.values():
        if passed_ms is not None and journey.ended_ms + after_ms < passed_ms:
            yield bucket_of(journey.ended_ms + after_ms)


def is_asked_between(journey: Fact, before_ms: int | None, passed_ms: int | None) -> bool:
    """Whether it is asked what has become of it in the time that has passed since."""
    if passed_ms is None:
        return False
    return any(
        (before_ms is None or journey.ended_ms + after_ms >= before_ms) and journey.ended_ms + after_ms < passed_ms
        for after_ms in ASKED_AFTER_MS.values()
    )


def next_asked_ms(journey: Fact, passed_ms: int | None) -> int:
    """When it will be asked next; NEVER_MS where it has been asked for the last time."""
    for after_ms in ASKED_AFTER_MS.values():
        at_ms = journey.ended_ms + after_ms
        if passed_ms is None or at_ms >= passed_ms:
            return at_ms
    return NEVER_MS
