"""Says where another till should open: ``python -m docs.examples.staffing_bot``.

``queue_abandonment`` shows that people leave a queue. The bot goes by the lower end of its interval, so three
customers do not open a till.
"""

import os
from datetime import datetime, timedelta

from pipeline.subscriptions import subscribe
from schemas.plain import shown
from schemas.signals import SignalMessage
from schemas.times import parse_rfc3339

LEAVING = 0.05
"""Open a till where at least this share leaves, with 95 % certainty."""
QUIET = timedelta(minutes=15)
"""A till takes a while to help: no store is named twice within it."""


def is_of_a_queue(signal: SignalMessage) -> bool:
    return (
        signal.signal == "queue_abandonment"
        and signal.window == "15m"
        and signal.segment.startswith("store_id=")
        and signal.lower >= LEAVING
    )


def main() -> None:
    servers = os.environ.get("CX_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    named: dict[str, datetime] = {}
    with subscribe(SignalMessage, servers, group="staffing-bot", where=is_of_a_queue) as queues:
        for queue in queues:
            end = datetime.fromtimestamp(parse_rfc3339(queue.window_end) / 1000)
            if queue.segment in named and end < named[queue.segment] + QUIET:
                continue
            named[queue.segment] = end
            store = shown(queue.segment.removeprefix("store_id="))
            left, joined = queue.numerator, queue.denominator
            print(f"{store}: open a till. {left:.0f} of {joined:.0f} left the queue up to {end:%H:%M}", flush=True)


if __name__ == "__main__":
    main()
