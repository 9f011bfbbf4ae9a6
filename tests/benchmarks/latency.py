"""How long an event takes to a figure on the console, to rows on its topic and in ClickHouse, and to a moment.

A paced stream of a busy shop keeps the worker at a share of what it can do; once in a while an event comes from a
store that nobody has seen before. Its segment's first figure is that event's, whatever else goes on. A row is put
out when its window is over and every source has passed its end (:func:`row_from`); the console shows the window
that is filling. With each goes a session in which paying fails twice and the customer clicks in anger, of nobody
known or of a visitor, which is one stage more: the moment is told at once.

    python -m tests.benchmarks.latency --rates 1000 25000 50000
"""

import argparse
import json
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from deploy.embedded.stack import Stack
from pipeline.cli.common import clickhouse_client
from pipeline.core.windows.window_ends import WINDOWS
from pipeline.kafka.clients import consumer_config
from pipeline.kafka.logs import partitions_of
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.settings import Settings
from pipeline.tools.replay.send import Sender
from schemas.moments import MOMENTS_TOPIC
from schemas.signals import ABANDONMENT_TOPIC, SATISFACTION_TOPIC
from schemas.times import format_rfc3339
from tests.benchmarks.backlog import simulated
from tests.benchmarks.whole_job import cpu_seconds, is_ready, stack_of
from tests.support import event_json

_SLICE_S: Final = 0.02
_PROBE: Final = "store_id=probe-"
_WARM_UP_S: Final = 15.0
_WAIT_S: Final = 30.0


@dataclass
class Probes:
    """When each was appended and first seen, seconds of the wall clock."""

    sent: dict[str, float] = field(default_factory=dict)
    on_topic: dict[str, float] = field(default_factory=dict)
    in_store: dict[str, float] = field(default_factory=dict)
    on_console: dict[str, float] = field(default_factory=dict)
    angered: dict[str, float] = field(default_factory=dict)
    """By person, when the last event was appended of those that a moment needs."""
    told: dict[str, float] = field(default_factory=dict)

    def moments(self) -> list[float]:
        """From that on to the message."""
        return sorted(self.told[who] - at for who, at in self.angered.items() if who in self.told)

    def delays(self, seen: dict[str, float]) -> list[float]:
        """From being appended on."""
        return sorted(seen[name] - at for name, at in self.sent.items() if name in seen)

    def own_delays(self, seen: dict[str, float]) -> list[float]:
        """From when on a row may hold the event."""
        return sorted(seen[name] - row_from(at) for name, at in self.sent.items() if name in seen)


def row_from(sent_s: float) -> float:
    """When the watermark, which trails the newest event, has passed the end of the event's first window."""
    shortest_step_s = min(window.step_ms for window in WINDOWS) / 1000
    return sent_s - sent_s % shortest_step_s + shortest_step_s + WATERMARK_DELAY_MS / 1000


