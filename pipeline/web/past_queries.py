"""The SQL behind what was: a signal over time, the last day, what is usual at an hour, an earlier moment.

As in :mod:`pipeline.web.queries`, whose pieces it is made of: values go as data, times are ms since the epoch.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.model.evidence import DAY_MS, HOUR_MS, hour_start
from pipeline.model.facts import HORIZON_MS
from pipeline.web.catalogue import Catalogue
from pipeline.web.queries import LAG_MS, SIGNAL, WINDOW_STEP_MS, Filter, Query, at
from schemas.moments import FIRED, WITHDRAWN

TREND_POINTS: Final = 30
DAY_STEP_MS: Final = 1_200_000


def stood(window: str, at_ms: int, names: Catalogue, where: Filter, limit: int, after: tuple[str, str]) -> Query:
    """Of each signal of each segment the row of the newest window that was over then.

    As :func:`pipeline.web.queries.current` of now. All signals are named, for the table is in their order.
    """
    end = at_ms - at_ms % WINDOW_STEP_MS[window]
    asked = f"window = %(window)s AND (segment, signal) > (%(after_segment)s, %(after_signal)s) AND {where.sql}"
    sql = f"""SELECT {SIGNAL} FROM (
    SELECT * FROM cx.signals FINAL
    WHERE signal IN %(signals)s AND (window_end = {at("end")} OR signal IN %(by_age)s AND window_end < {at("end")})
      AND window_end <= {at("end")} AND window_end > {at("since")} AND {asked}
    ORDER BY segment, signal, window_end DESC LIMIT 1 BY segment, signal
) WHERE denominator > 0 ORDER BY segment, signal LIMIT %(limit)s"""
    since = end - 2 * WINDOW_STEP_MS[window] - LAG_MS
    values = {"window": window, "end": end, "since": since, "by_age": names.by_age, "limit": limit}
    values["signals"] = names.signals
    return Query(sql, values | {"after_segment": after[0], "after_signal": after[1]} | dict(where.values))


def history(signal: str, segment: str, window: str, span: tuple[int, int], limit: int) -> Query:
    """A signal of a segment over time, the oldest first."""
    sql = f"""SELECT {SIGNAL} FROM cx.signals FINAL
WHERE signal = %(signal)s AND segment = %(segment)s AND window = %(window)s
  AND window_end >= {at("since")} AND window_end < {at("until")} AND denominator > 0
ORDER BY window_end LIMIT %(limit)s"""
    values = {"signal": signal, "segment": segment, "window": window, "since": span[0], "until": span[1]}
    return Query(sql, values | {"limit": limit})


def last_day(segment: str, as_of_ms: int, signals: Sequence[str]) -> Query:
    """Of each signal the hours that ended within the last day, every twenty minutes: (signal, end, figures)."""
    sql = f"""SELECT signal, toUnixTimestamp64Milli(window_end), numerator, denominator FROM cx.signals FINAL
WHERE signal IN %(signals)s AND segment = %(segment)s AND window = '1h' AND denominator > 0
  AND window_end <= {at("as_of")} AND window_end > {at("since")}
  AND modulo(toUnixTimestamp64Milli(window_end), {DAY_STEP_MS}) = 0
