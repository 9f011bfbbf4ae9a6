"""The SQL behind the API and the console. Values go as data; times are ms since the epoch, both ways.

Rows are versioned, so tables are read with FINAL.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pipeline.core.windows.window_ends import WINDOWS
from pipeline.model.dimensions import OTHER
from pipeline.model.evidence import HOUR_MS
from pipeline.model.facts import HORIZON_MS
from pipeline.model.tiles import BUCKET_MS
from pipeline.web.catalogue import Catalogue
from schemas.recoveries import ELSEWHERE, LOST, OPEN, RECOVERED, RETRACTED
from schemas.segments import parse_segment

WINDOW_STEP_MS: Final = {window.name: window.step_ms for window in WINDOWS}
WINDOW_MS: Final = {window.name: window.length_ms for window in WINDOWS}
_ACTIVE_MS: Final = 4 * HOUR_MS
"""A journey that went on for longer before its last event is not among the exits."""
LAG_MS: Final = 120_000
"""So long after its end a window is complete at the latest, where all goes well."""
_FIGURES: Final = (
    "signal, segment, window, toUnixTimestamp64Milli(window_end) AS end, "
    "numerator, denominator, value, lower, upper"
)
SIGNAL: Final = f"{_FIGURES}, toBool(complete), toNullable(version)"
"""Columns of a row of a signal, in the order of :class:`pipeline.web.answers.SignalRow`."""
_NOW: Final = f"{_FIGURES}, false, CAST(NULL, 'Nullable(UInt64)')"
"""The same of a window that is still filling."""
JOURNEY: Final = (
    "journey_id, funnel, channel, session_id, store_id, region, device, toUnixTimestamp64Milli(entered_at), "
    "toUnixTimestamp64Milli(ended_at), outcome, reason, last_step, value, version"
)
"""Of :class:`pipeline.web.answers.JourneyRow`."""
ALERT: Final = (
    "alert_id, rule, signal, segment, status, severity, toUnixTimestamp64Milli(opened_at), "
    "toUnixTimestamp64Milli(updated_at), toUnixTimestamp64Milli(resolved_at), observed, expected, n, window_s, "
    "arrayZip(cause_where, cause_share), missing, at_stake, currency, explanation, version"
)
"""Of :class:`pipeline.web.answers.AlertRow`."""


_OF_JOURNEYS: Final = ("channel", "store_id", "region", "device")


_ENTERED: Final = (
    "toStartOfHour(entered_at) >= toStartOfHour(fromUnixTimestamp64Milli(%(since)s, 'UTC')) "
    "AND entered_at >= fromUnixTimestamp64Milli(%(since)s, 'UTC') "
    "AND entered_at < fromUnixTimestamp64Milli(%(until)s, 'UTC')"
)


class Query(NamedTuple):
    sql: str
    values: dict[str, Any]


class Filter(NamedTuple):
    """A condition and its values."""

    sql: str = "1"
    values: tuple[tuple[str, Any], ...] = ()

    def and_(self, sql: str, **values: Any) -> "Filter":
        return Filter(f"{self.sql} AND {sql}", (*self.values, *values.items()))

    def or_(self, other: "Filter") -> "Filter":
        return Filter(f"(({self.sql}) OR ({other.sql}))", (*self.values, *other.values))

    def equal(self, **values: Any) -> "Filter":
        """Each column, named as the keyword, is the value; None: whatever it is."""
        found = self
        for name, value in values.items():
            if value is not None:
                found = found.and_(f"{name} = %({name}_is)s", **{f"{name}_is": value})
        return found

    def open_at(self, at_ms: int) -> "Filter":
        """Alerts that had fired and were not over yet."""
        then = at("open_at")
        return self.and_(
            f"opened_at <= {then} AND (resolved_at IS NULL OR resolved_at > {then}) "
            "AND alert_id IN (SELECT alert_id FROM cx.alerts_fired)",
            open_at=at_ms,
        )

    def of_dimension(self, dimension: str | None) -> "Filter":
        """Segments of exactly these dimensions (``channel|device``, ``all``); None: of any."""
        if dimension is None:
            return self
        if dimension == "all":
            return self.and_("segment = 'all'")
        names = sorted(dimension.split("|"))
        return self.and_(
            "startsWith(segment, %(prefix)s) AND match(segment, %(shape)s)",
            prefix=f"{names[0]}=",
            shape="^" + r"\|".join(f"{name}=[^|]*" for name in names) + "$",
        )


def at(name: str) -> str:
    return f"fromUnixTimestamp64Milli(%({name})s, 'UTC')"


def newest(back_ms: int) -> Query:
    """Where the present is: ends of the newest bucket, and of the newest one with events within so long.

    One row, 0 where there is none. An event may lie five minutes in the future; its bucket is not the present yet.
    """
    step = f"toIntervalMillisecond({BUCKET_MS})"
    sql = f"""WITH (SELECT least(max(bucket), toStartOfInterval(now64(3, 'UTC'), {step})) FROM cx.tiles) AS present
