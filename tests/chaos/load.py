"""A shop's disturbed events at a steady rate, from a thread, whatever becomes of the pipeline."""

import random
import threading
import time
from typing import Any, Final

from pipeline.kafka.clients import new_producer
from pipeline.settings import KafkaSettings
from pipeline.tools.simulator.disturbance import Rates, disturb
from pipeline.tools.simulator.traffic import ShopSettings, traffic
from schemas.ticks import TICK_HEADER
from tests.chaos.transactions import Transactions

RATES: Final = Rates(out_of_order=0.1, late=0.005, duplicate=0.1, broken=0.01)
#: Of so many messages one has odd headers, another one an odd time of its record.
ODD: Final = 100
_ODD_HEADERS: Final = (
    [("trace", b"\xff\xfe")],
    [(TICK_HEADER, b"tomorrow"), (TICK_HEADER, None)],
    [("", b""), ("x" * 5_000, b"y" * 5_000)],
)
_1970_MS: Final = 1
#: Event time passes so many times as fast as the wall clock: half an hour, a cart's timeout, in a minute.
SPEED: Final = 30.0


class Timeline:
    """Event time of one system's loads, one after the other; it ends in the present."""

    def __init__(self, hours: float = 48.0) -> None:
        self.next_ms = int(time.time() * 1000) - round(hours * 3_600_000)
        self.seed = 0


class Load:
    """Sends until ``stop``. ``sent``: messages handed to Kafka's client."""

    def __init__(
        self,
        kafka: KafkaSettings,
        timeline: Timeline,
        events_per_s: float = 400.0,
        *,
        odd: bool = False,
        transactions: bool = False,
    ) -> None:
        """``odd``: some records have odd headers or times; ``transactions``: some events come in such, too."""
        timeline.seed += 1
        self._odd = odd
        self._chance = random.Random(timeline.seed)
        self._transactions = Transactions(kafka, timeline.next_ms, timeline.seed) if transactions else None
        self._timeline = timeline
        self._producer = new_producer(kafka)
        shop = ShopSettings(events_per_s / SPEED, seed=timeline.seed, is_steady=True)
        self._sendings = disturb(traffic(shop, timeline.next_ms), RATES, timeline.seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self._thread.start()

    def _run(self) -> None:
        started, first_ms = time.monotonic(), self._timeline.next_ms
        for sending in self._sendings:
            due = started + (sending.send_ms - first_ms) / 1000 / SPEED
            while (pause := due - time.monotonic()) > 0 and not self._stopping.is_set():
                self._producer.poll(0)
                time.sleep(min(pause, 0.05))
            if self._stopping.is_set():
                self._timeline.next_ms = sending.send_ms + 1
                return
            self._send(sending.event.channel, sending.event.session_id, sending.event.payload)

    def _send(self, channel: str, key: str, payload: bytes) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.produce(f"touchpoints.{channel}", key=key, value=payload, **self._oddity())
            except BufferError:
                self._producer.poll(0.1)
            else:
                self.sent += 1
                return

    def _oddity(self) -> dict[str, Any]:
        drawn = self._chance.randrange(ODD) if self._odd else ODD
        if drawn == 0:
            return {"headers": self._chance.choice(_ODD_HEADERS)}
        return {"timestamp": _1970_MS} if drawn == 1 else {}

    def stop(self) -> int:
        """End it when the broker has everything; gives how many were sent."""
        self._stopping.set()
        self._thread.join(30)
        if self._transactions is not None:
            ended = self._transactions.stop()
            assert min(ended[outcome] for outcome in ("committed", "aborted", "left open")) > 0, ended
        assert self._producer.flush(120) == 0
        return self.sent
