"""The metrics of one collector. They add up over collectors."""

from collections import Counter, defaultdict
from typing import Final

from pipeline.metrics import Registered
from schemas.events import TouchpointEvent

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
#: What vendors call their events is their affair; series are ours.
_MOST_KINDS: Final = 50
_FIELDS: Final = {*TouchpointEvent.model_fields, "event", "message", "request", "type"}


class CollectorMetrics(Registered):
    def __init__(self) -> None:
        super().__init__()
        self.requests = self._counter(
            "cx_collector_requests_total", "Requests, by source and status of the answer.", "source", "status"
        )
        self.seconds = self._histogram(
            "cx_collector_request_seconds", "From the end of a request's head to its answer.", _BUCKETS, "source"
        )
        self.events = self._counter(
            "cx_collector_events_total",
            "Events in requests, by what became of them: mapped, ignored, invalid, copy, order_again.",
            "source",
            "outcome",
        )
        self.ignored = self._counter(
            "cx_collector_ignored_total",
            "Events that are no touchpoints, by what the sender calls them.",
            "source",
            "kind",
        )
        self.invalid = self._counter(
            "cx_collector_invalid_total",
            "Events that could not be mapped, by the field that was wrong.",
            "source",
            "field",
        )
        self.times = self._counter(
            "cx_collector_times_total",
            "Touchpoints whose time is not their sender's: corrected, ahead, missing; and too_late to count.",
            "source",
            "note",
        )
        self.newest = self._gauge(
            "cx_collector_newest_event_timestamp_seconds",
            "Event time of the newest touchpoint that a source has sent.",
            "source",
        )
        self.waiting = self._gauge(
            "cx_collector_unacknowledged", "Keys of touchpoints that Kafka has not acknowledged."
        )
        self.totals: dict[str, Counter[str]] = defaultdict(Counter)
        """By source the same counts, for their rows in ClickHouse: requests, and events by what became of them."""
        self._kinds: dict[str, set[str]] = {}
        self._newest_ms: dict[str, int] = {}

    def note_sent(self, source: str, new: int, copies: int, orders_again: int) -> None:
        for outcome, count in (("mapped", new), ("copy", copies), ("order_again", orders_again)):
            if count:
                self.events.labels(source, outcome).inc(count)
                self.totals[source][outcome] += count

    def note_ignored(self, source: str, kind: str, count: int) -> None:
        known = self._kinds.setdefault(source, set())
        kind = kind[:80].encode("ascii", "backslashreplace").decode()
        if kind not in known and len(known) >= _MOST_KINDS:
            kind = "(other)"
        known.add(kind)
        self.ignored.labels(source, kind).inc(count)
        self.events.labels(source, "ignored").inc(count)
        self.totals[source]["ignored"] += count

    def note_invalid(self, source: str, field: str) -> None:
        self.invalid.labels(source, field if field in _FIELDS else "other").inc()
        self.events.labels(source, "invalid").inc()
        self.totals[source]["invalid"] += 1

    def note_request(self, source: str, status: int, seconds: float) -> None:
        self.requests.labels(source, str(status)).inc()
        self.seconds.labels(source).observe(seconds)
        self.totals[source]["requests"] += 1

    def note_time(self, source: str, note: str, count: int = 1) -> None:
        self.times.labels(source, note).inc(count)
        self.totals[source][note] += count

    def newest_ms(self, source: str) -> int:
        """Event time of its newest touchpoint; 0 where there is none."""
        return self._newest_ms.get(source, 0)

    def note_newest(self, source: str, at_ms: int) -> None:
        if at_ms > self._newest_ms.get(source, -1):
            self._newest_ms[source] = at_ms
            self.newest.labels(source).set(at_ms / 1000)
