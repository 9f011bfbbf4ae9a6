"""ClickHouse in Grafana: the query that its data source takes, variables and annotations made of it."""

from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DataSourceRef,
    VariableHide,
    VariableOption,
    VariableRefresh,
)

PLUGIN: Final = "grafana-clickhouse-datasource"
PLUGIN_VERSION: Final = "4.10.2"
SOURCE: Final = DataSourceRef(type_val=PLUGIN, uid="cx-clickhouse")
_TIME_SERIES, _TABLE = 0, 1


class Query(Dataquery):
    """A query in SQL, as the plugin's query editor stores it (its editor type "sql")."""

    def __init__(self, sql: str, ref_id: str, is_series: bool) -> None:
        self.sql = sql
        self.ref_id = ref_id
        self.is_series = is_series

    def to_json(self) -> dict[str, Any]:
        return {
            "datasource": SOURCE,
            "editorType": "sql",
            "format": _TIME_SERIES if self.is_series else _TABLE,
            "meta": {},
            "pluginVersion": PLUGIN_VERSION,
            "queryType": "timeseries" if self.is_series else "table",
            "rawSql": self.sql,
            "refId": self.ref_id,
        }


class Sql(Builder[Dataquery]):
    """A panel's query. ``is_series``: a time, numbers, and texts that tell series apart; else a table."""

    def __init__(self, sql: str, ref_id: str = "A", is_series: bool = False) -> None:
        self._query = Query(sql, ref_id, is_series)

    def build(self) -> Dataquery:
        return self._query


class Annotation(Builder[AnnotationQuery]):
    """Marks on the time axis: columns time, timeEnd, title, text, tags."""

    def __init__(self, name: str, sql: str, colour: str) -> None:
        target: Any = Query(sql, "Anno", is_series=False)  # the SDK's own target is Grafana's built-in source's
        self._query = AnnotationQuery(name=name, datasource=SOURCE, icon_color=colour, target=target)

    def build(self) -> AnnotationQuery:
        return self._query


def variable(name: str, label: str, sql: str, usual: str, is_hidden: bool = False) -> QueryVariable:
    """A variable whose values (columns ``value`` and ``text``, or one column) are queried as the range changes."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(sql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.HIDE_VARIABLE if is_hidden else VariableHide.DONT_HIDE)
        .current(VariableOption(text=usual, value=usual))
    )
