"""Shops drawn for the laws: checkouts of two partitions, one hour of which is broken and one silent."""

import random
from collections.abc import Iterator

from pipeline.model.records import Record
from pipeline.tools.verify.naive_types import Source
from tests.support import event_json, log_of

MINUTE = 60_000
HOUR = 60 * MINUTE
SOURCES: tuple[Source, ...] = (("touchpoints.web", 0), ("touchpoints.web", 1))
BROKEN, SILENT = 9, 6


def checkouts(chance: random.Random, hours: int, prefix: str) -> Iterator[tuple[int, bytes]]:
    """Some 40 an hour, most of them completed; none in one hour, few completed in another; by time."""
    for number in range(hours * 40):
        at_ms = chance.randrange(hours * HOUR)
        hour = at_ms // HOUR
        if hour == SILENT:
            continue
        session = f"{prefix}{number}"
        device = chance.choice(["mobile", "mobile", None])
        yield at_ms, event_json(at_ms, type="checkout_started", event_id="a", session_id=session, device=device)
        if chance.random() < (0.1 if hour == BROKEN else 0.8):
            ended = at_ms + round(chance.expovariate(1 / (3 * MINUTE)))
            kind = "order_completed" if chance.random() < 0.95 else "order_cancelled"
            yield ended, event_json(ended, type=kind, event_id="b", session_id=session, device=device)


def shop(seed: int, hours: int) -> dict[Source, list[tuple[int, bytes]]]:
    chance = random.Random(seed)
    return {source: sorted(checkouts(chance, hours, f"{source[1]}-")) for source in SOURCES}


def logs(events: dict[Source, list[tuple[int, bytes]]], late_ms: int, seed: int) -> dict[Source, list[Record]]:
    chance = random.Random(seed)
    last = max(at_ms for some in events.values() for at_ms, _ in some)
    found = {}
    for source, some in events.items():
        disturbed = sorted(some, key=lambda event: event[0] + chance.uniform(0, late_ms))
        found[source] = log_of([*(event for _, event in disturbed), last + 2 * HOUR])
    return found
