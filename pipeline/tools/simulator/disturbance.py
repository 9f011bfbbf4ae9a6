"""What networks and producers do to events: delays, repeats, breakage. At settable rates."""

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.tools.simulator.traffic import Event

_BREAKAGES: Final = (
    lambda payload: payload[: len(payload) // 2],
    lambda payload: payload.replace(b'"type":"', b'"type":"un'),
    lambda payload: payload.replace(b'"session_id":"', b'"session":"'),
    lambda payload: b"\xff" + payload,
    lambda payload: payload.replace(b'"event_id":"', b'"event_id":7,"was":"'),
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of events, 0 to 1."""

    out_of_order: float = 0.03
    """Sent up to 30 s late."""
    late: float = 0.002
    """Sent 5 to 50 min late."""
    duplicate: float = 0.01
    """Sent twice, the second time up to 60 s later."""
    broken: float = 0.001
    """Damaged so that it is no event any more."""


class Sending(NamedTuple):
    """An event as it is sent. ``send_ms``: when, in event time."""

    send_ms: int
    event: Event


def disturb(events: Iterable[Event], rates: Rates, seed: int) -> Iterator[Sending]:
    """The events in the order in which they are sent; ends only when ``events`` do."""
    chance = random.Random(f"{seed}/disturbance")
    waiting: list[tuple[int, int, Event]] = []
    number = 0
    for event in events:
        while waiting and waiting[0][0] <= event.at_ms:
            send_ms, _, ready = heapq.heappop(waiting)
            yield Sending(send_ms, ready)
        for delay_ms in _delays(chance, rates):
            number += 1
            heapq.heappush(waiting, (event.at_ms + delay_ms, number, _maybe_broken(event, chance, rates)))
    while waiting:
        send_ms, _, ready = heapq.heappop(waiting)
        yield Sending(send_ms, ready)


def _delays(chance: random.Random, rates: Rates) -> list[int]:
    first = 0
    if chance.random() < rates.late:
        first = chance.randrange(300_000, 3_000_000)
    elif chance.random() < rates.out_of_order:
        first = chance.randrange(1, 30_000)
    if chance.random() < rates.duplicate:
        return [first, first + chance.randrange(1, 60_000)]
    return [first]


def _maybe_broken(event: Event, chance: random.Random, rates: Rates) -> Event:
    if chance.random() >= rates.broken:
        return event
    return event._replace(payload=chance.choice(_BREAKAGES)(event.payload))
