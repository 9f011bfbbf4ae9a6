"""Alerts to Alertmanager: firing ones again and again, resolved ones until it has taken them.

What fires is read from detection's own state, so that the worker which takes its partition over goes on.
Alertmanager is told a time at which an alert ends if nothing more is heard of it, as Prometheus does.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.core.detection.incidents import FIRING, OPEN, Alert
from pipeline.core.detection.sentence import sentence
from pipeline.metrics import Metrics
from pipeline.stages.lease import Leases
from schemas.times import format_rfc3339
from sinks.alertmanager import Pager, Posting
from sinks.base import SinkRejectedError, SinkUnavailableError

logger = logging.getLogger(__name__)
_ENDS_AFTER_REPEATS: Final = 4
_LONGEST_PAUSE_S: Final = 60.0


class Paging:
    """Posts the alerts of the detector that this worker has. ``step`` is to be called every second or so."""

    def __init__(
        self,
        leases: Leases,
        pager: Pager,
        metrics: Metrics,
        repeat_s: float,
        oldest_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``oldest_s``: alerts whose event time lies further back than that are history; nobody is called."""
        self._leases = leases
        self._pager = pager
        self._metrics = metrics
        self._repeat_s = repeat_s
        self._oldest_s = oldest_s
        self._clock = clock
        self._resolved: dict[str, Alert] = {}
        self._posted: dict[str, tuple[int, Posting]] = {}
        """By id of what fires at Alertmanager: the event time it was posted with last, and what was posted."""
        self._next = 0.0
        self._not_before = 0.0
        self._pause_s = 0.0

    def note(self, alerts: Iterable[Alert]) -> None:
        """Take alerts that have changed; of those that have ended only this tells."""
        for alert in alerts:
            if alert.status not in OPEN:
                self._resolved[alert.alert_id] = alert

    async def step(self) -> None:
        """Post if anything has changed or is to be repeated."""
        if not self._leases.detectors:
            self._resolved.clear()
            self._posted.clear()
            return
        now = self._clock()
        if now < self._not_before:
            return
        oldest_ms = (now - self._oldest_s) * 1000
        firing = [alert for alert in self._open() if alert.status == FIRING and alert.updated_ms >= oldest_ms]
        ended = [a for a in self._resolved.values() if a.alert_id in self._posted or a.updated_ms >= oldest_ms]
        is_news = bool(ended) or any(self._is_news(alert) for alert in firing)
        if is_news or (firing and now >= self._next):
            await self._post(firing, ended, now)
        else:
            self._resolved.clear()

    async def close(self) -> None:
        await self._pager.close()

    def _is_news(self, alert: Alert) -> bool:
        return alert.alert_id not in self._posted or self._posted[alert.alert_id][0] != alert.updated_ms

    def _renamed(self, posting: Posting, now_ms: int) -> Posting | None:
        """The end of an alert under the labels it had: it has taken a graver rule since."""
        _, before = self._posted.get(posting["labels"]["alert_id"], (0, posting))
        if before["labels"] == posting["labels"]:
            return None
        return before | {"endsAt": format_rfc3339(now_ms)}

    def _open(self) -> list[Alert]:
        return [alert for lease in self._leases.detectors.values() for alert in lease.state.open_alerts()]

    async def _post(self, firing: list[Alert], ended: list[Alert], now: float) -> None:
        ends_ms = round((now + _ENDS_AFTER_REPEATS * self._repeat_s) * 1000)
        now_ms = round(now * 1000)
        postings = [posting(alert, now_ms, ends_ms) for alert in (*firing, *ended)]
        posted = {alert.alert_id: (alert.updated_ms, one) for alert, one in zip(firing, postings, strict=False)}
        postings += [old for one in postings if (old := self._renamed(one, now_ms)) is not None]
        outcome = "taken"
        try:
            await self._pager.post(postings)
        except SinkUnavailableError as error:
            self._pause_s = min(max(1.0, self._pause_s * 2), _LONGEST_PAUSE_S)
            self._not_before = now + self._pause_s * random.uniform(0.75, 1.25)
            logger.warning("alerts wait for Alertmanager, next try in %.0f s: %s", self._pause_s, error)
            self._metrics.pages.labels("failed").inc(len(postings))
            return
        except SinkRejectedError as error:
            # To hold them would hold all that follow; the topic and the table have them.
            logger.error("Alertmanager refuses %d alerts: %s", len(postings), error)
            outcome = "refused"
        self._metrics.pages.labels(outcome).inc(len(postings))
        self._pause_s, self._next = 0.0, now + self._repeat_s
        self._posted = posted
        for alert in ended:
            self._resolved.pop(alert.alert_id, None)


def posting(alert: Alert, now_ms: int, ends_ms: int) -> Posting:
    """As Alertmanager's API has it. The segment is no label: those are an alert's identity, and it may widen."""
    found, is_over = alert.latest, alert.status not in OPEN
    starts_ms = min(alert.opened_ms, now_ms)
    if is_over:
        ends_ms = max(starts_ms, min(alert.resolved_ms or now_ms, now_ms))
    return {
        "labels": {
            "alertname": alert.rule.name,
            "alert_id": alert.alert_id,
            "signal": alert.rule.signal,
            "family": alert.rule.family,
            "severity": alert.rule.severity,
        },
        "annotations": {
            "summary": sentence(alert),
            "segment": alert.segment,
            "cause": alert.causes[0].where if alert.causes else "",
            "observed": f"{found.observed:g}",
            "expected": f"{found.expected:g}",
            "n": f"{found.n:g}",
        },
        "startsAt": format_rfc3339(starts_ms),
        "endsAt": format_rfc3339(ends_ms),
    }
