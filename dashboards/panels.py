"""Panels with the look that all dashboards share, and what they begin with: variables, links, marks of alerts."""

from collections.abc import Iterable
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import CustomVariable, Dashboard, DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableOption,
)

from dashboards import clickhouse, sql
from dashboards.clickhouse import Sql
from pipeline.settings import load

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="cx-prometheus")
PERCENT: Final = "percentunit"
MONEY: Final = f"currency{load().pipeline.currency}"
"""Grafana's units cannot be chosen by a variable: ``CX_PIPELINE__CURRENCY=GBP make dashboards`` for another."""
WINDOWS: Final = ("1m", "5m", "15m", "1h")


def new_dashboard(uid: str, title: str, description: str, range_from: str = "now-3h") -> Dashboard:
    """An empty dashboard with links to all of ours, which keep the range and the values chosen."""
    others = (
        DashboardLink("cx-signals")
        .type(DashboardLinkType.DASHBOARDS)
        .tags(["cx-signals"])
        .include_vars(True)
        .keep_time(True)
    )
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["cx-signals"])
        .time(range_from, "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(others)
    )


def with_choices(dashboard: Dashboard, funnel: bool = False) -> Dashboard:
    """The variables of the dashboards about the shop, and the marks of its alerts."""
    if funnel:
        dashboard.with_variable(clickhouse.variable("funnel", "Funnel", sql.FUNNELS, "checkout"))
    return (
        dashboard.with_variable(_choice("channel", "Channel", ("all", "web", "app", "pos"), "all"))
        .with_variable(clickhouse.variable("store", "Store", sql.STORES, "all"))
        .with_variable(clickhouse.variable("device", "Device (of a channel)", sql.DEVICES, "all"))
        .with_variable(clickhouse.variable("other", "Other segment", sql.OTHERS, "all"))
        .with_variable(
            _choice("window", "Window", WINDOWS, "15m").description(
                "How far back each value looks. Ranges of over three days, and older ones, are shown by full hours."
            )
        )
        .with_variable(clickhouse.variable("segment", "Segment", sql.CHOSEN_SEGMENT, "all", is_hidden=True))
        .annotation(clickhouse.Annotation("Alerts", sql.ALERT_MARKS, "red"))
    )


def _choice(name: str, label: str, values: Iterable[str], usual: str) -> CustomVariable:
    options = [VariableOption(text=value, value=value, selected=value == usual) for value in values]
    current = VariableOption(text=usual, value=usual)
    return CustomVariable(name).label(label).values(",".join(values)).options(options).current(current)


def thresholds(*steps: tuple[float | None, str]) -> ThresholdsConfig:
    """From a value on (None: from the lowest), a colour."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )


def figure(
    title: str, query: str, unit: str, description: str, levels: ThresholdsConfig | None = None
) -> stat.Panel:
    """One large figure, with a line below it that says of how many, and how sure."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(clickhouse.SOURCE)
        .with_target(Sql(query))
        .unit(unit)
        .height(5)
        .span(4)
        .no_value("no data")
        .text_mode(BigValueTextMode.VALUE)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().fields("/.*/").calcs(["lastNotNull"]).values(False))
        .thresholds(levels or thresholds((None, "text")))
        .override_by_name("detail", [DynamicConfigValue(id_val="unit", value="string")])
    )


def graph(title: str, targets: Iterable[Builder[Dataquery]], unit: str, description: str) -> timeseries.Panel:
    """Lines over time; gaps are gaps, for no data is not zero."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(clickhouse.SOURCE)
        .unit(unit)
        .height(8)
        .span(12)
        .line_width(2)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull"])
            .show_legend(True)
        )
    )
    for target in targets:
        panel.with_target(target)
    return panel


def series(title: str, query: str, unit: str, description: str) -> timeseries.Panel:
    """A graph of one query whose lines are told apart by its column ``line``."""
    return graph(title, [Sql(query, is_series=True)], unit, description).display_name("${__field.labels.line}")


def band(title: str, query: str, unit: str, description: str) -> timeseries.Panel:
    """A line with its 95 % interval shaded."""

    def hidden(more: list[DynamicConfigValue]) -> list[DynamicConfigValue]:
        return [
            DynamicConfigValue(id_val="custom.lineWidth", value=0),
            DynamicConfigValue(id_val="custom.hideFrom", value={"legend": True, "tooltip": False, "viz": False}),
            *more,
        ]

    shaded = [
        DynamicConfigValue(id_val="custom.fillBelowTo", value="lower"),
        DynamicConfigValue(id_val="custom.fillOpacity", value=15),
    ]
    return (
        graph(title, [Sql(query, is_series=True)], unit, description)
        .override_by_name("upper", hidden(shaded))
        .override_by_name("lower", hidden([]))
    )


def limits(panel: timeseries.Panel, levels: ThresholdsConfig) -> timeseries.Panel:
    """Draw levels as lines across the graph."""
    style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
    return panel.thresholds(levels).thresholds_style(style)


def rows(title: str, query: str, description: str, units: dict[str, str] | None = None) -> table.Panel:
    """A table. ``units``: by column."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(clickhouse.SOURCE)
        .with_target(Sql(query))
        .height(9)
        .span(24)
        .no_value("none")
    )
    for column, unit in (units or {}).items():
        panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=unit)])
    return panel


def without(panel: table.Panel, *columns: str) -> table.Panel:
    """Columns that only links need are not shown."""
    for column in columns:
        panel.override_by_name(column, [DynamicConfigValue(id_val="custom.hidden", value=True)])
    return panel


def stores_now(signals: dict[str, str], description: str, link: str) -> table.Panel:
    """All stores as they stand, each leading to its own page. ``signals``: by column; ``link``: the link's title."""
    query = sql.newest(signals, "store_id=", "decodeURLComponent(substring(segment, 10))")
    panel = rows("Stores now, last 15 minutes", query, description, dict.fromkeys(signals, PERCENT))
    return without(panel.override_by_name("name", to_dashboard("cx-stores", link, store="key")), "key")


def bars(title: str, query: str, unit: str, description: str) -> bargauge.Panel:
    """Horizontal bars, one for each row: its text and its number."""
    options: Any = common.ReduceDataOptions().values(True).calcs(["lastNotNull"])
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(clickhouse.SOURCE)
        .with_target(Sql(query))
        .unit(unit)
        .height(9)
        .span(12)
        .min(0)
        .no_value("none")
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(options)
        .thresholds(thresholds((None, "blue")))
    )


def to_dashboard(uid: str, title: str, **values: str) -> list[DynamicConfigValue]:
    """A link from a cell to another dashboard: by variable, the column of its row that has the value."""
    chosen = "&".join(f"var-{name}=${{__data.fields.{column}:percentencode}}" for name, column in values.items())
    link = {"title": title, "url": f"/d/{uid}?{chosen}&${{__url_time_range}}"}
    return [DynamicConfigValue(id_val="links", value=[link])]
