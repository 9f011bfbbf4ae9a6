"""All tables from whole logs: sort, walk, count. Slow, simple, and written apart from the core."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pipeline.tools.verify import naive_rates, naive_returns
from pipeline.tools.verify.naive_journeys import hidden, walk
from pipeline.tools.verify.naive_moments import Happenings, fired, moments
from pipeline.tools.verify.naive_nowcast import Stay
from pipeline.tools.verify.naive_persons import (
    WEEK,
    Seen,
    crowds,
    look,
    near_erased,
    purchases,
    recoveries,
    visits,
)
from pipeline.tools.verify.naive_signals import by_age, signals
from pipeline.tools.verify.naive_tiles import (
    count_event,
    count_journey,
    count_stay,
    hours_with_any,
    segments_of,
    stay_of,
)
from pipeline.tools.verify.naive_types import (
    JourneyKey,
    JourneyValue,
    LogRecord,
    NaiveRules,
    Source,
    Tables,
    TileKey,
)
from pipeline.tools.verify.naive_usual import Past
from schemas.decoding import decode
from schemas.reasons import Reason, Refusal
from schemas.touchpoint import Touchpoint

FIVE_MINUTES = 300_000
LONGEST_WINDOW = 3_600_000


def compute(
    logs: Mapping[Source, Iterable[LogRecord]],
    rules: NaiveRules,
    refused_by_clock: frozenset[tuple[str, int, int]] = frozenset(),
) -> Tables:
    """The tables that the logs amount to.

    ``refused_by_clock``: records (topic, partition, offset) refused because their own time was over
    five minutes past their fetch; only those who fetched them can know.
    """
    tables = Tables()
    tiles: dict[tuple[str, int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    seen, happened = Seen(), Happenings(rules)
    stays: dict[str, dict[str, list[Stay]]] = {funnel.name: defaultdict(list) for funnel in rules.funnels}
    for source, records in sorted(logs.items()):
        events = _accept(source, records, rules, refused_by_clock, tables)
        for event in events:
            count_event(event, f"{source[0]}:{source[1]}", rules, tiles)
        for session in _sessions(events):
            _take_session(session, source, rules, tables, tiles, stays, seen, happened)
    hide = partial(hidden, rules=rules)
    tables.crowds = crowds(seen, hide, happened.whose())
    tables.recoveries = recoveries(seen, tables.watermarks.values(), hide)
    tables.purchases = purchases(seen, hide)
    found = list(fired(happened.all, seen, rules, hide, tables.crowds))
    tables.moments = moments(found)
    tables.tiles = {key: dict(counters) for key, counters in tiles.items()}
    if tables.watermarks:
        _add_signals(tables, rules, stays)
        _add_returns(tables, rules, seen, naive_rates.tiles(seen, happened, found, rules))
    _erase(tables, rules)
    return tables


def _erase(tables: Tables, rules: NaiveRules) -> None:
    """Of who is erased nothing is told; what was counted stays."""
    gone = rules.is_erased
    tables.recoveries = {key: row for key, row in tables.recoveries.items() if not gone(key.person)}
    tables.purchases = {key: value for key, value in tables.purchases.items() if not gone(key.person)}
    tables.moments = {key: row for key, row in tables.moments.items() if not gone(row.person)}


def _take_session(
    session: list[Touchpoint],
    source: Source,
    rules: NaiveRules,
    tables: Tables,
    tiles: Any,
    stays: Mapping[str, dict[str, list[Stay]]],
    seen: Seen,
    happened: Happenings,
) -> None:
    name, watermark = f"{source[0]}:{source[1]}", tables.watermarks.get(source)
    journeys: dict[JourneyKey, JourneyValue] = {}
    for funnel in rules.funnels:
        for opening, row in walk(session, funnel, rules, watermark):
            stay = stay_of(opening, row)
            count_stay(opening, stay, funnel, name, rules, tiles)
            for segment in segments_of(opening, rules):
                stays[funnel.name][segment].append(stay)
            if row is None:
                continue
            journey_id = f"{funnel.name}:{opening.event_id}"
            key = JourneyKey(opening.channel, opening.session_id, journey_id, opening.at_ms)
            journeys[key] = row
            if tables.journeys.setdefault(key, row) is not row:
                tables.twins.setdefault(key, []).append(row)
            count_journey(opening, row, name, rules, tiles)
            if row.outcome == "abandoned":
                seen.segments.setdefault(key, tuple(segments_of(opening, rules)))
    for visit in visits(session, rules):
        who = look(visit, journeys, rules, seen)
        happened.take(who, visit, journeys)


def _add_signals(tables: Tables, rules: NaiveRules, stays: Mapping[str, Mapping[str, list[Stay]]]) -> None:
    complete = min(tables.watermarks.values())
    found = signals(tables.tiles, rules, complete)
    tables.signals = {key: row for key, row in found.items() if not naive_returns.is_of_persons(key[0])}
    hours = hours_with_any(tables.tiles)
    for funnel in rules.funnels:
        for segment, some in stays[funnel.name].items():
            past = Past(hours[segment], complete, max(rules.lateness_ms.values()))
            tables.signals.update(by_age(funnel, segment, some, complete, past))


def _add_returns(
    tables: Tables, rules: NaiveRules, seen: Seen, rates: Mapping[TileKey, Mapping[str, int]]
) -> None:
    """Tiles and signals of persons; what all have passed counts by whole minutes."""
    passed = naive_returns.persons_passed_ms(tables)
    returns = naive_returns.tiles(seen, tables.recoveries, passed)
    tables.tiles |= {key: {**returns.get(key, {}), **rates.get(key, {})} for key in returns.keys() | rates.keys()}
    found = signals(tables.tiles, rules, passed)
    tables.signals |= {key: row for key, row in found.items() if naive_returns.is_of_persons(key[0])}
    longest = max(funnel.timeout_ms for funnel in rules.funnels)
    tables.unsure = [(first, last + longest + LONGEST_WINDOW + WEEK) for first, last in near_erased(seen)]


def _accept(
    source: Source,
    records: Iterable[LogRecord],
    rules: NaiveRules,
    refused_by_clock: frozenset[tuple[str, int, int]],
    tables: Tables,
) -> list[Touchpoint]:
    topic, partition = source
    latest = reached = None
    sessions: dict[str, list[tuple[int, str]]] = defaultdict(list)
    events = []
    for record in records:
        where = (topic, partition, record.offset)
        if record.tick_ms is not None:
            if where in refused_by_clock:
                tables.dead_letters[where] = Reason.IN_FUTURE
            elif not 0 <= record.timestamp_ms < record.tick_ms - FIVE_MINUTES:
                latest = _later(latest, record.tick_ms)
                reached = _later(reached, _certain(record.tick_ms, record))
            continue
        event = _checked(record, topic, where in refused_by_clock, latest, rules)
        if isinstance(event, Reason):
            tables.dead_letters[where] = event
            continue
        keys, key = sessions[event.session_id], (event.at_ms, event.event_id)
        at = bisect_left(keys, key)
        if len(keys) - at >= rules.most_later:
            tables.dead_letters[where] = Reason.TOO_LATE
        elif keys[at : at + 1] == [key]:
            tables.duplicates += 1
        else:
            keys.insert(at, key)
            events.append(event)
            tables.accepted += 1
            latest = _later(latest, event.at_ms)
            reached = _later(reached, _certain(event.at_ms, record))
    if reached is not None:
        tables.watermarks[source] = reached - 5_000
    return events


def _checked(
    record: LogRecord, topic: str, is_refused_by_clock: bool, latest: int | None, rules: NaiveRules
) -> Touchpoint | Reason:
    """The event, or why there is none, as far as neither its session nor the clock of its reader decides."""
    event = decode(record.value, rules.words)
    if isinstance(event, Refusal):
        return event.reason
    if topic != f"touchpoints.{event.channel}":
        return Reason.WRONG_TOPIC
    if is_refused_by_clock or 0 <= record.timestamp_ms < event.at_ms - FIVE_MINUTES:
        return Reason.IN_FUTURE
    if latest is not None and event.at_ms < latest - 5_000 - rules.lateness_ms[event.channel]:
        return Reason.TOO_LATE
    return event


def _later(before: int | None, at_ms: int) -> int:
    return at_ms if before is None else max(before, at_ms)


def _certain(at_ms: int, record: LogRecord) -> int:
    """No later than the record's own time, where it has one."""
    return at_ms if record.timestamp_ms < 0 else min(at_ms, record.timestamp_ms)


def _sessions(events: Iterable[Touchpoint]) -> Iterable[list[Touchpoint]]:
    sessions = defaultdict(list)
    for event in events:
        sessions[event.channel, event.session_id].append(event)
    for session in sessions.values():
        session.sort(key=lambda event: (event.at_ms, event.event_id.encode()))
    return sessions.values()
