"""``verify`` from beginning to end: read the logs, wait, compute, compare."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Final

from pipeline.kafka.erasures import Erasures
from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.kafka.records import to_record
from pipeline.kafka.values import read_values
from pipeline.model.privacy import fingerprint
from pipeline.model.signals import Kind, signal_of
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings, Settings
from pipeline.tools.verify import compare, store
from pipeline.tools.verify.compare import END_OF_TIME, Bounds, Report
from pipeline.tools.verify.doubts import SessionSources
from pipeline.tools.verify.naive import compute
from pipeline.tools.verify.naive_returns import is_of_persons
from pipeline.tools.verify.naive_types import LogRecord, NaiveRules, Tables
from pipeline.tools.verify.progress import wait_until_caught_up
from pipeline.tools.verify.rules import naive_rules
from schemas.deadletters import DEADLETTERS_TOPIC, letter_of
from schemas.decoding import decode
from schemas.events import TOUCHPOINT_TOPICS
from schemas.reasons import CLOCK_ERROR, Reason, Refusal

_LAST_ROWS_S: Final = 30.0
_PERSONS_S: Final = 120.0
"""How far time has come is told by the minute to who counts persons."""
Advance = Callable[[int], None]
Logs = dict[Source, list[LogRecord]]
Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


def ends_of(logs: Logs, before: dict[Source, int] | None = None) -> dict[Source, int]:
    known = before or {}
    return {
        source: records[-1].offset + 1 if records else known.get(source, 0) for source, records in logs.items()
    }


def read_logs(settings: KafkaSettings, start: dict[Source, int], advance: Advance) -> Logs:
    """The touchpoint logs from ``start`` (by default the beginning) to their present ends."""
    sources = partitions_of(settings, TOUCHPOINT_TOPICS)
    logs: Logs = {source: [] for source in sources}
    for source, messages in read_to_end(settings, sources, start):
        logs[source].extend(LogRecord(*to_record(message)) for message in messages)
        advance(len(messages))
    return logs


def settle(settings: KafkaSettings, logs: Logs, timeout_s: float, advance: Advance) -> None:
    """Return when the pipeline has caught up with the logs.

    Where nothing but ticks came meanwhile they are taken along, so that what they have let time out is
    compared too. Raises NotCaughtUpError.
    """
    wait_until_caught_up(settings, ends_of(logs), timeout_s)
    more = read_logs(settings, ends_of(logs), advance)
    if all(record.tick_ms is not None for records in more.values() for record in records):
        for source, records in more.items():
            logs[source].extend(records)
        wait_until_caught_up(settings, ends_of(logs), timeout_s)


def refused_by_clock(settings: Settings, logs: Logs) -> frozenset[Place]:
    """Which of these records the clock of a reader refused, by the dead letters' topic."""
    told: dict[Place, set[str]] = defaultdict(set)
    for _, messages in read_to_end(settings.kafka, partitions_of(settings.kafka, [DEADLETTERS_TOPIC])):
        for message in messages:
            letter = letter_of(message.value())
            if letter is not None and letter.reason == Reason.IN_FUTURE and letter.error.startswith(CLOCK_ERROR):
                told[letter.topic, letter.partition, letter.offset].add(letter.sha256)
    return told_of(logs, told, settings.privacy.customer_key.get_secret_value().encode())


def told_of(logs: Logs, told: Mapping[Place, Set[str]], customer_key: bytes) -> frozenset[Place]:
    """The records that these fingerprints are of.

    The place alone does not tell: a topic that was made anew begins at offset 0 again, and the letters of the
    one before are still there.
    """
    return frozenset(
        (*source, record.offset)
        for source, records in logs.items()
        for record in records
        if (sums := told.get((*source, record.offset))) and fingerprint(customer_key, record.value or b"") in sums
    )


def expected_tables(settings: Settings, logs: Logs) -> Tables:
    rules = naive_rules(settings, read_values(settings.kafka)[0], erased(settings.kafka))
    return compute(logs, rules, refused_by_clock(settings, logs))


def erased(settings: KafkaSettings) -> frozenset[str]:
    """The marks of who is."""
    erasures = Erasures(settings)
    try:
        return erasures.read().marks
    finally:
        erasures.close()


