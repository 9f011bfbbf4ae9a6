"""All tables from whole logs: sort, walk, count. Slow, simple, and written apart from the core."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pipeline.model.privacy import pseudonym
from pipeline.tools.verify import naive_returns
from pipeline.tools.verify.naive_nowcast import Stay, edges
from pipeline.tools.verify.naive_persons import Seen, crowds, look, recoveries, visits
from pipeline.tools.verify.naive_signals import by_age, signals
from pipeline.tools.verify.naive_types import (
    BUCKET,
    EventRule,
    FunnelRule,
    JourneyKey,
    JourneyValue,
    LogRecord,
    NaiveRules,
    Source,
    Tables,
)
from pipeline.tools.verify.naive_usual import HOUR, Past
from schemas.decoding import decode
from schemas.reasons import Reason, Refusal
from schemas.touchpoint import Touchpoint

FIVE_MINUTES = 300_000


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
    seen = Seen()
    stays: dict[str, dict[str, list[Stay]]] = {funnel.name: defaultdict(list) for funnel in rules.funnels}
    for source, records in sorted(logs.items()):
        events = _accept(source, records, rules, refused_by_clock, tables)
        for event in events:
            _count_event(event, f"{source[0]}:{source[1]}", rules, tiles)
        for session in _sessions(events):
            _take_session(session, source, rules, tables, tiles, stays, seen)
    hide = partial(_hidden, rules=rules)
    tables.recoveries, tables.crowds = recoveries(seen, tables.watermarks.values(), hide), crowds(seen, hide)
    tables.tiles = {key: dict(counters) for key, counters in tiles.items()}
    if tables.watermarks:
        _add_signals(tables, rules, stays)
        _add_returns(tables, rules, seen)
    return tables


def _take_session(
    session: list[Touchpoint],
    source: Source,
    rules: NaiveRules,
    tables: Tables,
    tiles: Any,
    stays: Mapping[str, dict[str, list[Stay]]],
    seen: Seen,
) -> None:
    name, watermark = f"{source[0]}:{source[1]}", tables.watermarks.get(source)
    journeys: dict[JourneyKey, JourneyValue] = {}
    for funnel in rules.funnels:
        for opening, row in _walk(session, funnel, rules, watermark):
            stay = _stay(opening, row)
            _count_stay(opening, stay, funnel, name, rules, tiles)
            for segment in _segments(opening, rules):
                stays[funnel.name][segment].append(stay)
            if row is None:
                continue
            journey_id = f"{funnel.name}:{opening.event_id}"
            key = JourneyKey(opening.channel, opening.session_id, journey_id, opening.at_ms)
            journeys[key] = row
            if tables.journeys.setdefault(key, row) is not row:
                tables.twins.setdefault(key, []).append(row)
            _count_journey(opening, row, name, rules, tiles)
            if row.outcome == "abandoned":
                seen.segments.setdefault(key, tuple(_segments(opening, rules)))
    for visit in visits(session, rules):
        look(visit, journeys, rules, seen)


def _hidden(person: str, rules: NaiveRules) -> str:
    """What stands for an id."""
    return pseudonym(rules.customer_key, person) if rules.customer_key else person


def _add_signals(tables: Tables, rules: NaiveRules, stays: Mapping[str, Mapping[str, list[Stay]]]) -> None:
    complete = min(tables.watermarks.values())
    found = signals(tables.tiles, rules, complete)
    tables.signals = {key: row for key, row in found.items() if key[0] not in naive_returns.SIGNALS}
    hours = _hours(tables.tiles)
    for funnel in rules.funnels:
        for segment, some in stays[funnel.name].items():
            past = Past(hours[segment], complete, max(rules.lateness_ms.values()))
            tables.signals.update(by_age(funnel, segment, some, complete, past))


def _add_returns(tables: Tables, rules: NaiveRules, seen: Seen) -> None:
    """Tiles and signals of persons; what all have passed counts by whole minutes."""
    passed = naive_returns.persons_passed_ms(tables)
    tables.tiles |= naive_returns.tiles(seen, tables.recoveries, passed)
    found = signals(tables.tiles, rules, passed)
    tables.signals |= {key: row for key, row in found.items() if key[0] in naive_returns.SIGNALS}


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


def _walk(
    session: list[Touchpoint], funnel: FunnelRule, rules: NaiveRules, watermark: int | None
) -> Iterable[tuple[Touchpoint, JourneyValue | None]]:
    """Journeys with their opening events; None for one that has not ended."""
    inside: list[Touchpoint] = []
    last = None
    for event in session:
        if inside and last is not None and event.at_ms - last > funnel.timeout_ms:
            yield inside[0], _timed_out(inside, funnel, rules, last)
            inside = []
        last = event.at_ms
        if not inside:
            if _is_one(event, funnel.opens):
                inside = [event]
            continue
        inside.append(event)
        if _is_one(event, funnel.completes):
            yield inside[0], _row(inside, funnel, rules, event.at_ms, "completed", "")
            inside = []
        elif _is_one(event, funnel.abandons):
            yield inside[0], _row(inside, funnel, rules, event.at_ms, "abandoned", "explicit")
            inside = []
    if inside and last is not None and watermark is not None:
        if last + funnel.timeout_ms < watermark:
            yield inside[0], _timed_out(inside, funnel, rules, last)
        else:
            yield inside[0], None


def _timed_out(inside: list[Touchpoint], funnel: FunnelRule, rules: NaiveRules, last: int) -> JourneyValue:
    lines = 0
    for event in inside:
        if _is_one(event, funnel.fills):
            lines += 1
        elif _is_one(event, funnel.empties):
            lines = max(0, lines - 1)
    if funnel.fills and not lines:
        return _row(inside, funnel, rules, last + funnel.timeout_ms, "emptied", "emptied")
    return _row(inside, funnel, rules, last + funnel.timeout_ms, "abandoned", "timeout")


def _is_one(event: Touchpoint, rules: Iterable[EventRule]) -> bool:
    """Whether the event is of the type, and at the step and on the channel where these are asked for."""
    for rule in rules:
        wrong_step = rule.step is not None and event.step != rule.step
        wrong_channel = rule.channel is not None and event.channel != rule.channel
        if event.type == rule.type and not wrong_step and not wrong_channel:
            return True
    return False


def _row(
    inside: list[Touchpoint], funnel: FunnelRule, rules: NaiveRules, ended_ms: int, outcome: str, reason: str
) -> JourneyValue:
    value = 0
    step = customer = visitor = ""
    for event in inside:
        step = event.step or step
        customer = event.customer_id or customer
        visitor = event.visitor_id or visitor
        if event.amount is None or event.currency not in (None, rules.currency):
            continue
        if _is_one(event, funnel.completes) or event.type == "checkout_started":
            value = event.amount
        elif event.type == "product_added":
            value += event.amount
        elif event.type == "product_removed":
            value = max(0, value - event.amount)
    first = inside[0]
    return JourneyValue(
        funnel.name,
        ended_ms,
        outcome,
        reason,
        customer and _hidden(customer, rules),
        visitor and _hidden(visitor, rules),
        first.store_id or "",
        first.region or "",
        first.device or "",
        step,
        value,
    )


def _segments(event: Touchpoint, rules: NaiveRules) -> Iterable[str]:
    for dimensions in rules.segments:
        parts = []
        for name in sorted(dimensions):
            further = dict(zip(rules.words.attributes, event.further, strict=True))
            value = further[name] if name in further else getattr(event, name)
            if value is None:
                break
            if name != "channel":
                value = _told_apart(name, value, rules)
            value = value.replace("%", "%25").replace("|", "%7C").replace("=", "%3D")
            parts.append(f"{name}={value}")
        else:
            yield "|".join(parts) or "all"


def _told_apart(name: str, value: str, rules: NaiveRules) -> str:
    """The value, or ``other``. What is not admitted yet is told apart while there is room."""
    if name in rules.known:
        return value if value in rules.known[name] else "other"
    admitted = rules.admitted.get(name, frozenset())
    return value if value in admitted or len(admitted) < rules.most_values else "other"


def _count_event(event: Touchpoint, source: str, rules: NaiveRules, tiles: Any) -> None:
    for segment in _segments(event, rules):
        tile = tiles[segment, event.at_ms // BUCKET * BUCKET, source]
        tile["events"] += 1
        kind = {"checkout_step_viewed": "viewed", "checkout_step_completed": "completed", "error_shown": "errors"}
        if event.step is not None and event.type in kind:
            step = _told_apart("step", event.step, rules)
            tile[f"step_{kind[event.type]}_{step}"] += 1
        if event.type in ("rage_clicked", "dead_clicked", "error_shown"):
            tile["friction"] += 1
        score = event.score_units
        if event.survey == "csat":
            tile["csat_answers"] += 1
            tile["csat_satisfied"] += 5 * score >= 4 * event.scale_units
        elif event.survey == "nps":
            tile["nps_answers"] += 1
            tile["nps_promoters"] += score >= 90_000
            tile["nps_detractors"] += score <= 60_000
        elif event.survey == "ces":
            tile["ces_answers"] += 1
            tile["ces_sum"] += score
            tile["ces_sum_sq"] += score**2


def _count_journey(opening: Touchpoint, row: JourneyValue, source: str, rules: NaiveRules, tiles: Any) -> None:
    units = row.value_units
    if row.outcome == "emptied":
        return
    for segment in _segments(opening, rules):
        tile = tiles[segment, row.ended_ms // BUCKET * BUCKET, source]
        tile[f"{row.funnel}_{row.outcome}"] += 1
        if row.outcome == "abandoned":
            tile[f"{row.funnel}_value_abandoned"] += units
            tile[f"{row.funnel}_value_abandoned_sq"] += units**2


def _stay(opening: Touchpoint, row: JourneyValue | None) -> Stay:
    if row is None or row.reason in ("timeout", "emptied"):
        return Stay(opening.at_ms, None, completed=False)
    return Stay(opening.at_ms, row.ended_ms, row.outcome == "completed")


def _count_stay(
    opening: Touchpoint, stay: Stay, funnel: FunnelRule, source: str, rules: NaiveRules, tiles: Any
) -> None:
    for segment in _segments(opening, rules):
        first = tiles[segment, stay.opened_ms // BUCKET * BUCKET, source]
        first[f"{funnel.name}_opened"] += 1
        if stay.ended_ms is None or stay.ended_ms - stay.opened_ms >= funnel.timeout_ms:
            continue
        age = stay.ended_ms - stay.opened_ms
        low = max(edge for edge in edges(funnel.timeout_ms) if edge <= age)
        first[f"{funnel.name}_left_{low // 1000}s"] += 1
        last = tiles[segment, stay.ended_ms // BUCKET * BUCKET, source]
        last[f"{funnel.name}_{'completed' if stay.completed else 'abandoned'}_{low // 1000}s"] += 1
        last[f"{funnel.name}_lived_{low // 1000}s"] += age - low


def _hours(tiles: Mapping[tuple[str, int, str], Mapping[str, int]]) -> dict[str, list[int]]:
    """By segment the hours in which anything was counted, ascending."""
    found = defaultdict(set)
    for (segment, bucket, _), counters in tiles.items():
        # By age and by step is counted what is counted already.
        if any(count for name, count in counters.items() if not _is_detail(name)):
            found[segment].add(bucket // HOUR * HOUR)
    return {segment: sorted(hours) for segment, hours in found.items()}


def _is_detail(counter: str) -> bool:
    return counter.startswith("step_") or counter.endswith("_opened") or counter[-2:-1].isdigit()
