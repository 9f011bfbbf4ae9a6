"""*Funnels*, for those who build the journey: where in it people give up, at which step, from search to till."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import sql
from dashboards.clickhouse import Sql
from dashboards.panels import PERCENT, band, bars, graph, new_dashboard, rows, with_choices

UID = "cx-funnels"


def build() -> Dashboard:
    dashboard = new_dashboard(
        UID,
        "Funnels",
        "Where in the journey customers give up. Journeys count in the range in which they began.",
        "now-6h",
    )
    with_choices(dashboard, funnel=True)
    _journey(dashboard)
    _steps(dashboard)
    _over_time(dashboard)
    return dashboard


def _journey(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("From search to till: $segment"))
    dashboard.with_panel(
        bars(
            "Completed, by funnel",
            sql.by_funnel("1 - sum(numerator) / sum(denominator) AS completed"),
            PERCENT,
            "Share of the journeys ended in the range that completed, in the order in which customers go through them.",
        ).max(1)
    )
    counts = "round(sum(denominator)) AS ended, round(sum(numerator)) AS abandoned"
    dashboard.with_panel(
        rows(
            "Journeys by funnel",
            sql.by_funnel(f"{counts}, sum(numerator) / sum(denominator) AS `abandonment rate`"),
            "How many journeys ended in the range, and how many of them without completion.",
            {"abandonment rate": PERCENT},
        ).span(12)
    )


def _steps(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("$funnel"))
    dashboard.with_panel(
        bars(
            "Where journeys of this funnel were given up",
            sql.journeys(
                "if(last_step = '', '(no step)', last_step) AS step, count() AS abandoned",
                "  AND outcome = 'abandoned'\nGROUP BY step ORDER BY abandoned DESC LIMIT 15",
            ),
            "none",
            "The last step seen of each abandoned journey: what the customer had before the eyes when giving up.",
        )
    )
    dashboard.with_panel(
        bars(
            "How they ended",
            sql.journeys(
                "if(outcome = 'abandoned', concat('abandoned: ', reason), outcome) AS ending, count() AS journeys",
                "GROUP BY ending ORDER BY journeys DESC",
            ),
            "none",
            "Completed; abandoned explicitly (cancelled, left), or by timeout, after which nothing more came; or emptied: timed "
            "out with nothing left in it.",
        )
    )
    dashboard.with_panel(
        graph(
            "Journeys begun, by how they ended",
            [
                Sql(
                    sql.journeys(
                        "$__timeInterval_ms(entered_at) AS time, outcome AS line, count() AS value",
                        "GROUP BY time, line ORDER BY time, line",
                    ),
                    is_series=True,
                )
            ],
            "none",
            "By the time they began. Those under way are not in it: the newest end is always low.",
        )
        .display_name("${__field.labels.line}")
        .fill_opacity(20)
    )
    took = "dateDiff('millisecond', entered_at, ended_at) / 1000"
    dashboard.with_panel(
        graph(
            "Time to completion",
            [
                Sql(
                    sql.journeys(
                        f"$__timeInterval_ms(entered_at) AS time, quantileExact(0.5)({took}) AS median, "
                        f"quantileExact(0.9)({took}) AS `nine in ten`",
                        "  AND outcome = 'completed'\nGROUP BY time ORDER BY time",
                    ),
                    is_series=True,
                )
            ],
            "s",
            "How long completed journeys took, from their opening event to the completing one.",
        )
    )


def _over_time(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("$funnel over time: $segment, $window"))
    for what, title, description in (
        (
            "abandonment",
            "Abandonment with its interval",
            "Of the journeys that ended in the window, those abandoned.",
        ),
        (
            "nowcast",
            "Nowcast with its interval",
            "Of the journeys begun then, those that will not complete if all stays.",
        ),
    ):
        query = sql.band_of(f"concat({sql.given('funnel')}, '_{what}')")
        dashboard.with_panel(band(title, query, PERCENT, f"{description} Shaded: 95 %."))
