"""*Recovery*, for those who win customers back: who came back, where, after how long, and what it was worth."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import sql
from dashboards.effects import effects
from dashboards.panels import MONEY, PERCENT, figure, new_dashboard, rows, series, with_choices
from pipeline.model.facts import RECOVERABLE
from pipeline.model.signals import Kind, name_of

UID = "cx-recovery"
_FUNNELS: Final = sorted(RECOVERABLE)
_LEFT: Final = "status != 'completed_elsewhere'"
"""Journeys that were abandoned by their person, too."""
_ONE: Final = "status = 'recovered'"
_TOOK_S: Final = "dateDiff('second', ended_at, assumeNotNull(recovered_at))"


def build() -> Dashboard:
    dashboard = new_dashboard(
        UID,
        "Recovery",
        "What has become of abandoned journeys of somebody known: bought elsewhere, recovered within seven days, lost. "
        "By the time of entry; those of the last seven days may still be recovered.",
        range_from="now-14d",
    )
    with_choices(dashboard)
    _whole(dashboard)
    _over_time(dashboard)
    _signals(dashboard)
    _how(dashboard)
    _moments(dashboard)
    return dashboard


def _whole(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("In the range shown: $segment"))
    for funnel in _FUNNELS:
        dashboard.with_panel(
            figure(
                f"{funnel.capitalize()}s recovered",
                sql.recoveries(
                    f"countIf({_ONE}) / countIf({_LEFT}) AS value,\n"
                    f"    concat('n = ', toString(countIf({_LEFT})), ', of which ', toString(countIf({_ONE})), ', and ', "
                    "toString(countIf(status = 'completed_elsewhere')), ' bought elsewhere') AS detail",
                    f"  AND funnel = '{funnel}'\nHAVING countIf({_LEFT}) > 0",
                ),
                PERCENT,
                "Of the journeys that were left, and not bought elsewhere before they ended, those bought within seven "
                "days. Below it: of how many, and how many had bought elsewhere.",
            )
        )
    for title, value, status in (
        ("Value recovered, carts", "recovered_value", "recovered"),
        ("Value lost, carts", "value", "lost"),
    ):
        dashboard.with_panel(
            figure(
                title,
                sql.recoveries(
                    f"sumIf({value}, status = '{status}') AS value,\n"
                    f"    concat('n = ', toString(countIf(status = '{status}'))) AS detail",
                    "  AND funnel = 'cart'\nHAVING count() > 0",
                ),
                MONEY,
                "Of carts alone, for a checkout is also a cart. A purchase counts once, however many carts it recovered.",
            )
        )


def _over_time(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Over time: $segment"))
    by_time = "$__timeInterval_ms(entered_at) AS time, funnel AS line"
    dashboard.with_panel(
        series(
            "Recovered, of what was left",
            sql.recoveries(
                f"{by_time}, countIf({_ONE}) / countIf({_LEFT}) AS value",
                f"GROUP BY time, line HAVING countIf({_LEFT}) > 0 ORDER BY time, line",
            ),
            PERCENT,
            "By the time at which the journey was entered.",
        )
    )
    dashboard.with_panel(
        series(
            "Time to recovery, median",
            sql.recoveries(
                f"{by_time}, quantileExact(0.5)({_TOOK_S}) AS value",
                f"  AND {_ONE}\nGROUP BY time, line ORDER BY time, line",
            ),
            "s",
            "From the end of the journey to the purchase, of those that were recovered.",
        )
    )
    dashboard.with_panel(
        series(
            "Carts: value recovered and lost",
            sql.recoveries(
                "$__timeInterval_ms(entered_at) AS time, status AS line,\n"
                f"    sum(if({_ONE}, recovered_value, value)) AS value",
                "  AND funnel = 'cart' AND status IN ('recovered', 'lost')\nGROUP BY time, line ORDER BY time, line",
            ),
            MONEY,
            "What is not lost yet is not in it.",
        )
    )
    dashboard.with_panel(
        series(
            "Bought on another channel, of what was recovered",
            sql.recoveries(
                f"{by_time}, countIf(recovered_channel != channel) / count() AS value",
                f"  AND {_ONE}\nGROUP BY time, line ORDER BY time, line",
            ),
            PERCENT,
            "Left on the web and bought in the store, and the like.",
        )
    )


def _signals(dashboard: Dashboard) -> None:
    """By the time at which journeys ended, or at which it was asked what had become of them."""
    dashboard.with_row(Row("Signals, windows of $window: $segment"))
    funnel = "splitByChar('_', signal)[1]"
    dashboard.with_panel(
        series(
            "Abandoned, and abandoned for good",
            sql.lines(
                [
                    name_of(funnel, kind)
                    for funnel in _FUNNELS
                    for kind in (Kind.ABANDONMENT, Kind.NET_ABANDONMENT)
                ],
                sql.SEGMENT,
                f"if(endsWith(signal, '_{Kind.NET_ABANDONMENT}'), concat({funnel}, ', net'), {funnel})",
            ),
            PERCENT,
            "Net: without those bought in another session or channel before they ended.",
        )
    )
    for after, text in (("1h", "an hour"), ("1d", "a day"), ("7d", "seven days")):
        dashboard.with_panel(
            series(
                f"Recovered within {text}",
                sql.lines([f"{funnel}_recovery_{after}" for funnel in _FUNNELS], sql.SEGMENT, funnel),
                PERCENT,
                f"Of the journeys of somebody known that ended {text} before, those bought since.",
            )
        )
    dashboard.with_panel(
        series(
            "Known, of what was abandoned",
            sql.lines([name_of(one, Kind.KNOWN) for one in _FUNNELS], sql.SEGMENT, funnel),
            PERCENT,
            "Only of somebody known can it be told whether they came back.",
        )
    )
    dashboard.with_panel(
        series(
            "Value of what was recovered within seven days",
            sql.lines([name_of(one, Kind.VALUE_RECOVERED) for one in _FUNNELS], sql.SEGMENT, funnel),
            MONEY,
            "Mean of what was paid, by the time seven days after the journey's end.",
        )
    )


def _how(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Where and how fast: $segment"))
    dashboard.with_panel(
        rows(
            "From which channel to which",
            sql.recoveries(
                "funnel, channel AS `left on`, recovered_channel AS `bought on`, count() AS journeys,\n"
                f"    quantileExact(0.5)({_TOOK_S}) AS `median time`, sum(recovered_value) AS recovered",
                f"  AND {_ONE}\nGROUP BY funnel, channel, recovered_channel ORDER BY funnel, journeys DESC",
            ),
            "Recovered journeys by where they were left and where it was bought.",
            {"median time": "s", "recovered": MONEY},
        ).span(12)
    )
    dashboard.with_panel(
        rows(
            "After how long",
            sql.recoveries(
                f"funnel, countIf({_TOOK_S} <= 3600) AS `within an hour`, "
                f"countIf({_TOOK_S} > 3600 AND {_TOOK_S} <= 86400) AS `within a day`,\n"
                f"    countIf({_TOOK_S} > 86400) AS `within seven days`",
                f"  AND {_ONE}\nGROUP BY funnel ORDER BY funnel",
            ),
            "Recovered journeys by how long it took.",
        ).span(12)
    )
    dashboard.with_panel(
        rows(
            "Of whom it is known",
            sql.known(_FUNNELS),
            "Only of somebody known can it be told whether they came back: a customer, or a visitor whose device is known.",
            {"share": PERCENT},
        )
    )


def _moments(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Moments, windows of an hour: $segment"))
    dashboard.with_panel(
        series(
            "Of 1,000 persons who came",
            sql.rates(sql.SEGMENT),
            "none",
            "Moments of each rule, of 1,000 persons who have come: of whom nothing had been heard for half an hour.",
        )
    )
    shares = ("held out", "of them bought", "of these bought", "difference", "at least", "at most")
    dashboard.with_panel(
        rows(
            "Bought within seven days: told of, and held out",
            effects(),
            "Rules with a holdout, whatever is chosen above: known persons for whom the rule first fired over a week ago. "
            "The difference is what telling has changed, between 'at least' and 'at most' (95 %, however often one "
            "looks); while 0 lies between them nothing is shown.",
            dict.fromkeys(shares, PERCENT),
        )
    )