SELECT if(toUnixTimestamp64Milli(present) > 0, toUnixTimestamp64Milli(present + {step}), 0),
    if(count() > 0, toUnixTimestamp64Milli(max(bucket) + {step}), 0)
FROM cx.tiles
WHERE bucket > present - toIntervalMillisecond(%(back)s) AND bucket <= present
  AND segment = 'all' AND events > 0"""
    return Query(sql, {"back": back_ms})


def current(
    window: str, as_of_ms: int, by_age: Sequence[str], where: Filter, limit: int, after: tuple[str, str]
) -> Query:
    """What each signal of each segment is now, by segment and signal: none of what has nothing to go by.

    ``by_age``: the signals of life tables; of these it is the newest row of a window that is over.
    """
    values = {
        "window": window,
        "as_of": as_of_ms,
        "since": as_of_ms - 2 * WINDOW_STEP_MS[window] - LAG_MS,
        "after_segment": after[0],
        "after_signal": after[1],
        "limit": limit,
    }
    asked = f"window = %(window)s AND (segment, signal) > (%(after_segment)s, %(after_signal)s) AND {where.sql}"
    # A row taken back (n = 0) hides older ones, so it is left out only after the newest have been found.
    sql = f"""SELECT * FROM (
    SELECT {_NOW} FROM cx.signals_now WHERE {asked}
    UNION ALL
    SELECT {SIGNAL} FROM (
        SELECT * FROM cx.signals FINAL
        WHERE signal IN %(by_age)s AND window_end <= {at("as_of")} AND window_end > {at("since")} AND {asked}
        ORDER BY segment, signal, window_end DESC LIMIT 1 BY segment, signal
    ) WHERE denominator > 0
) ORDER BY segment, signal LIMIT %(limit)s"""
    return Query(sql, values | {"by_age": by_age} | dict(where.values))


def now(window: str, where: Filter) -> Query:
    """The signals of the window that is filling."""
    sql = f"SELECT {_NOW} FROM cx.signals_now WHERE window = %(window)s AND {where.sql}"
    return Query(sql, {"window": window} | dict(where.values))


def lately(window: str, as_of_ms: int, signals: Sequence[str], segments: list[str]) -> Query:
    """The newest rows of some segments of windows that are over, those taken back (n = 0) included."""
    sql = f"""SELECT {SIGNAL} FROM cx.signals FINAL
WHERE signal IN %(signals)s AND segment IN %(segments)s AND window = %(window)s
  AND window_end <= {at("as_of")} AND window_end > {at("since")}"""
    since = as_of_ms - 2 * WINDOW_STEP_MS[window] - LAG_MS
    values = {"window": window, "as_of": as_of_ms, "since": since, "segments": segments, "signals": signals}
    return Query(sql, values)


def in_segment(segment: str, names: Catalogue) -> Filter:
    """Journeys, or moments, of a segment.

    Stored with some of the dimensions, there are none of a segment of others.
    """
    where = Filter()
    for name, value in parse_segment(segment, names.known_dimensions).items():
        if name not in _OF_JOURNEYS:
            where = where.and_("0")
        elif value == OTHER and name in names.known:
            where = where.and_(
                f"{name} != '' AND {name} NOT IN %(known_{name})s", **{f"known_{name}": names.known[name]}
            )
        else:
            where = where.equal(**{name: value})
    return where


def exits(segment: str, window: str, as_of_ms: int, names: Catalogue) -> Query:
    """Journeys that ended in the window: (funnel, outcome, step, count, value, count of all steps).

    The ten most frequent steps of each, the most frequent first; of those not abandoned the step is empty.
    """
    ended = _ended(segment, window, as_of_ms, names)
    sql = f"""SELECT funnel, outcome, if(outcome = 'abandoned', last_step, '') AS step, count() AS n, sum(value),
    sum(count()) OVER (PARTITION BY funnel, outcome)