def touched_ms(tables: Tables, later: Logs, rules: NaiveRules) -> int:
    """The earliest event time that the later records can touch; END_OF_TIME where there are none."""
    earliest = END_OF_TIME
    for source, records in later.items():
        if not records:
            continue
        watermark = tables.watermarks.get(source)
        if watermark is not None:
            earliest = min(earliest, watermark)
        for record in records:
            event = decode(record.value, rules.words) if record.tick_ms is None else None
            if event is None or isinstance(event, Refusal):
                continue
            if watermark is None or event.at_ms >= watermark - rules.lateness_ms[event.channel]:
                earliest = min(earliest, event.at_ms)
    return earliest


def wait_for_last_rows(client: Any, tables: Tables) -> None:
    """Return when the rows of the last window that all sources have passed are there, or should have been.

    Partitions without any event say so every five seconds only; until then they hold the others' rows back.
    """
    ends = Counter(
        end
        for signal, _, _, end in tables.signals
        if signal_of(signal).kind is not Kind.COMPLETION_RATIO and not is_of_persons(signal)
    )
    last_ms, deadline = max(ends, default=0), time.monotonic() + _LAST_ROWS_S
    while store.complete_signals(client, last_ms) < ends[last_ms] and time.monotonic() < deadline:
        time.sleep(0.5)


def compare_all(
    settings: Settings,
    client: Any,
    tables: Tables,
    logs: Logs,
    sessions: SessionSources,
    is_first_look: bool = False,
) -> Iterable[Report]:
    """Compare table by table; gives a report of each. ``is_first_look``: see :class:`Bounds`."""
    ends = ends_of(logs)
    wait_for_last_rows(client, tables)
    letters, journeys = list(store.dead_letters(client)), list(store.journeys(client))
    recoveries, moments = list(store.recoveries(client)), list(store.moments(client))
    purchases, arms = list(store.purchases(client)), list(store.arms(client, settings.pipeline.generation))
    tiles, signals = list(store.tiles(client)), list(store.signals(client, END_OF_TIME))
    incomplete = list(store.incomplete_signals(client, END_OF_TIME))
    # Read last: whatever could have changed the rows above is in it.
    later = read_logs(settings.kafka, ends, lambda _: None)
    touched = touched_ms(tables, later, naive_rules(settings))
    bounds = Bounds(ends, touched, settings.pipeline.generation, is_first_look)
    yield compare.compare_dead_letters(letters, tables, bounds)
    yield compare.compare_journeys(
        journeys, tables, bounds, lambda key: sessions.get((key.channel, key.session_id), frozenset())
    )
    yield compare.compare_recoveries(recoveries, tables, bounds)
    report = compare.compare_moments(moments, tables, bounds)
    compare.add_arms(report, arms, settings.moments.holdout_key.get_secret_value().encode())
    yield report
    yield compare.compare_purchases(purchases, tables, bounds)
    yield compare.compare_tiles(tiles, tables, bounds)
    within = [(key, row) for key, row in signals if key[3] <= touched]
    # What was usual comes from weeks that a log which no longer begins at 0 does not hold.
    is_whole = not any(records and records[0].offset > 0 for records in logs.values())
    report = compare.compare_signals(within, tables, bounds, with_past=is_whole)
    passed_ms = min([touched, *tables.watermarks.values()])
    late = (key for key in incomplete if key[3] <= passed_ms and not is_of_persons(key[0]))
    compare.add_incomplete(report, late, bounds)
    yield report
    events = {source: [one for one in records if one.tick_ms is None] for source, records in later.items()}
    touched_by_events = touched_ms(tables, events, naive_rules(settings))
    yield compare_persons(client, tables, settings.pipeline.generation, touched_by_events, is_first_look)


def compare_persons(client: Any, tables: Tables, generation: int, touched_ms: int, is_first_look: bool) -> Report:
    """Signals of persons, which come later than the others: until they are equal, or have had the time for it."""
    deadline = time.monotonic() + _PERSONS_S
    while True:
        report = compare.compare_person_signals(
            store.signals(client, END_OF_TIME), tables, generation, touched_ms, is_first_look
        )
        if not report.differences or time.monotonic() > deadline:
            return report
        time.sleep(2.0)
