"""A shop's disturbed events at a steady rate, from a thread, whatever becomes of the pipeline."""

import threading
import time
from typing import Final

from pipeline.kafka.clients import new_producer
from pipeline.settings import KafkaSettings
from pipeline.simulator.disturbance import Rates, disturb
from pipeline.simulator.traffic import ShopSettings, traffic

RATES: Final = Rates(out_of_order=0.1, late=0.005, duplicate=0.1, broken=0.01)
#: Event time passes so many times as fast as the wall clock: half an hour, a cart's timeout, in a minute.
SPEED: Final = 30.0


class Timeline:
    """Event time of one system's loads, one after the other; it ends in the present."""

    def __init__(self, hours: float = 48.0) -> None:
        self.next_ms = int(time.time() * 1000) - round(hours * 3_600_000)
        self.seed = 0


class Load:
    """Sends until ``stop``. ``sent``: messages handed to Kafka's client."""

    def __init__(self, kafka: KafkaSettings, timeline: Timeline, events_per_s: float = 400.0) -> None:
        timeline.seed += 1
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
                self._producer.produce(f"touchpoints.{channel}", key=key, value=payload)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self.sent += 1
                return

    def stop(self) -> int:
        """End it when the broker has everything; gives how many were sent."""
        self._stopping.set()
        self._thread.join(30)
        assert self._producer.flush(120) == 0
        return self.sent