FROM cx.journeys_by_entry FINAL
WHERE outcome != 'retracted' AND {ended.sql}
GROUP BY funnel, outcome, step ORDER BY funnel, n DESC, step LIMIT 10 BY funnel, outcome"""
    return Query(sql, dict(ended.values))


def steps(segment: str, window: str, as_of_ms: int, names: Catalogue) -> Query:
    """Of the journeys that ended in the window, completed or abandoned, how each step was passed.

    Rows: (funnel, step, journeys that came to it, completed from it, left from it, median ms from it to what
    followed, [steps that followed it], [how often]). From a step: it was the last one that they came to for the
    first time. The empty step is the opening. The order is that in which journeys come to them, on the whole.
    """
    ended = _ended(segment, window, as_of_ms, names)
    sql = f"""WITH passed AS (
    SELECT funnel, outcome, toUInt32(least(dateDiff('millisecond', entered_at, ended_at), {2**32 - 1})) AS whole,
        arrayJoin(arrayZip(arrayEnumerate(arrayConcat([''], steps)), arrayConcat([''], steps),
            arrayConcat([toUInt32(0)], step_after_ms), arrayConcat(steps, ['']),
            arrayConcat(step_after_ms, [whole]))) AS one,
        one.1 AS place, one.2 AS step, one.4 AS following, one.5 - one.3 AS took
    FROM cx.journeys_by_entry FINAL
    WHERE outcome IN ('completed', 'abandoned') AND {ended.sql}
)
SELECT funnel, step, count() AS n, countIf(following = '' AND outcome = 'completed'),
    countIf(following = '' AND outcome = 'abandoned') AS gone,
    if(n > gone, quantileExactIf(0.5)(took, following != '' OR outcome = 'completed'), NULL),
    sumMap(if(following = '', [], [toString(following)]), if(following = '', [], [toUInt64(1)])) AS nexts
FROM passed GROUP BY funnel, step ORDER BY funnel, avg(place), n DESC, step"""
    return Query(sql, dict(ended.values))


def _ended(segment: str, window: str, as_of_ms: int, names: Catalogue) -> Filter:
    """Journeys of a segment that ended in a window."""
    start = as_of_ms - WINDOW_MS[window]
    longest_ms = round(max(names.timeouts_s.values()) * 1000) + _ACTIVE_MS
    return in_segment(segment, names).and_(
        f"ended_at >= {at('start')} AND ended_at < {at('as_of')} "
        f"AND toStartOfHour(entered_at) >= toStartOfHour({at('entered')}) "
        f"AND toStartOfHour(entered_at) <= {at('as_of')}",
        start=start,
        as_of=as_of_ms,
        entered=start - longest_ms,
    )


def journeys(funnel: str, where: Filter, span: tuple[int, int], limit: int, after: tuple[Any, ...]) -> Query:
    """Ended journeys of a funnel, in the table's order: hour of entry, channel, session, journey, entry.

    ``after``: these five of the last row of the page before, or nothing.
    """
    key = "toStartOfHour(entered_at), channel, session_id, journey_id, entered_at"
    if after:
        names = ("after_hour", "after_channel", "after_session", "after_journey", "after_entered")
        where = where.and_(
            f"({key}) > (toDateTime({at(names[0])}, 'UTC'), %({names[1]})s, %({names[2]})s, %({names[3]})s, "
            f"{at(names[4])})",
            **dict(zip(names, after, strict=True)),
        )
        span = max(span[0], after[0]), span[1]
    sql = f"""SELECT {JOURNEY} FROM cx.journeys_by_entry FINAL
WHERE funnel = %(funnel)s AND toStartOfHour(entered_at) >= toStartOfHour({at("since")})
  AND toStartOfHour(entered_at) <= {at("until")} AND entered_at >= {at("since")} AND entered_at < {at("until")}
  AND outcome != 'retracted' AND {where.sql}
