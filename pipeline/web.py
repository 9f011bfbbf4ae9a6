"""The worker's own pages: health, readiness, metrics."""

from collections.abc import Callable
from typing import Any

import faust

from pipeline.agents.ownership import Ownership
from pipeline.metrics import Metrics


def add_pages(app: faust.App, metrics: Metrics, ownership: Ownership, measure: Callable[[], None]) -> None:
    """Add /healthz, /readyz and /metrics to the worker's web server; ``measure`` refreshes gauges."""

    async def healthz(self: Any, request: Any) -> Any:
        return self.text("ok\n")

    async def readyz(self: Any, request: Any) -> Any:
        owned = len(ownership.partitions) + len(ownership.windows)
        if not owned:
            return self.text("no partitions yet\n", status=503)
        return self.text(f"{owned} partitions\n")

    async def exposition(self: Any, request: Any) -> Any:
        measure()
        return self.bytes(metrics.exposition(), content_type="text/plain; version=0.0.4")

    app.page("/healthz", name="healthz")(healthz)
    app.page("/readyz", name="readyz")(readyz)
    app.page("/metrics", name="metrics")(exposition)