ORDER BY signal, window_end"""
    values = {"segment": segment, "as_of": as_of_ms, "since": as_of_ms - DAY_MS, "signals": signals}
    return Query(sql, values)


def hours_of_the_day(segment: str, as_of_ms: int, signals: Sequence[str]) -> Query:
    """Of each signal what each hour of the day was like on the 27 days before the last one.

    Rows: (signal, full hours back from the newest one, 0 to 23; hours with n, hours with any events; sums of
    numerators, of their squares and of denominators; standard deviation of an hour's value).
    """
    begins = hour_start(as_of_ms)
    back = f"intDiv(%(begins)s - toUnixTimestamp64Milli(window_end), {HOUR_MS})"
    sql = f"""WITH found AS (
    SELECT signal, numerator, denominator, modulo({back}, 24) AS hour FROM cx.signals_hourly FINAL
    WHERE signal IN %(signals)s AND segment = %(segment)s AND denominator > 0
      AND window_end <= {at("until")} AND window_end > {at("since")}
), known AS (SELECT hour, count() AS hours FROM found WHERE signal = 'friction' GROUP BY hour)
SELECT signal, hour, count() AS with_n, greatest(with_n, any(known.hours)), sum(numerator),
    sum(numerator * numerator), sum(denominator), stddevSampStable(numerator / denominator)
FROM found LEFT JOIN known USING (hour) GROUP BY signal, hour ORDER BY signal, hour DESC"""
    span = {"until": begins - DAY_MS, "since": begins - 28 * DAY_MS}
    return Query(sql, {"segment": segment, "begins": begins, "signals": signals} | span)


def moments(segment: Filter, as_of_ms: int) -> Query:
    """Of the last day, by rule: (rule, fired, withdrawn, when it fired last, ([hours back], [fired in each]))."""
    back = f"toUInt8(intDiv(%(until)s - 1 - toUnixTimestamp64Milli(at), {HOUR_MS}))"
    sql = f"""SELECT rule, countIf(status = '{FIRED}') AS fired, countIf(status = '{WITHDRAWN}'),
    if(fired > 0, toUnixTimestamp64Milli(maxIf(at, status = '{FIRED}')), NULL),
    sumMapIf([{back}], [toUInt64(1)], status = '{FIRED}')
FROM cx.moments FINAL
WHERE at >= {at("since")} AND at < {at("as_of")} AND {segment.sql} GROUP BY rule ORDER BY rule"""
    values = {"since": as_of_ms - DAY_MS, "as_of": as_of_ms, "until": as_of_ms}
    return Query(sql, values | dict(segment.values))


def last_hour(segment: str, signals: Sequence[str], as_of_ms: int) -> Query:
    """The newest window of an hour of each signal: (signal, value, lower, upper, n)."""
    sql = f"""SELECT signal, value, lower, upper, toUInt64(denominator) FROM cx.signals FINAL
WHERE signal IN %(signals)s AND segment = %(segment)s AND window = '1h' AND denominator > 0
  AND window_end <= {at("as_of")} AND window_end > {at("since")}
ORDER BY signal, window_end DESC LIMIT 1 BY signal"""
    return Query(sql, {"signals": signals, "segment": segment, "as_of": as_of_ms, "since": as_of_ms - 2 * HOUR_MS})


def arms(as_of_ms: int) -> Query:
    """Of persons of whom the horizon has passed: (rule, share held out, told, of these bought, held, the same)."""
    sql = f"""SELECT rule, holdout, countIf(NOT is_held), countIf(NOT is_held AND has_bought),
    countIf(is_held), countIf(is_held AND has_bought)
FROM cx.moment_arms WHERE first_at < {at("until")} GROUP BY rule, holdout"""
    return Query(sql, {"until": as_of_ms - HORIZON_MS})


def trends(signal: str, dimension: str, window: str, as_of_ms: int) -> Query:
    """By segment, its last hour in at most 31 points: (segment, [(time, value)])."""
    where = Filter().of_dimension(dimension)
    sql = f"""SELECT segment, arraySort(groupArray((toUnixTimestamp64Milli(window_end), value)))
FROM cx.signals FINAL
WHERE window = %(window)s AND window_end <= {at("as_of")} AND window_end >= {at("since")}
  AND modulo(toUnixTimestamp64Milli(window_end), %(every)s) = 0
  AND signal = %(signal)s AND denominator > 0 AND {where.sql}
GROUP BY segment ORDER BY segment"""
    values = {"signal": signal, "window": window, "as_of": as_of_ms, "since": as_of_ms - HOUR_MS}
    return Query(
        sql, values | {"every": max(HOUR_MS // TREND_POINTS, WINDOW_STEP_MS[window])} | dict(where.values)
    )


def by_hour(signal: str, dimension: str, as_of_ms: int) -> Query:
    """By segment, its last 24 full hours: (segment, [(end, numerator, denominator)])."""
    where = Filter().of_dimension(dimension)
    sql = f"""SELECT segment, arraySort(groupArray((toUnixTimestamp64Milli(window_end), numerator, denominator)))
FROM cx.signals_hourly FINAL
WHERE signal = %(signal)s AND window_end <= {at("as_of")} AND window_end > {at("since")} AND denominator > 0
  AND {where.sql}
GROUP BY segment ORDER BY segment"""
    values = {"signal": signal, "as_of": as_of_ms, "since": hour_start(as_of_ms) - DAY_MS}
    return Query(sql, values | dict(where.values))


def usual(segment: str, as_of_ms: int) -> Query:
    """Of each signal, hours, numerator and denominator at three kinds of full hours before this one.

    That is of the last 28 days those at the same hour of the week; at the same hour of the day; and of the last
    24 hours, all. One row: (signal, 3 x (hours, numerator, denominator)).
    """
    begins = hour_start(as_of_ms - 1)
    kinds = {
        "week": f"modulo(%(begins)s - toUnixTimestamp64Milli(window_end) + {HOUR_MS}, {7 * DAY_MS}) = 0",
        "day": f"modulo(%(begins)s - toUnixTimestamp64Milli(window_end) + {HOUR_MS}, {DAY_MS}) = 0",
        "all": f"window_end > {at('yesterday')}",
    }
    sums = ", ".join(
        f"countIf({is_one}), sumIf(numerator, {is_one}), sumIf(denominator, {is_one})" for is_one in kinds.values()
    )
    sql = f"""SELECT signal, {sums} FROM cx.signals_hourly FINAL
WHERE segment = %(segment)s AND denominator > 0 AND window_end <= {at("begins")} AND window_end > {at("since")}
GROUP BY signal"""
    values = {"segment": segment, "begins": begins, "yesterday": begins - DAY_MS, "since": begins - 28 * DAY_MS}
    return Query(sql, values)


def completeness(as_of_ms: int) -> Query:
    """Of each hour of the last day: (end, its windows of five minutes, those of them that are complete)."""
    end = f"{HOUR_MS} * intDiv(toUnixTimestamp64Milli(window_end) + {HOUR_MS - 1}, {HOUR_MS})"
    sql = f"""SELECT {end}, count(), countIf(complete)
FROM cx.signals FINAL
WHERE signal = 'friction' AND segment = 'all' AND window = '5m' AND window_end <= {at("as_of")}
  AND window_end > {at("since")} GROUP BY 1 ORDER BY 1"""
    newest = hour_start(as_of_ms)  # the running one is not over
    return Query(sql, {"as_of": newest, "since": newest - DAY_MS})
