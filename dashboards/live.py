"""*Live operations*, for those who run the shop: satisfaction and abandonment now, money, open alerts."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import sql
from dashboards.levels import completion_levels, rule_of
from dashboards.panels import (
    MONEY,
    PERCENT,
    band,
    figure,
    limits,
    new_dashboard,
    rows,
    series,
    stores_now,
    to_dashboard,
    with_choices,
    without,
)

UID = "cx-live"
_N = "Below it: of how many, and the 95 % interval."


def build() -> Dashboard:
    dashboard = new_dashboard(
        UID,
        "Live operations",
        "How satisfied customers are now and where they give up. A figure without many answers has a wide interval.",
    )
    with_choices(dashboard)
    _now(dashboard)
    _alerts(dashboard)
    _over_time(dashboard)
    _money(dashboard)
    _back(dashboard)
    _stores(dashboard)
    return dashboard


def _now(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Now: $segment, last $window"))
    dashboard.with_panel(
        figure("CSAT", sql.now("csat"), PERCENT, f"Share of answers of 4 or 5 on a scale of 5 (or alike). {_N}")
    )
    dashboard.with_panel(
        figure("NPS", sql.now("nps"), "none", f"Promoters (9, 10) less detractors (0 to 6), -100 to 100. {_N}")
    )
    dashboard.with_panel(
        figure("CES", sql.now("ces"), "none", f"Mean answer to how easy it was, 1 to 7, higher is easier. {_N}")
    )
    dashboard.with_panel(
        figure(
            "Checkouts abandoned",
            sql.now("checkout_abandonment"),
            PERCENT,
            f"Of the checkouts that ended in the window, those that did not complete. One that is only left counts 15 "
            f"minutes after its last event. {_N}",
        )
    )
    dashboard.with_panel(
        figure(
            "Checkouts begun now, nowcast",
            sql.now("checkout_nowcast"),
            PERCENT,
            f"Share of the checkouts begun now that will not complete if all stays as it is. {_N}",
        )
    )
    rule = rule_of("checkout_completion_ratio")
    dashboard.with_panel(
        figure(
            "Checkout completions against usual",
            sql.now("checkout_completion_ratio"),
            PERCENT,
            "Completions by those usual for checkouts of these ages at this hour of the week; 100 % is usual. Red where "
            f"the alert rule {rule.name} calls it material ({rule.change:.0%} fewer). {_N}",
            completion_levels("checkout"),
        )
    )


def _alerts(dashboard: Dashboard) -> None:
    dashboard.with_panel(
        without(
            rows(
                "Open alerts",
                sql.OPEN_ALERTS,
                "Pending and firing alerts of the pipeline. The explanation names the part of the segment and the step "
                "that account for it, and the money at stake. Each is also a mark on the graphs below.",
            )
            .height(6)
            .override_by_name(
                "segment",
                to_dashboard(
                    "cx-funnels",
                    "Look into the funnel",
                    funnel="funnel",
                    channel="channel",
                    store="store",
                    device="device",
                ),
            ),
            "funnel",
            "channel",
            "store",
            "device",
        )
    )


def _over_time(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Over time"))
    dashboard.with_panel(
        series(
            "Satisfied customers by channel (CSAT)",
            sql.lines(["csat"], sql.CHANNELS, "substring(segment, 9)"),
            PERCENT,
            "Share of satisfied answers in the window chosen, each channel by itself.",
        )
    )
    dashboard.with_panel(
        series(
            "Abandonment by channel",
            sql.lines(
                ["cart_abandonment", "checkout_abandonment", "basket_abandonment"],
                sql.CHANNELS,
                "concat(substring(segment, 9), ' ', splitByChar('_', signal)[1])",
            ),
            PERCENT,
            "Journeys that ended without completion, of all that ended in the window: carts, checkouts, till baskets.",
        )
    )
    dashboard.with_panel(
        band(
            "Checkout nowcast with its interval: $segment",
            sql.band("checkout_nowcast"),
            PERCENT,
            "Share of the checkouts begun then that will not complete if all stays as it was; shaded: 95 %. It moves "
            "at once when something breaks, abandonment by timeout a quarter of an hour later.",
        )
    )
    dashboard.with_panel(
        limits(
            band(
                "Checkout completions against usual: $segment",
                sql.band("checkout_completion_ratio"),
                PERCENT,
                "100 % is usual for checkouts of these ages at this hour of the week; shaded: 95 %. The lines are "
                "where the alert rule calls it material, and where it calls it well again.",
            ),
            completion_levels("checkout"),
        )
    )


def _money(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Money walking away"))
    for funnel in ("cart", "checkout"):
        dashboard.with_panel(
            figure(
                f"{funnel.capitalize()}s abandoned in the last hour",
                sql.now(f"{funnel}_value_abandoned", window="'1h'", column="numerator"),
                MONEY,
                f"Value of the {funnel}s abandoned in the last hour. Never add it to another funnel's: a checkout is "
                "also a cart, it is the same money. Below it: how many, and the interval of their mean.",
            ).height(8)
        )
    dashboard.with_panel(
        series(
            "Value abandoned: $segment",
            sql.lines(
                ["cart_value_abandoned", "checkout_value_abandoned"],
                sql.SEGMENT,
                "splitByChar('_', signal)[1]",
                "numerator",
            ),
            MONEY,
            "Sum of the value of what was abandoned in the window chosen, cart and checkout (the same money twice).",
        ).span(16)
    )


def _back(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Who came back"))
    is_one, is_left = "status = 'recovered'", "status != 'completed_elsewhere'"
    for funnel in ("cart", "checkout", "basket"):
        query = sql.recoveries(
            f"countIf({is_one}) / countIf({is_left}) AS value,\n"
            f"    concat('n = ', toString(countIf({is_left})), ', of which ', toString(countIf({is_one}))) AS detail",
            f"  AND funnel = '{funnel}'\nHAVING countIf({is_left}) > 0",
        )
        dashboard.with_panel(
            figure(
                f"{funnel.capitalize()}s recovered so far",
                query,
                PERCENT,
                "Of the journeys of somebody known that were entered in the range shown and left, those bought since, "
                "wherever. They may still be for seven days: the dashboard *Recovery* shows more.",
            ).span(8)
        )

    dashboard.with_panel(
        series(
            "Abandoned for good: $segment",
            sql.lines(
                [f"{funnel}_net_abandonment" for funnel in ("cart", "checkout", "basket")],
                sql.SEGMENT,
                "splitByChar('_', signal)[1]",
            ),
            PERCENT,
            "Of the journeys that ended in the window, those abandoned and not bought in another session or channel "
            "before they ended. Complete a minute or two after abandonment.",
        )
    )


def _stores(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Stores"))
    signals = {
        "friction": "friction",
        "csat": "csat",
        "queues left": "queue_abandonment",
        "baskets voided": "basket_abandonment",
    }
    description = "Each figure with its n. A click on a store opens its own page."
    dashboard.with_panel(stores_now(signals, description, "Open this store"))
