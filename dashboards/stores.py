"""*Stores and tills*, for those who staff them: queues, baskets, each store."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import sql
from dashboards.levels import completion_levels
from dashboards.panels import (
    PERCENT,
    band,
    figure,
    limits,
    new_dashboard,
    series,
    stores_now,
    with_choices,
)

UID = "cx-stores"
_STORES = {
    "queues left": "queue_abandonment",
    "queue nowcast": "queue_nowcast",
    "served against usual": "queue_completion_ratio",
    "baskets voided": "basket_abandonment",
    "csat": "csat",
    "friction": "friction",
}


def build() -> Dashboard:
    dashboard = new_dashboard(
        UID,
        "Stores and tills",
        "Queues, baskets and satisfaction, store by store. Choose a store to see it alone.",
    )
    with_choices(dashboard)
    _now(dashboard)
    _over_time(dashboard)
    _all(dashboard)
    return dashboard


def _now(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Now: $segment, last $window"))
    n = "Below it: of how many, and the 95 % interval."
    for title, signal, description in (
        ("Queues left", "queue_abandonment", "Of the waits that ended, those given up."),
        (
            "Queues joined now, nowcast",
            "queue_nowcast",
            "Of those who join now, the share that will give up if all stays.",
        ),
        ("Baskets voided", "basket_abandonment", "Of the till baskets that ended, those without a sale."),
        ("CSAT", "csat", "Share of satisfied answers."),
        ("Friction", "friction", "Rage clicks, dead clicks and errors of all events."),
    ):
        dashboard.with_panel(figure(title, sql.now(signal), PERCENT, f"{description} {n}"))
    dashboard.with_panel(
        figure(
            "Served against usual",
            sql.now("queue_completion_ratio"),
            PERCENT,
            f"Customers served, by those usual for waits of this age at this hour of the week; 100 % is usual. {n}",
            completion_levels("queue"),
        )
    )


def _over_time(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Over time: $segment"))
    dashboard.with_panel(
        band(
            "Queues left, with the interval",
            sql.band("queue_abandonment"),
            PERCENT,
            "Of the waits that ended in the window, those given up; shaded: 95 %.",
        )
    )
    dashboard.with_panel(
        limits(
            band(
                "Served against usual",
                sql.band("queue_completion_ratio"),
                PERCENT,
                "100 % is usual; shaded: 95 %. The lines: where the alert rule calls it material, and well again.",
            ),
            completion_levels("queue"),
        )
    )
    dashboard.with_panel(
        series(
            "Waiting time of those served",
            sql.journeys(
                "$__timeInterval_ms(entered_at) AS time, 'median' AS line,\n"
                "    quantileExact(0.5)(dateDiff('millisecond', entered_at, ended_at)) / 1000 AS value",
                "  AND outcome = 'completed'\nGROUP BY time ORDER BY time",
                "'queue'",
            ),
            "s",
            "From joining a queue to being served, by the time of joining.",
        )
    )
    dashboard.with_panel(
        series(
            "Baskets and queues that came to nothing",
            sql.lines(
                ["basket_abandonment", "queue_abandonment"],
                sql.SEGMENT,
                "splitByChar('_', signal)[1]",
                "numerator",
            ),
            "none",
            "How many, in the window chosen.",
        )
    )


def _all(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("All stores"))
    description = "Each figure with its n: few waits say little. A click on a store shows it alone."
    dashboard.with_panel(stores_now(_STORES, description, "Show this store").height(14))
