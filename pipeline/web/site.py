"""All that the worker's web server serves, put together."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from pipeline.metrics import Metrics
from pipeline.settings import WebSettings
from pipeline.stages.lease import Leases
from pipeline.web.catalogue import Catalogue
from pipeline.web.clients import Clients
from pipeline.web.console import PAGES, PARTS, add_console
from pipeline.web.guard import Doors, guard
from pipeline.web.health import add_pages, vitals
from pipeline.web.http import add_api
from pipeline.web.listings import Listings
from pipeline.web.live import Live
from pipeline.web.login import PATH as LOGIN
from pipeline.web.login import Slowed, add_login
from pipeline.web.reads import Reads
from pipeline.web.shop import PATH as SHOP
from pipeline.web.shop import Shop, add_shop

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """What the pages tell about the worker."""

    metrics: Metrics
    leases: Leases
    measure: Callable[[], None]
    """Refreshes gauges."""
    is_idle: Callable[[], bool]
    """Whether the group has given this worker no partitions."""


def add_site(
    site: web.Application,
    names: Catalogue,
    asked: WebSettings,
    worker: Worker,
    reads: Reads,
    looks: Reads,
    shop: Shop | None,
) -> Live:
    """Add every page. What it gives is to be run, and closed before the server ends.

    ``reads``: for the API; ``looks``: for the console's own looks, which must not wait behind others' questions.
    """
    listings = Listings(reads, names)
    live = Live(
        looks,
        Listings(looks, names),
        has_stores="store_id" in names.dimensions,
        clients=Clients(asked.clients, worker.metrics.listeners.set, asked.clients_each),
        vitals=lambda: vitals(worker.metrics, worker.leases, worker.measure),
    )
    add_pages(site, worker.metrics, worker.leases, worker.measure, worker.is_idle)
    add_api(site, listings, live, names)
    add_shop(site, shop)
    config = {
        "currency": names.currency,
        "funnels": names.funnels,
        "tillFunnels": names.till_funnels,
        "places": names.places,
        "signals": names.for_console(),
        "rules": names.rules_for_console(),
        "dimensions": names.dimensions,
        "timeouts": names.timeouts_s,
        "hasShop": shop is not None,
        "timeZone": asked.time_zone,
        "grafana": asked.grafana,
    }
    add_console(site, config)
    token, slowed = asked.token.get_secret_value(), Slowed()
    add_login(site, token, slowed)
    hosts = frozenset(name.lower() for name in (*asked.hosts, asked.host))
    guard(site, Doors(token, (*PAGES, PARTS, LOGIN), (SHOP, LOGIN), hosts), slowed)
    if not token and not _is_loopback(asked.host):
        logger.warning("anybody who reaches %s can read all that is served: set CX_WEB__TOKEN", asked.host)
    return live


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")
