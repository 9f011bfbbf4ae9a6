"""Time of every panel's query over three days of 500 segments, with a month of full hours behind them.

``make bench-dashboards`` fills an embedded ClickHouse by SQL: 14 signals of each segment at all ends of all
windows, journeys at 20 checkouts a minute. Each query is run several times, as Grafana would; printed are median
and worst. ``--segments`` and ``--hours`` make it smaller.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clickhouse_driver import Client

from deploy.embedded import clickhouse
from deploy.embedded.process import free_port
from pipeline.cli.admin import apply_migrations
from pipeline.settings import ClickHouseSettings, Settings
from tests.dashboards import Range, clickhouse_panels, expand, other_queries

#: Of funnels that a segment has, and what every segment has.
KINDS = ("abandonment", "nowcast", "completion_ratio", "value_abandoned")
EVERYBODY = ("csat", "friction")
FUNNELS = ("checkout", "queue", "basket")
WINDOWS = {"1m": 10, "5m": 10, "15m": 60, "1h": 60}
LIMIT_MS = 200
VALUES = {
    "funnel": "checkout",
    "channel": "all",
    "store": "all",
    "device": "all",
    "other": "all",
    "window": "5m",
    "segment": "all",
}


def segments(count: int) -> list[str]:
    fixed = ["all", "channel=web", "channel=app", "channel=pos", *(f"region={name}" for name in "nsew")]
    fixed += [f"channel={c}|device={d}" for c in ("web", "app") for d in ("mobile", "desktop", "tablet")]
    stores = (count - len(fixed)) // 2
    fixed += [f"store_id=store-{number:03}" for number in range(stores)]
    return fixed + [f"channel=pos|store_id=store-{number:03}" for number in range(count - len(fixed))]


def fill(client: Any, names: list[str], hours: int, now_s: int) -> None:
    signals = [f"{funnel}_{kind}" for funnel in FUNNELS for kind in KINDS] + list(EVERYBODY)
    values = (
        "toFloat64(cityHash64(number) % 40) AS numerator, toFloat64(40 + cityHash64(number) % 20) AS denominator, "
        "numerator / denominator AS value, value * 0.8 AS lower, value * 1.2 AS upper, number AS version"
    )
    columns = "signal, segment, window_end, numerator, denominator, value, lower, upper, version"
    each = f"(SELECT arrayJoin({names}) AS segment) AS s"
    for window, step in WINDOWS.items():
        for signal in signals:
            ends = hours * 3600 // step
            client.execute(
                f"INSERT INTO cx.signals (window, {columns}) SELECT '{window}', '{signal}', segment, "
                f"toDateTime64({now_s} - number % {ends} * {step}, 3) AS window_end, {values} "
                f"FROM {each} CROSS JOIN numbers({ends}) AS n"
            )
    hour = now_s // 3600 * 3600
    client.execute(
        f"INSERT INTO cx.signals_hourly ({columns}) SELECT signal, segment, "
        f"toDateTime64({hour} - number * 3600, 3) AS window_end, {values} "
        f"FROM (SELECT arrayJoin({signals}) AS signal) AS a CROSS JOIN {each} CROSS JOIN numbers(720) AS n"
    )
    _fill_journeys(client, hours, now_s)


def _fill_journeys(client: Any, hours: int, now_s: int) -> None:
    count = 4 * 20 * 60 * hours
    client.execute(
        "INSERT INTO cx.journeys (journey_id, funnel, session_id, channel, store_id, device, entered_at, "
        "ended_at, outcome, reason, last_step, value, version) SELECT concat(funnel, ':', toString(number)), "
        "['checkout', 'cart', 'queue', 'search'][number % 4 + 1] AS funnel, toString(cityHash64(number)), "
        "['web', 'app', 'pos'][number % 3 + 1], '', 'mobile', "
        f"toDateTime64({now_s} - number * {hours * 3600 / count}, 3) AS entered_at, entered_at + number % 600, "
        "if(number % 5 < 2, 'abandoned', 'completed'), '', ['cart', 'address', 'payment'][number % 3 + 1], 30, 1 "
        f"FROM numbers({count})"
    )


def measure(client: Any, sql: str, rounds: int) -> tuple[list[float], int]:
    took, count = [], 0
    for _ in range(rounds):
        started = time.perf_counter()
        count = len(client.execute(sql))
        took.append((time.perf_counter() - started) * 1000)
    return took, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=500)
    parser.add_argument("--hours", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cx-bench-") as folder:
        port, now_s = free_port(), int(time.time()) // 60 * 60
        server = clickhouse.start(port, Path(folder) / "data", Path(folder) / "log")
        client = Client("127.0.0.1", port=port, send_receive_timeout=3_600)
        try:
            apply_migrations(Settings(clickhouse=ClickHouseSettings(port=port)))
            started = time.monotonic()
            fill(client, segments(options.segments), options.hours, now_s)
            rows = client.execute("SELECT count() FROM cx.signals")[0][0]
            parts = client.execute("SELECT count() FROM system.parts WHERE table = 'signals' AND active")[0][0]
            print(f"{rows:,} signal rows in {parts} parts, {time.monotonic() - started:.0f} s to fill", flush=True)
            print("| panel | rows | median ms | worst ms |\n|---|---|---|---|")
            slow = 0
            queries = {str(panel): panel.sql for panel in clickhouse_panels()} | other_queries()
            shown = Range((now_s - 3 * 3_600) * 1000, now_s * 1000)
            for name, sql in queries.items():
                took, count = measure(client, expand(sql, shown, VALUES), options.rounds)
                slow += statistics.median(took) > LIMIT_MS
                print(f"| {name} | {count} | {statistics.median(took):.0f} | {max(took):.0f} |", flush=True)
            print(f"{slow} of {len(queries)} over {LIMIT_MS} ms")
        finally:
            client.disconnect()
            server.stop()
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
