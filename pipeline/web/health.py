"""The worker's own pages: health, readiness, metrics; and how it is, in figures for the console."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp import web
from prometheus_client.metrics import MetricWrapperBase

from pipeline.metrics import Metrics
from pipeline.stages.lease import Leases

_KEPT_S: Final = 1.0


def add_pages(
    site: web.Application,
    metrics: Metrics,
    leases: Leases,
    measure: Callable[[], None],
    is_idle: Callable[[], bool],
) -> None:
    """Add /healthz, /readyz and /metrics.

    ``measure`` refreshes gauges; ``is_idle``: whether the group has given this worker no partitions.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        held = len(leases.partitions) + len(leases.windows)
        if not held and not is_idle():
            return web.Response(text="no partitions yet\n", status=503)
        return web.Response(text=f"{held} partitions\n")

    exposition = Exposition(metrics, measure)

    async def expose(_request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4"}
        return web.Response(body=await exposition.text(), headers=headers)

    site.router.add_get("/healthz", healthz)
    site.router.add_get("/readyz", readyz)
    site.router.add_get("/metrics", expose)


class Exposition:
    """The metrics as text: made in a thread, and once a second however many ask."""

    def __init__(self, metrics: Metrics, measure: Callable[[], None], clock: Callable[[], float] = time.monotonic):
        self._metrics = metrics
        self._measure = measure
        self._clock = clock
        self._text = b""
        self._made_s = -_KEPT_S
        self._turn = asyncio.Lock()
        # Of its own: while Kafka is slow to restore partitions all of asyncio's few threads wait for it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    async def text(self) -> bytes:
        async with self._turn:
            if self._clock() - self._made_s >= _KEPT_S:
                self._measure()
                loop = asyncio.get_running_loop()
                self._text = await loop.run_in_executor(self._thread, self._metrics.exposition)
                self._made_s = self._clock()
        return self._text


def vitals(metrics: Metrics, leases: Leases, measure: Callable[[], None]) -> dict[str, Any]:
    """How this worker is: counts since its start, and what waits now."""
    measure()
    watermarks = _values(metrics.watermark)
    checkpoints = _values(metrics.checkpoint_time)
    return {
        "now": round(time.time() * 1000),
        "events": sum(_values(metrics.events)) - sum(_values(metrics.events, outcome="tick")),
        "dead_letters": sum(_values(metrics.dead_letters)),
        "partitions": len(leases.partitions),
        "lag": sum(_values(metrics.consumer_lag)),
        "waiting": sum(_values(metrics.sink_waiting)),
        "sink_errors": sum(_values(metrics.sink_errors)),
        "watermarks": [round(1000 * bound(watermarks)) for bound in (min, max)] if watermarks else None,
        "checkpoint": round(1000 * min(checkpoints)) if checkpoints else None,
    }


def _values(metric: MetricWrapperBase, **labels: str) -> list[float]:
    return [
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if not sample.name.endswith("_created") and labels.items() <= sample.labels.items()
    ]
