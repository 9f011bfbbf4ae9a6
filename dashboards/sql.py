"""The SQL of the dashboards: which rows, of which table, in which shape.

``window``, ``segment`` and the others are Grafana's variables, each read through ``given``; ``$__…`` are macros of the
ClickHouse data source. Rows are versioned, so every table is read with FINAL.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.model.funnels import STANDARD
from pipeline.model.signals import OF_FUNNEL, OF_PERSONS, Kind

SHORT_SPAN_S: Final = 3 * 86_400
"""Up to it signals are read as they are; of longer ranges, and of what is no longer kept so, by full hours."""


def given(name: str) -> str:
    """The value of one of Grafana's variables, whatever anybody has written into the address.

    Its forms for SQL leave backslashes as they are, which end a string in ClickHouse; percent-encoded nothing is left
    that means anything to SQL, to Grafana or to the macros.
    """
    return f"decodeURLComponent('${{{name}:percentencode}}')"


_KEPT_DAYS: Final = f"if({given('window')} IN ('1m', '5m'), 3, 30)"

_NOW: Final = "$__toTime_ms"
_SPAN: Final = "toUnixTimestamp($__toTime) - toUnixTimestamp($__fromTime)"
_AGE: Final = "toUnixTimestamp(now()) - toUnixTimestamp($__fromTime)"
_LATEST_S: Final = 120
"""So long after its end a window is complete at the latest, where all goes well."""
_COLUMNS: Final = "signal, segment, window_end, numerator, denominator, value, lower, upper"
SEGMENT: Final = given("segment")
CHANNELS: Final = "'channel=app', 'channel=pos', 'channel=web'"


def quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _spans(where: str, window: str = given("window")) -> str:
    """Signals in the range shown, of the window chosen; of a long or old range those of the full hours."""
    is_short = f"{_SPAN} <= {SHORT_SPAN_S} AND {_AGE} <= {_KEPT_DAYS} * 86400"
    return f"""(
    SELECT {_COLUMNS} FROM cx.signals FINAL
    WHERE {where} AND window = {window} AND $__timeFilter_ms(window_end)
      AND {is_short} AND denominator > 0
    UNION ALL
    SELECT {_COLUMNS} FROM cx.signals_hourly FINAL
    WHERE {where} AND $__timeFilter_ms(window_end) AND NOT ({is_short}) AND denominator > 0
)"""


def band(signal: str, segment: str = SEGMENT) -> str:
    """A signal of one segment over time, with its interval and n: the last of each interval of the graph.

    ``signal``: its name.
    """
    return band_of(f"'{signal}'", segment)


def band_of(signal: str, segment: str = SEGMENT) -> str:
    """The same of a signal that is named by an expression."""
    return f"""SELECT $__timeInterval_ms(window_end) AS time,
    argMax(value, window_end) AS value,
    argMax(lower, window_end) AS lower,
    argMax(upper, window_end) AS upper
FROM {_spans(f"signal = {signal} AND segment = {segment}")}
GROUP BY time ORDER BY time"""


def lines(signals: Iterable[str], segments: str, label: str, column: str = "value") -> str:
    """Several signals or segments over time; ``label``: what tells the lines apart."""
    return f"""SELECT $__timeInterval_ms(window_end) AS time, {label} AS line, argMax({column}, window_end) AS value
FROM {_spans(f"signal IN ({quoted(signals)}) AND segment IN ({segments})")}
GROUP BY time, line ORDER BY time, line"""


def rates(segments: str) -> str:
    """How often rules about persons fire, of 1,000 who come, over time, a line for each; whatever rules there are."""
    where = f"endsWith(signal, '_{Kind.MOMENT_RATE}') AND segment IN ({segments})"
    rule = f"replaceAll(extract(signal, '^(.+)_{Kind.MOMENT_RATE}\\\\z'), '_', '-')"
    return f"""SELECT $__timeInterval_ms(window_end) AS time, {rule} AS line, argMax(value, window_end) AS value
FROM {_spans(where, "'1h'")}
GROUP BY time, line ORDER BY time, line"""


def now(signal: str, segment: str = SEGMENT, window: str = given("window"), column: str = "value") -> str:
    """A signal as it stands: no row of it of late is no data. n and interval as a text beside it.

    That is the window which is filling, where the range shown ends now; else the last one that was over by then. Of
    the signals by age (nowcasts, completion ratios) there is the latter only.
    """
    return f"""SELECT {column} AS value,
    concat('n = ', toString(round(denominator)), ', ', toString(round(lower, 3)), ' to ', toString(round(upper, 3))) AS detail
