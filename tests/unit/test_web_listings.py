"""A page says what it is of, though more comes in while it is put together."""

import asyncio
from typing import Any

from pipeline.settings import Settings
from pipeline.web.asked import CurrentParameters
from pipeline.web.catalogue import catalogue
from pipeline.web.listings import Listings
from pipeline.web.reads import Rows, Values
from schemas.times import format_rfc3339

NOW = 1_772_449_200_000
LATER = NOW + 10_000


class Growing:
    """A store in which a bucket comes between two queries."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    async def rows(self, sql: str, values: Values) -> Rows:
        return [(NOW, NOW)] if "max(bucket)" in sql else self._rows

    def close(self) -> None:
        return None


def now_of(rows: list[tuple[Any, ...]]) -> Any:
    listings = Listings(Growing(rows), catalogue(Settings()))
    return asyncio.run(listings.current(CurrentParameters(window="1h")))


def test_the_present_is_that_of_the_rows() -> None:
    figures = (1.0, 2.0, 0.5, 0.1, 0.9)
    stored = ("cart_nowcast", "all", "1h", NOW - 60_000, *figures, True, 7)
    filling = ("csat", "all", "1h", LATER, *figures, False, None)
    assert now_of([stored, filling])["as_of"] == format_rfc3339(LATER)
    assert now_of([stored])["as_of"] == now_of([])["as_of"] == format_rfc3339(NOW)


def test_a_funnel_is_of_stores_where_only_stores_open_it() -> None:
    opened = {
        "returns": [{"type": "page_viewed", "step": "returns", "channel": "pos"}],
        "fitting": [{"type": "page_viewed", "channel": "pos"}, {"type": "page_viewed", "channel": "app"}],
    }
    own = {name: funnel(on) for name, on in opened.items()}
    assert catalogue(Settings()).till_funnels == ("queue", "basket")
    assert catalogue(Settings.model_validate({"funnels": own})).till_funnels == ("queue", "basket", "returns")


def funnel(opens_on: list[dict[str, str]]) -> dict[str, Any]:
    return {"opens_on": opens_on, "completes_on": ["order_completed"], "timeout_s": 60}
