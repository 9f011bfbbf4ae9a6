"""What Grafana and its ClickHouse data source make of a dashboard's queries before they run them.

The macros are those of the data source's documentation ("Macros"), with the precision of the ``_ms`` forms.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

FOLDER: Final = Path(__file__).parents[1] / "dashboards" / "grafana"
PLUGIN: Final = "grafana-clickhouse-datasource"


@dataclass(frozen=True)
class Range:
    """The range shown, ms since the epoch, and the width of a point."""

    from_ms: int
    to_ms: int
    interval_ms: int = 30_000


@dataclass(frozen=True)
class Panel:
    """One panel's query."""

    dashboard: str
    title: str
    kind: str
    sql: str
    is_series: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.title}"


def documents() -> dict[str, dict[str, Any]]:
    """By uid, the dashboards as they are committed."""
    found = (json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")))
    return {one["uid"]: one for one in found}


def panels(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but rows, those inside of rows too."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def clickhouse_panels() -> list[Panel]:
    return [
        Panel(uid, panel["title"], panel["type"], target["rawSql"], target["format"] == 0)
        for uid, document in documents().items()
        for panel in panels(document)
        for target in panel["targets"]
        if target.get("datasource", {}).get("type") == PLUGIN
    ]


def prometheus_queries() -> dict[str, str]:
    """By panel and query, the expressions for Prometheus."""
    return {
        f"{uid}: {panel['title']} {target['refId']}": target["expr"]
        for uid, document in documents().items()
        for panel in panels(document)
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    }


def other_queries() -> dict[str, str]:
    """By name, the queries of variables and of marks on the time axis."""
    found = {}
    for uid, document in documents().items():
        for one in document["templating"].get("list") or []:
            if one["type"] == "query":
                found[f"{uid}: variable {one['name']}"] = one["query"]
        for mark in document["annotations"].get("list") or []:
            found[f"{uid}: marks {mark['name']}"] = mark["target"]["rawSql"]
    return found


def expand(sql: str, shown: Range, values: Mapping[str, str]) -> str:
    """The query as it reaches the server."""

    def variable(found: re.Match[str]) -> str:
        name, _, form = found[1].partition(":")
        text = values[name]
        assert form == "percentencode", f"{found[0]} can be anything"
        return quote(text, safe="-_.~")

    text = re.sub(r"\$\{(\w+(?::\w+)?)\}", variable, sql)
    from_ms, to_ms = (f"fromUnixTimestamp64Milli({at})" for at in (shown.from_ms, shown.to_ms))
    from_s, to_s = (f"toDateTime({at // 1000})" for at in (shown.from_ms, shown.to_ms))
    step = max(1, shown.interval_ms)
    text = re.sub(r"\$__timeFilter_ms\(([^)]*)\)", rf"\1 >= {from_ms} AND \1 <= {to_ms}", text)
    text = re.sub(
        r"\$__timeInterval_ms\(([^)]*)\)",
        rf"toStartOfInterval(toDateTime64(\1, 3), INTERVAL {step} millisecond)",
        text,
    )
    for macro, value in (
        ("$__fromTime_ms", from_ms),
        ("$__toTime_ms", to_ms),
        ("$__fromTime", from_s),
        ("$__toTime", to_s),
    ):
        text = text.replace(macro, value)
    assert "$" not in text, f"a macro or variable that is not known: {text}"
    return text