FROM (
    {_present(f"signal = '{signal}' AND segment = {segment}", window)}
    ORDER BY window_end DESC LIMIT 1
)
WHERE denominator > 0"""


def _present(where: str, window: str) -> str:
    """Rows of the window that is filling, where the range shown ends now, and of those over of late, any n."""
    step = f"transform({window}, ['1m', '5m', '15m', '1h'], [10, 60, 300, 600], 10)"
    return f"""SELECT * FROM (
        SELECT {_COLUMNS} FROM cx.signals_now
        WHERE {where} AND window = {window} AND {_NOW} > now64(3) - INTERVAL 1 MINUTE
        UNION ALL
        SELECT {_COLUMNS} FROM cx.signals FINAL
        WHERE {where} AND window = {window}
          AND window_end <= {_NOW} AND window_end > {_NOW} - toIntervalSecond(2 * {step} + {_LATEST_S})
    )"""


def newest(signals: dict[str, str], prefix: str, key: str) -> str:
    """A table with a row for each segment whose text begins so, and a column for each signal, as they stand now.

    ``signals``: by column, the signal; each also gives its n. ``key``: the expression that names the row.
    """
    columns = ",\n    ".join(
        f"anyOrNullIf(value, signal = '{signal}') AS `{column}`, "
        f"anyOrNullIf(denominator, signal = '{signal}') AS `{column} n`"
        for column, signal in signals.items()
    )
    where = f"signal IN ({quoted(signals.values())}) AND startsWith(segment, '{prefix}') AND NOT position(segment, '|') > 0"
    return f"""SELECT {key} AS name,
    {columns},
    segment AS key
FROM (
    {_present(where, "'15m'")}
    ORDER BY window_end DESC LIMIT 1 BY segment, signal
)
WHERE denominator > 0
GROUP BY segment ORDER BY segment"""


def _part(dimension: str, named: bool = True) -> str:
    """Of a segment's text what it says of a dimension; ``named``: with the dimension's name before it."""
    inner = f"({dimension}=[^|]*)" if named else f"{dimension}=([^|]*)"
    found = f"extract(segment, '(?:^|\\\\|){inner}')"
    return f"if({found} = '', 'all', {found})"


_OF_FUNNELS: Final = "|".join((*OF_PERSONS, *OF_FUNNEL))
_NAMED: Final = f"extract(signal, '^(.+?)_(?:{_OF_FUNNELS})\\\\z')"
"""The funnel that a signal is of, whatever funnels the shop has; empty: of none."""
_ABANDONMENT: Final = (
    f"endsWith(signal, '_{Kind.ABANDONMENT}') AND NOT endsWith(signal, '_{Kind.NET_ABANDONMENT}')"
)
_FUNNEL_OF_SIGNAL: Final = f"if({_NAMED} = '', 'checkout', {_NAMED})"
OPEN_ALERTS: Final = f"""SELECT status, severity, rule, segment, opened_at, observed, expected, explanation,
    {_FUNNEL_OF_SIGNAL} AS funnel,
    {_part("channel", named=False)} AS channel, {_part("store_id")} AS store, {_part("device")} AS device
FROM cx.alerts FINAL
WHERE status IN ('pending', 'firing')
ORDER BY severity, opened_at DESC"""

ALERT_MARKS: Final = """SELECT opened_at AS time, if(resolved_at IS NULL, now64(3), resolved_at) AS timeEnd,
    concat(rule, ' (', severity, ')') AS title, explanation AS text, segment AS tags
FROM cx.alerts FINAL
WHERE status != 'retracted' AND alert_id IN (SELECT alert_id FROM cx.alerts_fired) AND opened_at <= $__toTime_ms AND (resolved_at IS NULL OR resolved_at >= $__fromTime_ms)
ORDER BY time"""


def by_funnel(columns: str) -> str:
    """A row for each funnel over the range shown, from windows that do not overlap: of 15 minutes, or of an hour."""
    where = f"{_ABANDONMENT} AND segment = {SEGMENT} AND $__timeFilter_ms(window_end) AND denominator > 0"
    is_short = f"{_SPAN} <= 30 * 86400 AND {_AGE} <= 30 * 86400"
    return f"""SELECT {_NAMED} AS funnel, {columns}
FROM (
    SELECT signal, numerator, denominator FROM cx.signals FINAL
    WHERE {where} AND window = '15m' AND toUnixTimestamp64Milli(window_end) % 900000 = 0 AND {is_short}
    UNION ALL
    SELECT signal, numerator, denominator FROM cx.signals_hourly FINAL WHERE {where} AND NOT ({is_short})
)
GROUP BY signal ORDER BY indexOf([{quoted(STANDARD)}], funnel) = 0, indexOf([{quoted(STANDARD)}], funnel), funnel"""


def journeys(columns: str, more: str = "", funnel: str = given("funnel")) -> str:
    """Ended journeys that began in the range shown, of the channel, store, device and region chosen."""
    return f"""SELECT {columns}