class Stream:
    """Events at the wall clock's time, so many a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._some = list(simulated(50_000))
        self._at = 0
        self._round = 0

    def next(self, seconds: float) -> Iterator[tuple[str, str, bytes]]:
        """Those of a stretch of time that ends now: channel, session, payload."""
        now_ms = round(time.time() * 1000)
        for _ in range(round(self._rate * seconds)):
            event = self._some[self._at]
            stamp = b'"occurred_at":"' + format_rfc3339(now_ms).encode() + b'"'
            start = event.payload.index(b'"occurred_at":"')
            payload = event.payload[:start] + stamp + event.payload[start + len(stamp) :]
            mark = f"{self._round}-"
            payload = payload.replace(b'"session_id":"', b'"session_id":"' + mark.encode())
            yield event.channel, mark + event.session_id, payload
            self._at += 1
            if self._at == len(self._some):
                self._at, self._round = 0, self._round + 1


def watch_topics(settings: Settings, probes: Probes, done: threading.Event) -> None:
    consumer = Consumer(consumer_config(settings.kafka, "bench-latency"))
    sources = partitions_of(settings.kafka, (ABANDONMENT_TOPIC, SATISFACTION_TOPIC, MOMENTS_TOPIC))
    consumer.assign([TopicPartition(*source, 0) for source in sources])
    while not done.is_set():
        for message in consumer.consume(10_000, timeout=0.02):
            key = message.key()
            if message.error() is not None or not isinstance(key, bytes):
                continue
            if key.startswith(_PROBE.encode()):
                probes.on_topic.setdefault(key.decode(), time.time())
            elif message.topic() == MOMENTS_TOPIC:
                probes.told.setdefault(key.decode(), time.time())
    consumer.close()


def watch_store(settings: Settings, probes: Probes, done: threading.Event) -> None:
    client = clickhouse_client(settings)
    newest = f"{_PROBE}0"
    query = "SELECT DISTINCT segment FROM cx.signals WHERE signal = 'friction' AND segment >= %(newest)s AND "
    query += f"startsWith(segment, '{_PROBE}')"
    while not done.is_set():
        for (segment,) in client.execute(query, {"newest": newest}):
            probes.in_store.setdefault(segment, time.time())
        time.sleep(0.03)
    client.disconnect()


def watch_console(stack: Stack, probes: Probes, done: threading.Event) -> None:
    """The stream that the page listens to: rows of all stores, in the shortest window."""
    address = f"http://127.0.0.1:{stack.web_port}/api/v1/stream?segment=all&window=1m"
    with urllib.request.urlopen(address, timeout=60) as stream:
        for line in stream:
            if done.is_set():
                return
            if not line.startswith(b"data:") or _PROBE.encode() not in line:
                continue
            now = time.time()
            for _, segment, *_ in json.loads(line.removeprefix(b"data:")).get("rows", []):
                if segment.startswith(_PROBE):
                    probes.on_console.setdefault(segment, now)


def measure(stack: Stack, settings: Settings, rate: float, seconds: float) -> tuple[Probes, float]:
    """Probes at a rate, and the share of a core that the worker took."""
    child = stack.run("worker", [sys.executable, "-m", "pipeline", "worker"], {})
    child.wait_until(lambda: is_ready(stack), 60)
    probes, done = Probes(), threading.Event()
    watchers = [
        threading.Thread(target=watch, args=(settings, probes, done)) for watch in (watch_topics, watch_store)
    ]
    watchers.append(threading.Thread(target=watch_console, args=(stack, probes, done), daemon=True))
    sender, stream = Sender(settings.kafka), Stream(rate)
    started = slice_at = time.monotonic()
    next_probe, cpu = started + _WARM_UP_S, 0.0
    for watcher in watchers:
        watcher.start()
    until = started + _WARM_UP_S + seconds
    # The stream goes on until the last probe's row is there: without it time would go on by ticks only.
    while (now := time.monotonic()) < until or (len(probes.in_store) < len(probes.sent) and now < until + _WAIT_S):
        for channel, session_id, payload in stream.next(now - slice_at):
            sender.send(channel, session_id, payload)
        slice_at = now
        if next_probe <= now < until:
            cpu = cpu or cpu_seconds(child.pid)
            _probe(sender, probes)
            next_probe += 0.5
        sender.poll()
        time.sleep(max(0.0, _SLICE_S - (time.monotonic() - now)))
    share = (cpu_seconds(child.pid) - cpu) / (time.monotonic() - started - _WARM_UP_S)
    done.set()
    for watcher in watchers:
        watcher.join(5)
    sender.finish()
    child.stop()
    return probes, share


def _probe(sender: Sender, probes: Probes) -> None:
    name = f"probe-{len(probes.sent):05d}"
    now = time.time()
    payload = event_json(
        0, event_id=name, session_id=name, store_id=name, occurred_at=format_rfc3339(round(now * 1000))
    )
    probes.sent[f"store_id={name}"] = now
    sender.send("web", name, payload)
    _anger(sender, probes, f"anger-{len(probes.sent):05d}")


def _anger(sender: Sender, probes: Probes, name: str) -> None:
    visitor = name if len(probes.angered) % 2 else None
    now_ms = round(time.time() * 1000)
    for place, kind in enumerate(("error_shown", "error_shown", "rage_clicked")):
        fields = {"session_id": name, "visitor_id": visitor, "step": "payment", "type": kind}
        at = format_rfc3339(now_ms - 2 + place)
        sender.send("web", name, event_json(0, event_id=str(place), occurred_at=at, **fields))
    probes.angered[f"s:web:{name}" if visitor is None else f"v:{name}"] = now_ms / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[1_000.0, 25_000.0, 50_000.0])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    print(f"{'events/s':>9} {'where':<11} {'probes':>7} {'p50':>6} {'p99':>7} {'max':>7} s   of it ours", end="")
    print(f"{'p50':>5} {'p99':>7} {'max':>7} s   cores of the worker")
    for rate in options.rates:
        with stack_of() as (stack, settings):
            probes, share = measure(stack, settings, rate, options.seconds)
        places = (("console", probes.on_console), ("topic", probes.on_topic), ("ClickHouse", probes.in_store))
        for where, seen in places:
            own = probes.own_delays(seen) if where != "console" else probes.delays(seen)
            figures = f"{figures_of(probes.delays(seen))}  {'':11}{figures_of(own)}"
            found = f"{len(seen):3}/{len(probes.sent):<3}"
            print(f"{rate:9,.0f} {where:<11} {found}{figures} {share:10.2f}", flush=True)
        found = f"{len(probes.moments()):3}/{len(probes.angered):<3}"
        print(f"{rate:9,.0f} {'moment':<11} {found}{figures_of(probes.moments())}", flush=True)


def figures_of(delays: list[float]) -> str:
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    return f"{cuts[49]:7.2f} {cuts[98]:7.2f} {delays[-1]:7.2f}"


if __name__ == "__main__":
    main()
