"""All that the worker's web server serves, put together."""

from collections.abc import Callable
from dataclasses import dataclass

import faust

from pipeline.agents.ownership import Ownership
from pipeline.metrics import Metrics
from pipeline.settings import Settings
from pipeline.web.catalogue import catalogue
from pipeline.web.clients import Clients
from pipeline.web.console import PARTS, add_console
from pipeline.web.guard import guard
from pipeline.web.health import add_pages, vitals
from pipeline.web.http import add_api
from pipeline.web.listings import Listings
from pipeline.web.live import Live
from pipeline.web.reads import Reads
from pipeline.web.shop import PATH as SHOP
from pipeline.web.shop import add_shop


@dataclass(frozen=True, slots=True)
class Worker:
    """What the pages tell about the worker."""

    metrics: Metrics
    ownership: Ownership
    measure: Callable[[], None]
    """Refreshes gauges."""


def add_site(app: faust.App, settings: Settings, worker: Worker, reads: Reads) -> Live:
    """Add every page. What it gives is to be run, and closed before the server ends."""
    names = catalogue(settings)
    listings = Listings(reads, names)
    live = Live(
        reads,
        listings,
        has_stores="store_id" in names.dimensions,
        clients=Clients(settings.web.clients, worker.metrics.listeners.set),
        vitals=lambda: vitals(worker.metrics, worker.ownership, worker.measure),
    )
    site = app.web.web_app
    add_pages(app, worker.metrics, worker.ownership, worker.measure, lambda: not app.consumer.assignment())
    add_api(site, listings, live, names)
    add_shop(site, settings.web.shop_file)
    config = {
        "currency": names.currency,
        "funnels": names.funnels,
        "dimensions": names.dimensions,
        "timeouts": {name: funnel.timeout_s for name, funnel in settings.funnels},
        "hasShop": bool(settings.web.shop_file),
    }
    add_console(site, config)
    guard(site, settings.web.token.get_secret_value(), ("/", PARTS), (SHOP,))
    return live
