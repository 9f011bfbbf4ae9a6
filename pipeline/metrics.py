"""Every metric of the pipeline, in one registry. Base units; times as timestamps, not as ages."""

import contextlib
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from schemas.evidence import EVIDENCE_TOPIC

LATENCY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
_LONG_BUCKETS: Final = (*LATENCY_BUCKETS, 300, 900)


class Described(NamedTuple):
    """What a metric is, as docs/reference/metrics.md lists it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]


class Registered:
    """Metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        """Every metric, in the order of the registry."""

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.described.append(Described(name, "counter", text, labels))
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.described.append(Described(name, "gauge", text, labels))
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        self.described.append(Described(name, "histogram", text, labels))
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class Metrics(Registered):
    """The metrics of one worker. They add up over workers: none is an average or a quantile."""

    def __init__(self) -> None:
        super().__init__()
        self._by_source: list[Gauge] = []

        self.events = self._counter(
            "cx_events_total",
            "Records taken from touchpoint topics, by outcome: accepted, duplicate, dead_letter, tick.",
            "topic",
            "outcome",
        )
        self.dead_letters = self._counter(
            "cx_dead_letters_total", "Refused records, by reason code.", "topic", "reason"
        )
        self.misplaced = self._counter(
            "cx_misplaced_records_total", "Records in another partition than that of their session_id.", "topic"
        )
        self.ticks_ahead = self._counter(
            "cx_ticks_ahead_total",
            "Ticks too far past their record's time or their fetch, which moved nothing.",
            "topic",
        )
        self.unreadable = self._counter(
            "cx_unreadable_records_total", "Records of our own topics that are none of ours, passed over.", "topic"
        )
        self.rejected_messages = self._counter(
            "cx_rejected_messages_total", "Messages that Kafka refuses for good; they are dead letters.", "topic"
        )
        self.flooded = self._gauge(
            "cx_dead_letter_flood",
            "1 where a topic's last minute was refused beyond the share set, else 0.",
            "topic",
        )
        self._progress()
        self._state()
        self._alerting()
        self._storing()
        self.listeners = self._gauge("cx_stream_clients", "Clients that listen to the stream of this worker.")
        build = self._gauge("cx_build_info", "Always 1.", "version")
        build.labels(version("cx-signals")).set(1)

    def _progress(self) -> None:
        self.watermark = self._of_source("cx_watermark_timestamp_seconds", "Watermark of a source, event time.")
        self.event_lag = self._of_source(
            "cx_event_time_lag_seconds",
            "How far the newest event accepted from a source's last batch lay behind the time it was fetched.",
        )
        self.consumer_lag = self._of_source("cx_consumer_lag_records", "Records not yet read of a partition.")
        self.unfinished = self._gauge("cx_unfinished_batches", "Batches not yet delivered, merged and stored.")
        self.batch_seconds = self._histogram(
            "cx_batch_seconds", "Time to process a batch.", LATENCY_BUCKETS, "stage"
        )
        self.signal_latency = self._histogram(
            "cx_signal_latency_seconds",
            "From a record's time (the producer's, unless topics have LogAppendTime) to the first row it is in "
            "being stored.",
            _LONG_BUCKETS,
        )

    def _state(self) -> None:
        self.open_sessions = self._of_source("cx_open_sessions", "Sessions kept of a partition.")
        self.segments = self._of_source("cx_segments", "Segments held by phase two.")
        self.refused_tiles = self._of_source(
            "cx_refused_tiles", "Tiles of sources heard of after phase two had forgotten."
        )
        self.visitors = self._of_source("cx_visitors", "Visitors of whom facts or customers are kept.")
        self.persons = self._of_source(
            "cx_persons", "Persons of whom facts are kept, sessions of nobody known among them."
        )
        self.moments = self._counter(
            "cx_moments_total",
            "Moments, those held out of a rule too, by rule and status: fired or withdrawn.",
            "rule",
            "status",
        )
        self.recoveries = self._counter(
            "cx_recoveries_total", "Rows told of what has become of journeys, by status.", "status"
        )
        self.facts_let_go = self._counter(
            "cx_facts_let_go_total",
            "Facts let go early because one id has too many: it stands for more than one person.",
            "id",
        )
        self.dimension_values = self._gauge(
            "cx_dimension_values",
            "Values told apart of a dimension, or steps, without a list of known ones.",
            "dimension",
        )
        self.dimension_full = self._gauge(
            "cx_dimension_full",
            "1 where these are as many as are told apart: others count as 'other'.",
            "dimension",
        )
        self.long_sessions = self._counter(
            "cx_long_session_batches_total",
            "Batches with a session in them that has more events than are kept.",
            "topic",
        )
        self.checkpoint_time = self._of_source(
            "cx_checkpoint_timestamp_seconds", "When the newest checkpoint of a source was taken."
        )
        self.checkpoint_seconds = self._histogram(
            "cx_checkpoint_seconds",
            "From the cut of a checkpoint to its manifest's acknowledgement.",
            LATENCY_BUCKETS,
        )
        self.checkpoint_cut_seconds = self._histogram(
            "cx_checkpoint_cut_seconds",
            "Time that the worker stands still to cut and encode a checkpoint.",
            LATENCY_BUCKETS,
        )
        self.checkpoint_bytes = self._counter("cx_checkpoint_bytes_total", "Bytes of shards written.")

    def _alerting(self) -> None:
        self.alerts = self._gauge("cx_alerts", "Open alerts, by status: pending, firing.", "status")
        self.pages = self._counter(
            "cx_alertmanager_posts_total",
            "Alerts posted to Alertmanager, by outcome: taken, failed (tried again), refused.",
            "outcome",
        )
        for outcome in ("taken", "failed", "refused"):
            self.pages.labels(outcome)  # from 0 on: a rate does not see how a series begins

    def _storing(self) -> None:
        self.sink_rows = self._counter("cx_sink_rows_total", "Rows stored.", "table")
        self.sink_batches = self._counter("cx_sink_batches_total", "Inserts done.", "table")
        self.sink_errors = self._counter("cx_sink_errors_total", "Failed inserts.", "table")
        self.sink_retries = self._counter(
            "cx_sink_retries_total", "Failed inserts of which the same rows are tried again.", "table"
        )
        self.sink_seconds = self._histogram(
            "cx_sink_insert_seconds", "Time of an insert.", LATENCY_BUCKETS, "table"
        )
        self.sink_waiting = self._gauge("cx_sink_waiting_rows", "Rows not yet stored.")

    def _of_source(self, name: str, text: str) -> Gauge:
        """A gauge of each partition that this worker has: ``topic:partition``."""
        gauge = self._gauge(name, text, "source")
        self._by_source.append(gauge)
        return gauge

    def stored(self, table: str, rows: int, seconds: float) -> None:
        self.sink_rows.labels(table).inc(rows)
        self.sink_batches.labels(table).inc()
        self.sink_seconds.labels(table).observe(seconds)

    def sink_failed(self, table: str, is_tried_again: bool) -> None:
        self.sink_errors.labels(table).inc()
        if is_tried_again:
            self.sink_retries.labels(table).inc()

    def acquired(self, source: str) -> None:
        """A partition taken on counts as checkpointed: one that never is again must not go without a series."""
        self.checkpoint_time.labels(source).set(time.time())

    def forget(self, source: str) -> None:
        """Drop the series of a partition that another worker has now: they would stand still for ever."""
        if source.startswith(EVIDENCE_TOPIC):
            self.alerts.clear()
        for gauge in self._by_source:
            with contextlib.suppress(KeyError):
                gauge.remove(source)
