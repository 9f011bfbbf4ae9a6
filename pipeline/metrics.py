"""Every metric of the pipeline, in one registry. Base units; times as timestamps, not as ages."""

import contextlib
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.events = Counter(
            "cx_events_total",
            "Records taken from touchpoint topics, by outcome: accepted, duplicate, dead_letter, tick.",
            ["topic", "outcome"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "cx_dead_letters_total",
            "Refused records, by reason code.",
            ["topic", "reason"],
            registry=registry,
        )
        self.flooded = Gauge(
            "cx_dead_letter_flood",
            "1 where a topic's last minute was refused beyond the share set, else 0.",
            ["topic"],
            registry=registry,
        )
        self.watermark = Gauge(
            "cx_watermark_timestamp_seconds",
            "Watermark of a source.",
            ["source"],
            registry=registry,
        )
        self.consumer_lag = Gauge(
            "cx_consumer_lag_records",
            "Records not yet read of a partition.",
            ["source"],
            registry=registry,
        )
        self.open_sessions = Gauge(
            "cx_open_sessions",
            "Sessions kept of a partition.",
            ["source"],
            registry=registry,
        )
        self.segments = Gauge("cx_segments", "Segments held by phase two.", ["source"], registry=registry)
        self.crowded_values = Gauge(
            "cx_dimension_values",
            "Distinct values of a dimension that has more than 2,000 and no list of known ones.",
            ["dimension"],
            registry=registry,
        )
        self.alerts = Gauge("cx_alerts", "Open alerts.", ["status"], registry=registry)
        self.pages = Counter(
            "cx_alertmanager_posts_total",
            "Alerts posted to Alertmanager, by outcome: taken, failed (tried again), refused.",
            ["outcome"],
            registry=registry,
        )
        self.refused_tiles = Gauge(
            "cx_refused_tiles",
            "Tiles of sources heard of after phase two had forgotten.",
            ["source"],
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "cx_batch_seconds",
            "Time to process a batch.",
            ["stage"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.sink_rows = Counter("cx_sink_rows_total", "Rows stored.", ["table"], registry=registry)
        self.sink_errors = Counter("cx_sink_errors_total", "Failed inserts.", ["table"], registry=registry)
        self.sink_seconds = Histogram(
            "cx_sink_insert_seconds",
            "Time of an insert.",
            ["table"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.sink_waiting = Gauge("cx_sink_waiting_rows", "Rows not yet stored.", registry=registry)
        self.checkpoint_time = Gauge(
            "cx_checkpoint_timestamp_seconds",
            "When the newest checkpoint of a source was taken.",
            ["source"],
            registry=registry,
        )
        self.checkpoint_seconds = Histogram(
            "cx_checkpoint_seconds",
            "From the cut of a checkpoint to its manifest's acknowledgement.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.checkpoint_cut_seconds = Histogram(
            "cx_checkpoint_cut_seconds",
            "Time that the worker stands still to cut and encode a checkpoint.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.checkpoint_bytes = Counter("cx_checkpoint_bytes_total", "Bytes of shards written.", registry=registry)
        self.unfinished = Gauge(
            "cx_unfinished_batches", "Batches not yet delivered, merged and stored.", registry=registry
        )
        build = Gauge("cx_build_info", "Always 1.", ["version"], registry=registry)
        build.labels(version("cx-signals")).set(1)

    def stored(self, table: str, rows: int, seconds: float) -> None:
        self.sink_rows.labels(table).inc(rows)
        self.sink_seconds.labels(table).observe(seconds)

    def forget(self, source: str) -> None:
        """Drop the series of a partition that another worker has now: they would stand still for ever."""
        gauges = (
            self.watermark,
            self.consumer_lag,
            self.open_sessions,
            self.segments,
            self.refused_tiles,
            self.checkpoint_time,
        )
        for gauge in gauges:
            with contextlib.suppress(KeyError):
                gauge.remove(source)

    def sink_failed(self, table: str) -> None:
        self.sink_errors.labels(table).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
