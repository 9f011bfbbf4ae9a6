"""All that the worker's web server serves, put together."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import faust

from pipeline.agents.ownership import Ownership
from pipeline.metrics import Metrics
from pipeline.settings import Settings
from pipeline.web.catalogue import catalogue
from pipeline.web.clients import Clients
from pipeline.web.console import PARTS, add_console
from pipeline.web.guard import Doors, guard
from pipeline.web.health import add_pages, vitals
from pipeline.web.http import add_api
from pipeline.web.listings import Listings
from pipeline.web.live import Live
from pipeline.web.login import PATH as LOGIN
from pipeline.web.login import Slowed, add_login
from pipeline.web.reads import Reads
from pipeline.web.server import Runner
from pipeline.web.shop import PATH as SHOP
from pipeline.web.shop import add_shop

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """What the pages tell about the worker."""

    metrics: Metrics
    ownership: Ownership
    measure: Callable[[], None]
    """Refreshes gauges."""


def add_site(app: faust.App, settings: Settings, worker: Worker, reads: Reads, looks: Reads) -> Live:
    """Add every page. What it gives is to be run, and closed before the server ends.

    ``reads``: for the API; ``looks``: for the console's own looks, which must not wait behind others' questions.
    """
    names, web = catalogue(settings), settings.web
    listings = Listings(reads, names)
    live = Live(
        looks,
        Listings(looks, names),
        has_stores="store_id" in names.dimensions,
        clients=Clients(web.clients, worker.metrics.listeners.set, web.clients_each),
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
    token, slowed = web.token.get_secret_value(), Slowed()
    add_login(site, token, slowed)
    hosts = frozenset(name.lower() for name in (*web.hosts, web.host))
    guard(site, Doors(token, ("/", PARTS, LOGIN), (SHOP, LOGIN), hosts), slowed)
    app.web._runner = Runner(site, web.connections)
    if not token and not _is_loopback(web.host):
        logger.warning("anybody who reaches %s can read all that is served: set CX_WEB__TOKEN", web.host)
    return live


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")
