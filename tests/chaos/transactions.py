"""Producers with transactions beside the load: committed, aborted, and left open by a producer that dies."""

import itertools
import threading
import time
from typing import Final

from confluent_kafka import KafkaException, Producer

from pipeline.settings import KafkaSettings
from pipeline.tools.simulator.traffic import ShopSettings, traffic

_OPEN_MS: Final = 5_000
"""After so long the broker ends a transaction that its producer has left."""
_EVENTS: Final = 5
_ATTEMPT_S: Final = 10.0
#: One left open holds up its partitions until the broker ends it, ten seconds later or more: rarely, once soon.
_OUTCOMES: Final = ("committed", "aborted", "left open", *("committed", "aborted") * 30)


class Transactions:
    """One after the other until ``stop``; an outage is waited out. ``ended``: how many, by outcome."""

    def __init__(self, kafka: KafkaSettings, first_ms: int, seed: int) -> None:
        self.ended = {"committed": 0, "aborted": 0, "left open": 0, "failed": 0}
        self._servers, self._name = kafka.bootstrap_servers, f"chaos-{seed}"
        self._events = traffic(ShopSettings(0.25, seed=10_000 + seed), first_ms)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        outcomes = itertools.cycle(_OUTCOMES)
        outcome = next(outcomes)
        for number in itertools.count():
            if self._stopping.wait(0.5):
                return
            try:
                self._one(number, outcome)
            except KafkaException:  # an outage: the same once more, or the one that is left open might never be
                self.ended["failed"] += 1
            else:
                self.ended[outcome] += 1
                outcome = next(outcomes)

    def _one(self, number: int, outcome: str) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "transactional.id": f"{self._name}-{number}",
                "transaction.timeout.ms": _OPEN_MS,
                "partitioner": "murmur2_random",
            }
        )
        producer.init_transactions(_ATTEMPT_S)
        producer.begin_transaction()
        for event in itertools.islice(self._events, _EVENTS):
            producer.produce(f"touchpoints.{event.channel}", key=event.session_id, value=event.payload)
        producer.flush(_ATTEMPT_S)
        if outcome == "committed":
            producer.commit_transaction(_ATTEMPT_S)
        elif outcome == "aborted":
            producer.abort_transaction(_ATTEMPT_S)

    def stop(self) -> dict[str, int]:
        """End them, each outcome seen, and wait until the broker has ended those left open."""
        until_s = time.monotonic() + 90
        while not all(self.ended[outcome] for outcome in _OUTCOMES) and time.monotonic() < until_s:
            time.sleep(0.1)
        self._stopping.set()
        self._thread.join(4 * _ATTEMPT_S)
        assert not self._thread.is_alive()
        time.sleep(2 * _OPEN_MS / 1000 if self.ended["left open"] or self.ended["failed"] else 0)
        return self.ended