FROM cx.journeys_by_entry FINAL
WHERE funnel = {funnel} AND outcome != 'retracted' AND {_entered_and_chosen()}
{more}"""


def recoveries(columns: str, more: str = "") -> str:
    """What has become of journeys of somebody known that began in the range shown, of the values chosen."""
    return f"""SELECT {columns}
FROM cx.recoveries FINAL
WHERE status != 'retracted' AND {_entered_and_chosen()}
{more}"""


def known(funnels: Iterable[str]) -> str:
    """By funnel the abandoned journeys, those of somebody known among them, and their share."""
    return f"""SELECT funnel, sum(abandoned) AS abandoned, sum(known) AS known, known / abandoned AS share
FROM (
    SELECT funnel, 0 AS abandoned, count() AS known FROM cx.recoveries FINAL
    WHERE status != 'retracted' AND {_entered_and_chosen()} GROUP BY funnel
    UNION ALL
    SELECT funnel, count(), 0 FROM cx.journeys_by_entry FINAL
    WHERE outcome = 'abandoned' AND funnel IN ({quoted(funnels)}) AND {_entered_and_chosen()} GROUP BY funnel
)
GROUP BY funnel HAVING abandoned > 0 ORDER BY funnel"""


def _entered_and_chosen() -> str:
    return f"""$__timeFilter_ms(entered_at)
  AND toStartOfHour(entered_at) >= toStartOfHour($__fromTime) AND toStartOfHour(entered_at) <= $__toTime
  AND ({_chosen("channel")}) AND ({_chosen("store")}) AND ({_chosen("device")}) AND ({_chosen_otherwise()})"""


def _chosen(name: str) -> str:
    if name == "channel":
        return f"{given(name)} IN ('all', channel)"
    return f"{given(name)} IN ('all', {_segment_of('store_id' if name == 'store' else name)})"


def _chosen_otherwise() -> str:
    """Of other segments journeys know their region only: of all others there are none."""
    return f"{given('other')} IN ('all', {_segment_of('region')})"


def _segment_of(column: str) -> str:
    escaped = f"replaceAll(replaceAll(replaceAll({column}, '%', '%25'), '|', '%7C'), '=', '%3D')"
    return f"concat('{column}=', {escaped})"


CHOSEN_SEGMENT: Final = f"""WITH {given("store")} AS store, {given("channel")} AS channel, {given("device")} AS device,
    {given("other")} AS other
SELECT multiIf(
    other != 'all', other,
    store != 'all' AND channel != 'all', concat('channel=', channel, '|', store),
    store != 'all', store,
    channel != 'all' AND device != 'all', concat('channel=', channel, '|', device),
    channel != 'all', concat('channel=', channel),
    'all') AS value"""
"""The segment of the values chosen. There is none of a device in all channels: that shows everything. A segment of
other dimensions, of the shop's own among them, is chosen as a whole.

Stores and devices are chosen as a segment's text has them, ``store_id=...``: so a store may be called *all*.
"""


def _values(found: str, name_at: int, where: str) -> str:
    tables = "\n    UNION DISTINCT\n".join(
        f"    SELECT DISTINCT {found} AS value, decodeURLComponent(substring(value, {name_at})) AS label FROM {table}\n"
        f"    WHERE signal = 'friction' AND {where} AND {times}"
        for table, times in (
            ("cx.signals_now", "window = '1h'"),
            ("cx.signals_hourly", "$__timeFilter_ms(window_end)"),
        )
    )
    return f"""SELECT value, label FROM (
    SELECT 'all' AS value, 'All' AS label
    UNION ALL
{tables}
) GROUP BY value, label ORDER BY value = 'all' DESC, value"""


STORES: Final = _values("segment", 10, "startsWith(segment, 'store_id=')")
"""As they stand in a segment's text, and as people write them; those of the range shown, and of the last hours."""
FUNNELS: Final = f"""SELECT DISTINCT {_NAMED} AS value FROM (
    SELECT signal FROM cx.signals_now WHERE window = '1h' AND {_ABANDONMENT}
    UNION ALL
    SELECT signal FROM cx.signals_hourly WHERE {_ABANDONMENT} AND $__timeFilter_ms(window_end)
) ORDER BY value = 'checkout' DESC, value"""
"""Those of the shop, the range shown and the last hour."""
DEVICES: Final = _values("extract(segment, '(device=.+)')", 8, "segment LIKE 'channel=%|device=%'")
_GIVEN: Final = "channel=[^|]*([|](device|store_id)=[^|]*)?|store_id=[^|]*"
OTHERS: Final = _values("segment", 1, f"segment != 'all' AND NOT match(segment, '^({_GIVEN})\\\\z')")
"""Segments that channel, store and device do not give."""
