"""*Pipeline health*, for those who run the pipeline: lag, rates, latency, dead letters, checkpoints."""

from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row, ThresholdsConfig

from dashboards import panels
from dashboards.panels import PERCENT, PROMETHEUS, new_dashboard, rows, thresholds

UID = "cx-health"
_DEAD_LETTERS = """SELECT topic, reason, count() AS letters, max(received_at) AS newest, anyLast(error) AS example
FROM cx.dead_letters FINAL
WHERE $__timeFilter_ms(received_at)
GROUP BY topic, reason ORDER BY letters DESC"""


def build() -> Dashboard:
    dashboard = new_dashboard(
        UID, "Pipeline health", "The pipeline itself: whether it keeps up, and whether all it computes is stored."
    )
    _now(dashboard)
    _flow(dashboard)
    _storing(dashboard)
    _sources(dashboard)
    _state(dashboard)
    return dashboard


def _now(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Now"))
    for title, expression, unit, description, levels in (
        (
            "Workers",
            'count(up{job="cx-signals"} == 1)',
            "none",
            "Workers that answer.",
            thresholds((None, "red"), (1, "green")),
        ),
        (
            "Records not yet read",
            "cx:consumer_lag_records:sum",
            "short",
            "Over all partitions. The alert CxConsumerLag looks at how many minutes of work that is.",
            thresholds((None, "green"), (10_000, "orange")),
        ),
        (
            "Event to its first row, 99 %",
            "cx:signal_latency_seconds:p99",
            "s",
            "From a record's append to the first row that it is in. CxSignalsLate from 60 s on.",
            thresholds((None, "green"), (25, "orange"), (60, "red")),
        ),
        (
            "Refused, worst topic",
            "max(cx:dead_letter_share:rate5m)",
            PERCENT,
            "Share of dead letters. CxDeadLetterShare from 10 % on.",
            thresholds((None, "green"), (0.05, "orange"), (0.1, "red")),
        ),
        (
            "Oldest checkpoint",
            "max(cx:checkpoint_age_seconds)",
            "s",
            "A restart does again what came since. CxCheckpointOld from 5 minutes on.",
            thresholds((None, "green"), (120, "orange"), (300, "red")),
        ),
        (
            "Rows waiting for ClickHouse",
            "sum(cx_sink_waiting_rows)",
            "short",
            "They wait in memory; at a bound the workers stop reading. CxSinkStale when none goes in.",
            thresholds((None, "green")),
        ),
    ):
        dashboard.with_panel(_stat(title, expression, unit, description, levels))


def _flow(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("What comes in, and how soon it is seen"))
    dashboard.with_panel(
        _graph(
            "Records a second, by outcome",
            {"{{topic}} {{outcome}}": "cx:events:rate5m"},
            "cps",
            "Ticks are our own.",
        )
    )
    dashboard.with_panel(
        _graph(
            "Event to its first row",
            {"half": "cx:signal_latency_seconds:p50", "99 of 100": "cx:signal_latency_seconds:p99"},
            "s",
            "From a record's append to the first row that it is in being stored and delivered: a window is over first.",
        )
    )
    dashboard.with_panel(
        _graph(
            "Records not yet read, by source",
            {"{{source}}": "max by (source) (cx_consumer_lag_records)"},
            "short",
            "Rises while more comes than is worked off.",
        )
    )
    dashboard.with_panel(
        _graph(
            "How far the newest events lay behind their fetch",
            {"{{source}}": "max by (source) (cx_event_time_lag_seconds)"},
            "s",
            "Event-time lag of each source's last batch: what producers, and the way to Kafka, take.",
        )
    )
    dashboard.with_panel(
        _graph(
            "How far the watermarks lie behind the clock",
            {"{{source}}": "time() - max by (source) (cx_watermark_timestamp_seconds)"},
            "s",
            "Some seconds while events come in. Replayed history lies far behind, and that is right.",
        )
    )


def _storing(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("What is stored, and what is refused"))
    dashboard.with_panel(
        _graph(
            "Rows stored a second",
            {"{{table}}": "sum by (table) (rate(cx_sink_rows_total[5m]))"},
            "cps",
            "By table.",
        )
    )
    dashboard.with_panel(
        _graph(
            "Failed inserts a second",
            {"{{table}}": "sum by (table) (rate(cx_sink_errors_total[5m]))"},
            "cps",
            "All are tried again until they go in; a single row that never will becomes a dead letter.",
        )
    )
    dashboard.with_panel(
        rows("Dead letters", _DEAD_LETTERS, "What was refused in the range shown, why, and an example.").span(24)
    )


def _sources(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("Sources of the collector"))
    dashboard.with_panel(
        _graph(
            "Events a second, by what became of them",
            {"{{source}} {{outcome}}": "sum by (source, outcome) (rate(cx_collector_events_total[5m]))"},
            "cps",
            "Mapped, ignored (no touchpoints), invalid (dead letters), copies, orders told again.",
        )
    )
    dashboard.with_panel(
        _graph(
            "Since the newest event",
            {"{{source}}": "time() - max by (source) (cx_collector_newest_event_timestamp_seconds)"},
            "s",
            "By event time. Half an hour is an alert.",
        )
    )
    dashboard.with_panel(
        _graph(
            "Answers a second, by status",
            {"{{source}} {{status}}": "sum by (source, status) (rate(cx_collector_requests_total[5m]))"},
            "cps",
            "401: a key or a signature. 503: Kafka is slow, the sender comes again.",
        )
    )
    dashboard.with_panel(
        _graph(
            "What cannot be mapped, and what comes too late, a second",
            {
                "{{source}} {{field}}": "sum by (source, field) (rate(cx_collector_invalid_total[5m]))",
                "{{source}} {{note}}": 'sum by (source, note) (rate(cx_collector_times_total{note="too_late"}[5m]))',
            },
            "cps",
            "By the field that is wrong; the dead letters have the requests.",
        )
    )


def _state(dashboard: Dashboard) -> None:
    dashboard.with_row(Row("State"))
    dashboard.with_panel(
        _graph(
            "Time a checkpoint takes, 99 %",
            {
                "until acknowledged": "histogram_quantile(0.99, sum by (le) (rate(cx_checkpoint_seconds_bucket[5m])))",
                "standing still": "histogram_quantile(0.99, sum by (le) (rate(cx_checkpoint_cut_seconds_bucket[5m])))",
            },
            "s",
            "Until everything before it is stored and it is acknowledged; and how long the worker stands still for it.",
        )
    )
    dashboard.with_panel(
        _graph(
            "Sessions and segments",
            {"open sessions": "sum(cx_open_sessions)", "segments": "sum(cx_segments)"},
            "short",
            "What memory is needed for; see deploy/SIZING.md.",
        )
    )


def _stat(title: str, expression: str, unit: str, description: str, levels: ThresholdsConfig) -> stat.Panel:
    query = prometheus.Dataquery().expr(expression).instant().ref_id("A").datasource(PROMETHEUS)
    panel = panels.figure(title, "", unit, description, levels)
    return panel.datasource(PROMETHEUS).targets([query])


def _graph(title: str, expressions: dict[str, str], unit: str, description: str) -> timeseries.Panel:
    panel = panels.graph(title, [], unit, description).datasource(PROMETHEUS)
    for number, (legend, expression) in enumerate(expressions.items()):
        query = prometheus.Dataquery().expr(expression).range().legend_format(legend)
        panel.with_target(query.ref_id(chr(ord("A") + number)).datasource(PROMETHEUS))
    return panel
