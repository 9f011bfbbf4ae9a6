"""Events of a busy shop for the topics that all programs of a comparison read."""

import itertools
import time
from collections.abc import Iterator

from pipeline.settings import Settings
from pipeline.tools.replay.send import Sender
from pipeline.tools.simulator.disturbance import Rates, disturb
from pipeline.tools.simulator.traffic import Event, ShopSettings, traffic

_RATE = 2_000.0
"""Events a second of event time that are simulated; a larger shop is several of them at once."""
_WARM_UP_S = 300.0
"""So long before the first event taken, so that sessions of every age are under way."""


def simulated(count: int, copies: int = 1, until_ms: int | None = None) -> Iterator[Event]:
    """``count`` events of a shop with 2,000 x ``copies`` a second, some late and some twice, ending about now.

    ``until_ms``: when they end instead; the events are then the same each time.

    A worker at its limit in production sees event time pass at the wall clock's pace. A small shop replayed
    fast has more windows for each event than any shop that a worker would be busy with.
    """
    skipped, taken = round(_WARM_UP_S * _RATE), -(-count // copies)
    until_ms = int(time.time() * 1000) if until_ms is None else until_ms
    start_ms = until_ms - round((taken + skipped) / _RATE * 1000 * 1.5)
    rates = Rates(out_of_order=0.03, late=0.0, duplicate=0.01, broken=0.0)
    sendings = disturb(traffic(ShopSettings(_RATE, seed=7), start_ms), rates, seed=7)
    some = (sending.event for sending in itertools.islice(sendings, skipped, skipped + taken))
    return itertools.islice((_copy(event, number) for event in some for number in range(copies)), count)


def _copy(event: Event, number: int) -> Event:
    """The event in a session of its own."""
    if not number:
        return event
    session_id = f"{number}-{event.session_id}"
    payload = event.payload.replace(b'"session_id":"', b'"session_id":"%d-' % number)
    return event._replace(session_id=session_id, payload=payload)


def send(settings: Settings, events: Iterator[Event]) -> tuple[int, float]:
    """Put them into the topics; gives their number and their mean size in bytes."""
    sender, count, size = Sender(settings.kafka), 0, 0
    for count, event in enumerate(events, start=1):
        sender.send(event.channel, event.session_id, event.payload)
        size += len(event.payload)
        if count % 1_000 == 0:
            sender.poll()
    sender.finish()
    return count, size / count