ORDER BY {key} LIMIT %(limit)s"""
    values = {"funnel": funnel, "since": span[0], "until": span[1], "limit": limit}
    return Query(sql, values | dict(where.values))


def recoveries(segment: str, span: tuple[int, int], names: Catalogue) -> Query:
    """What has become of the journeys of somebody known that were entered then, by funnel.

    Columns: of :class:`pipeline.web.answers.RecoveryRow`, but for ``abandoned``.
    """
    where, is_one = in_segment(segment, names), f"stood = '{RECOVERED}'"
    until, lost_ms = at("until"), HORIZON_MS
    # What was found out later was open then.
    then = (
        f"if(status = '{RECOVERED}' AND recovered_at > {until} "
        f"OR status = '{LOST}' AND ended_at + toIntervalMillisecond({lost_ms}) > {until}, '{OPEN}', status)"
    )
    took_s = "dateDiff('second', ended_at, assumeNotNull(recovered_at))"
    sql = f"""WITH {then} AS stood
SELECT funnel, count(), countIf(stood = '{OPEN}'), countIf(stood = '{ELSEWHERE}'),
    countIf({is_one}), countIf({is_one} AND recovered_channel != channel), countIf(stood = '{LOST}'),
    sumIf(recovered_value, {is_one}), sumIf(value, stood = '{LOST}'),
    toFloat64(if(countIf({is_one}) > 0, quantileExactIf(0.5)({took_s}, {is_one}), 0))
FROM cx.recoveries FINAL
WHERE {_ENTERED} AND status != '{RETRACTED}' AND {where.sql}
GROUP BY funnel ORDER BY funnel"""
    return Query(sql, _entered(span) | dict(where.values))


def abandoned(segment: str, span: tuple[int, int], names: Catalogue) -> Query:
    """How many journeys that were entered then were abandoned, by funnel."""
    where = in_segment(segment, names)
    sql = f"""SELECT funnel, count() FROM cx.journeys_by_entry FINAL
WHERE {_ENTERED} AND outcome = 'abandoned' AND {where.sql} GROUP BY funnel"""
    return Query(sql, _entered(span) | dict(where.values))


def _entered(span: tuple[int, int]) -> dict[str, Any]:
    return {"since": span[0], "until": span[1]}


def alerts(where: Filter, span: tuple[int, int], limit: int, after: tuple[Any, ...]) -> Query:
    """Alerts, the newest first. One that never fired and is over, or that was taken back, is left out.

    ``after``: opened_at and alert_id of the last row of the page before, or nothing.
    """
    if after:
        where = where.and_(
            f"(opened_at, alert_id) < ({at('after_opened')}, %(after_id)s)",
            after_opened=after[0],
            after_id=after[1],
        )
    sql = f"""SELECT {ALERT} FROM cx.alerts FINAL
WHERE opened_at >= {at("since")} AND opened_at < {at("until")} AND {where.sql}
  AND status != 'retracted' AND (status != 'resolved' OR alert_id IN (SELECT alert_id FROM cx.alerts_fired))
ORDER BY opened_at DESC, alert_id DESC LIMIT %(limit)s"""
    values = {"since": span[0], "until": span[1], "limit": limit}
    return Query(sql, values | dict(where.values))


def segments(where: Filter, limit: int, after: str) -> Query:
    """Segments that had events in the last hour: (segment, events)."""
    sql = f"""SELECT segment, denominator FROM cx.signals_now
WHERE window = '1h' AND signal = 'friction' AND segment > %(after)s AND {where.sql}
ORDER BY segment LIMIT %(limit)s"""
    return Query(sql, {"limit": limit, "after": after} | dict(where.values))


def sources(since_ms: int) -> Query:
    """What each source of the collector has sent since: columns of :class:`pipeline.web.answers.SourceRow`."""
    sums = ", ".join(f"sum({name})" for name in _SENT)
    times = ", ".join(f"toUnixTimestamp64Milli(max({name}))" for name in ("newest_at", "at"))
    sql = f"""SELECT source, any(kind), {sums}, {times}
FROM cx.sources FINAL WHERE at >= {at("since")} GROUP BY source ORDER BY source"""
    return Query(sql, {"since": since_ms})


def letters(since_ms: int) -> Query:
    """Dead letters since, by topic and reason: columns of :class:`pipeline.web.answers.LettersRow`."""
    sql = f"""SELECT topic, reason, count(), sum(size), toUnixTimestamp64Milli(max(received_at))
FROM cx.dead_letters FINAL WHERE received_at >= {at("since")}
GROUP BY topic, reason ORDER BY count() DESC, topic, reason LIMIT 1000"""
    return Query(sql, {"since": since_ms})


_SENT: Final = ("requests", "mapped", "ignored", "invalid", "copies", "orders_again", "too_late")
