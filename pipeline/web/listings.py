"""What each address of the API gives: rows of the store, a page at a time."""

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.model.evidence import HOUR_MS, hour_start
from pipeline.model.signals import Unit
from pipeline.web import answers as api
from pipeline.web import asked as asks
from pipeline.web import past_queries, queries
from pipeline.web.bodies import Body, body, page
from pipeline.web.catalogue import Catalogue
from pipeline.web.parameters import from_cursor, to_cursor
from pipeline.web.person_listings import PersonListings
from pipeline.web.queries import Filter
from pipeline.web.reads import Reads, Rows
from pipeline.web.usual import band, best_usual
from schemas.times import format_rfc3339

_LATELY_MS: Final = 300_000
_MOST_NEXT: Final = 5
_LONG_AGO_MS: Final = 7 * 86_400_000
"""So far back the newest event is looked for, once, where there was none lately."""


@dataclass(frozen=True, slots=True)
class Listing:
    """An address: what it takes, what its rows are, and how they are found."""

    path: str
    summary: str
    parameters: type[asks.Parameters]
    row: type[api.Row]
    find: Callable[[Any], Coroutine[Any, Any, Body]]


class Listings:
    """The read-only API, version 1."""

    def __init__(self, reads: Reads, names: Catalogue) -> None:
        self._reads = reads
        self.names = names
        self._events_until: int | None = None

    def all(self) -> list[Listing]:
        """Every address, in the order of the documentation."""
        persons = PersonListings(self._rows, self.as_of, self.names)
        return [
            Listing("signals", "Signals as they stand now", asks.CurrentParameters, api.SignalRow, self.current),
            Listing("signals/history", "A signal over time", asks.HistoryParameters, api.SignalRow, self.history),
            Listing("signals/day", "The last day with what is usual", asks.DayParameters, api.DayRow, self.day),
            Listing("signals/hours", "Many segments by the hour", asks.HoursParameters, api.HoursRow, self.hours),
            Listing("signals/usual", "What is usual now", asks.UsualParameters, api.UsualRow, self.usual),
            Listing("trends", "The last hour of many segments", asks.TrendsParameters, api.TrendRow, self.trends),
            Listing("funnels", "Where people leave", asks.FunnelsParameters, api.FunnelRow, self.funnels),
            Listing(
                "journeys", "Journeys that have ended", asks.JourneysParameters, api.JourneyRow, self.journeys
            ),
            Listing("funnels/steps", "How steps are passed", asks.FunnelsParameters, api.StepRow, self.steps),
            Listing("recoveries", "Who came back", asks.RecoveriesParameters, api.RecoveryRow, persons.recoveries),
            Listing("moments", "Moments of a day", asks.MomentsParameters, api.MomentsRow, persons.moments),
            Listing("sources", "What sources send", asks.SourcesParameters, api.SourceRow, self.sources),
            Listing("deadletters", "What could not be read", asks.LettersParameters, api.LettersRow, self.letters),
            Listing(
                "completeness",
                "How complete the day is",
                asks.CompletenessParameters,
                api.CompletenessRow,
                self.completeness,
            ),
            Listing("alerts", "Alerts, the newest first", asks.AlertsParameters, api.AlertRow, self.alerts),
            Listing("segments", "Segments with events", asks.SegmentsParameters, api.SegmentRow, self.segments),
        ]

    async def newest(self) -> tuple[int | None, int | None]:
        """Ends of the newest bucket, and of the newest one with events, ms; None: there is none."""
        for back_ms in (_LATELY_MS, _LONG_AGO_MS):
            ((end_ms, events_until),) = await self._rows(queries.newest(back_ms))
            self._events_until = int(events_until) or self._events_until
            if self._events_until is not None:
                break
        return int(end_ms) or None, self._events_until

    async def as_of(self, asked: asks.Moment) -> int | None:
        """The time that is asked about, at the latest the present; None: nothing is known yet."""
        newest, _ = await self.newest()
        return newest if newest is None or asked.at_ms is None else min(asked.at_ms, newest)

    async def current(self, asked: asks.CurrentParameters) -> Body:
        after = from_cursor(asked.cursor, str, str) or ("", "")
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        where = Filter().equal(segment=asked.segment, signal=asked.signal).of_dimension(asked.dimension)
        most = asked.limit + 1
        if asked.at_ms is None:
            query = queries.current(asked.window, as_of, self.names.by_age, where, most, after)
        else:
            query = past_queries.stood(asked.window, as_of, self.names, where, most, after)
        rows = await self._rows(query)
        following = _following(rows, asked.limit, lambda row: to_cursor(row[1], row[0]))
        # A bucket may have come since the present was asked for. Rows of what is filling say what they are of.
        as_of = max([as_of, *(row[3] for row in rows if row[-1] is None)])
        return page([signal_body(row) for row in rows[: asked.limit]], as_of, following)

    async def history(self, asked: asks.HistoryParameters) -> Body:
        since, until = asked.span_ms
        if after := from_cursor(asked.cursor, int):
            since = max(since, after[0] + 1)
        span = since, until
        rows = await self._rows(
            past_queries.history(asked.signal, asked.segment, asked.window, span, asked.limit + 1)
        )
        following = _following(rows, asked.limit, lambda row: to_cursor(row[3]))
        return page([signal_body(row) for row in rows[: asked.limit]], None, following)

    async def day(self, asked: asks.DayParameters) -> Body:
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        sums = self._sums
        where = asked.segment, as_of, self.names.signals
        points: dict[str, list[Any]] = {}
        for signal, end, numerator, n in await self._rows(past_queries.last_day(*where)):
            value = numerator if signal in sums else numerator / n
            points.setdefault(signal, []).append((format_rfc3339(end), value, n))
        units = {one.name: one.unit for one in self.names.described}
        usual: dict[str, list[Any]] = {}
        for signal, back, *figures in await self._rows(past_queries.hours_of_the_day(*where)):
            if (found := band(figures, units[signal])) is not None:
                at = format_rfc3339(hour_start(as_of) - back * HOUR_MS)
                usual.setdefault(signal, []).append((at, *found))
        rows = [{"signal": one, "points": points[one], "usual": usual.get(one, [])} for one in points]
        return page(rows, as_of, None)

    @property
    def _sums(self) -> set[str]:
        return {one.name for one in self.names.described if one.unit is Unit.MONEY}

    async def hours(self, asked: asks.HoursParameters) -> Body:
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        is_sum = asked.signal in self._sums
        found = [
            {"segment": segment, "hours": [(format_rfc3339(at), a if is_sum else a / n, n) for at, a, n in hours]}
            for segment, hours in await self._rows(past_queries.by_hour(asked.signal, asked.dimension, as_of))
        ]
        return page(found, as_of, None)

    async def usual(self, asked: asks.UsualParameters) -> Body:
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        found = await self.usual_of(asked.segment, as_of)
        return page([{"signal": signal, **best} for signal, best in found.items()], as_of, None)

    async def usual_of(self, segment: str, as_of_ms: int) -> Body:
        """By signal, what is usual at this hour."""
        rows = await self._rows(past_queries.usual(segment, as_of_ms))
        return {signal: best for signal, *kinds in rows if (best := best_usual(kinds)) is not None}

    async def trends(self, asked: asks.TrendsParameters) -> Body:
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        rows = await self._rows(past_queries.trends(asked.signal, asked.dimension, asked.window, as_of))
        found = [
            {"segment": segment, "points": [(format_rfc3339(at_ms), value) for at_ms, value in points]}
            for segment, points in rows
        ]
        return page(found, as_of, None)

    async def funnels(self, asked: asks.FunnelsParameters) -> Body:
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        return page(await self.exits(asked.segment, asked.window, as_of), as_of, None)

    async def exits(self, segment: str, window: str, as_of_ms: int) -> list[Body]:
        """Of each funnel how its journeys ended in the window, and where those who gave up had come to."""
        rows = await self._rows(queries.exits(segment, window, as_of_ms, self.names))
        found: dict[str, Body] = {
            funnel: {"funnel": funnel, "completed": 0, "abandoned": 0, "emptied": 0, "exits": []}
            for funnel in self.names.funnels
        }
        for funnel, outcome, step, count, value, total in rows:
            one = found.get(funnel)
            if one is None:
                continue  # of a funnel that is no longer configured
            one[outcome] = total
            if outcome == "abandoned":
                one["exits"].append({"step": step, "abandoned": count, "value": value})
        return list(found.values())

    async def steps(self, asked: asks.FunnelsParameters) -> Body:
        as_of = await self.as_of(asked)
        if as_of is None:
            return page([], None, None)
        found = await self._rows(queries.steps(asked.segment, asked.window, as_of, self.names))
        rows = [body(api.StepRow, _step(row)) for row in found if row[0] in self.names.funnels]
        return page(rows, as_of, None)

    async def journeys(self, asked: asks.JourneysParameters) -> Body:
        after = from_cursor(asked.cursor, int, str, str, str, int)
        where = Filter().equal(
            outcome=asked.outcome,
            channel=asked.channel,
            store_id=asked.store_id,
            region=asked.region,
            device=asked.device,
        )
        rows = await self._rows(queries.journeys(asked.funnel, where, asked.span_ms, asked.limit + 1, after))
        following = _following(
            rows,
            asked.limit,
            lambda row: to_cursor(hour_start(row[7]), row[2], row[3], row[0], row[7]),
        )
        found = [body(api.JourneyRow, row, "entered_at", "ended_at") for row in rows[: asked.limit]]
        return page(found, None, following)

    async def sources(self, asked: asks.SourcesParameters) -> Body:
        since_ms = time.time_ns() // 1_000_000 - asked.hours * HOUR_MS
        rows = await self._rows(queries.sources(since_ms))
        return page([body(api.SourceRow, row, "newest_at", "told_at") for row in rows], None, None)

    async def letters(self, asked: asks.LettersParameters) -> Body:
        rows = await self._rows(queries.letters(time.time_ns() // 1_000_000 - asked.hours * HOUR_MS))
        return page([body(api.LettersRow, row, "newest_at") for row in rows], None, None)

    async def completeness(self, asked: asks.CompletenessParameters) -> Body:
        as_of, _ = await self.newest()
        if as_of is None:
            return page([], None, None)
        rows = await self._rows(past_queries.completeness(as_of))
        return page([body(api.CompletenessRow, row, "until") for row in rows], as_of, None)

    async def alerts(self, asked: asks.AlertsParameters) -> Body:
        after = from_cursor(asked.cursor, int, str)
        where = Filter().equal(rule=asked.rule, segment=asked.segment)
        if asked.at_ms is not None:  # all of them were firing then
            where = where.open_at(asked.at_ms).and_("1" if asked.status in (None, "open", "firing") else "0")
        elif asked.status == "open":
            where = where.and_("status IN ('pending', 'firing')")
        else:
            where = where.equal(status=asked.status)
        rows = await self._rows(queries.alerts(where, asked.span_ms, asked.limit + 1, after))
        following = _following(rows, asked.limit, lambda row: to_cursor(row[6], row[0]))
        found = [alert_body(row) for row in rows[: asked.limit]]
        if asked.at_ms is not None:
            found = [_as_it_stood(one, format_rfc3339(asked.at_ms)) for one in found]
        return page(found, asked.at_ms, following)

    async def segments(self, asked: asks.SegmentsParameters) -> Body:
        (after,) = from_cursor(asked.cursor, str) or ("",)
        as_of, _ = await self.newest()
        if as_of is None:
            return page([], None, None)
        where = Filter().of_dimension(asked.dimension)
        rows = await self._rows(queries.segments(where, asked.limit + 1, after))
        following = _following(rows, asked.limit, lambda row: to_cursor(row[0]))
        return page([body(api.SegmentRow, row) for row in rows[: asked.limit]], as_of, following)

    async def _rows(self, query: queries.Query) -> Rows:
        return await self._reads.rows(query.sql, query.values)


def _as_it_stood(alert: Body, at: str) -> Body:
    """An alert while it was open. What it had come to by then is not kept: what is of later is left out."""
    later = {"missing": None, "at_stake": None} if alert["updated_at"] > at else {}
    return alert | {"status": "firing", "resolved_at": None} | later


def signal_body(row: Sequence[Any]) -> Body:
    return body(api.SignalRow, row, "window_end")


def alert_body(row: Sequence[Any]) -> Body:
    return body(api.AlertRow, row, "opened_at", "updated_at", "resolved_at")


def _step(row: Sequence[Any]) -> list[Any]:
    """A row of :func:`pipeline.web.queries.steps` as fields of ``StepRow``."""
    *figures, median_ms, (names, counts) = row
    nexts = sorted(zip(names, counts, strict=True), key=lambda one: (-one[1], one[0]))[:_MOST_NEXT]
    return [*figures, None if median_ms is None else median_ms / 1000, nexts]


def _following(rows: Rows, limit: int, cursor: Callable[[Sequence[Any]], str]) -> str | None:
    """The cursor of the next page: one row more than the page was asked for."""
    return cursor(rows[limit - 1]) if len(rows) > limit else None
