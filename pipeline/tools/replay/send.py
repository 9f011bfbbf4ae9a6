"""A file's events to the touchpoint topics, with the closing tick."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from pipeline.core.sessions.refusals import FUTURE_MS, is_tick_ahead
from pipeline.kafka.clients import new_producer
from pipeline.kafka.logs import partitions_of, read_to_end, tail_start
from pipeline.kafka.records import to_record
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.records import Record
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings, Settings, rules, vocabulary
from pipeline.tools.replay.formats import FileEvent
from schemas.cloudevents import Headers
from schemas.decoding import decode
from schemas.events import TOPIC_PREFIX, TOUCHPOINT_TOPICS
from schemas.reasons import Refusal
from schemas.ticks import TICK_HEADER
from schemas.times import format_rfc3339
from schemas.vocabulary import CONTRACT, Vocabulary

CLOSING_TICK_MS: Final = 7_200_000
"""So far past the last event the last journeys have timed out and the last windows are complete."""
LIVE_MS: Final = 3_600_000
_TAIL_RECORDS: Final = 10_000
_ALL: Final = 1 << 62
_FLUSH_S: Final = 300.0


class ReplayError(RuntimeError):
    """The file cannot be replayed as it is; the message says why and what to do."""


def in_sending_order(
    events: Sequence[FileEvent], order: str, shuffle_s: float, duplicate: int, seed: int
) -> list[FileEvent]:
    """The events as they are to be sent.

    ``order``: ``time`` or ``file``. ``shuffle_s``: each may come up to so many seconds later than its
    turn. ``duplicate``: every so-many-th is sent twice; 0 for none.
    """
    chance = random.Random(seed)
    turns = sorted(events, key=lambda event: event.at_ms) if order == "time" else list(events)
    placed: list[tuple[float, int, FileEvent]] = []
    for number, event in enumerate(turns, start=1):
        turn = float(event.at_ms) if order == "time" else float(number)
        for _ in range(2 if duplicate and number % duplicate == 0 else 1):
            placed.append((turn + chance.uniform(0, shuffle_s * 1000), len(placed), event))
    placed.sort(key=lambda item: item[:2])
    return [event for _, _, event in placed]


class Newest(NamedTuple):
    """The latest times among a partition's newest records, ms."""

    seen_ms: int
    """Of events and ticks: what decides what is too late."""
    event_ms: int | None
    """Of events alone; None where there are none."""


def check_not_behind(settings: Settings, events: Sequence[FileEvent]) -> None:
    """Raise ReplayError where a topic has moved on so far that the first event would be too late.

    Looks at the newest records of each partition: an earlier replay's closing tick is among them.
    """
    shop = rules(settings)
    for channel in sorted({event.channel for event in events}):
        first = min(event.at_ms for event in events if event.channel == channel)
        topic = TOPIC_PREFIX + channel
        seen = [newest.seen_ms for newest in newest_times(settings.kafka, [topic], shop.vocabulary).values()]
        if seen and first < max(seen) - WATERMARK_DELAY_MS - shop.lateness_of(channel):
            raise ReplayError(
                f"{topic} is already at {format_rfc3339(max(seen))}; the file begins at "
                f"{format_rfc3339(first)} and would be too late. Replay files in the order of their "
                "dates, use fresh topics, or give --allow-late to have the late events dead-lettered"
            )


def has_live_producers(settings: Settings, now_ms: int) -> bool:
    """Whether the topics hold an event of the last hour: others are at work there, with now as their time."""
    found = newest_times(settings.kafka, TOUCHPOINT_TOPICS, vocabulary(settings)).values()
    return any(newest.event_ms is not None and newest.event_ms > now_ms - LIVE_MS for newest in found)


def newest_times(
    settings: KafkaSettings, topics: Iterable[str], words: Vocabulary = CONTRACT
) -> dict[Source, Newest]:
    """Of each partition that has anything that counts. Looked for further back where the end has nothing such."""
    sources, found, count = partitions_of(settings, topics), dict[Source, Newest](), _TAIL_RECORDS
    while sources:
        starts = tail_start(settings, sources, count)
        for source, messages in read_to_end(settings, sources, starts):
            for message in messages:
                _take_note(found, source, to_record(message), words)
        # The end of a log may be nothing but refused records, or markers of transactions.
        low = tail_start(settings, sources, _ALL)
        sources = [source for source in sources if source not in found and starts[source] > low[source]]
        count *= 10
    return found


def _take_note(found: dict[Source, Newest], source: Source, record: Record, words: Vocabulary) -> None:
    at_ms = _time_of(record, source[0], words)
    if at_ms is None:
        return
    seen_ms, event_ms = found.get(source, (at_ms, None))
    if record.tick_ms is None:
        event_ms = at_ms if event_ms is None else max(at_ms, event_ms)
    found[source] = Newest(max(at_ms, seen_ms), event_ms)


def _time_of(record: Record, topic: str, words: Vocabulary = CONTRACT) -> int | None:
    """The event time that a record moves its partition to; None where it is refused."""
    now_ms = int(time.time() * 1000)
    if record.tick_ms is not None:
        return None if is_tick_ahead(record, now_ms) else record.tick_ms
    event = decode(record.value, words)
    if isinstance(event, Refusal) or event.channel != topic.removeprefix(TOPIC_PREFIX):
        return None
    stamp_ms = record.timestamp_ms if record.timestamp_ms >= 0 else now_ms
    return event.at_ms if event.at_ms - FUTURE_MS <= stamp_ms <= now_ms + FUTURE_MS else None


class Sender:
    """Produces and waits for every acknowledgement."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer: Producer = new_producer(settings)
        self._settings = settings
        self._error: KafkaError | None = None

    def send(self, channel: str, session_id: str, payload: bytes, headers: Headers | None = None) -> None:
        self._produce(TOPIC_PREFIX + channel, value=payload, key=session_id, headers=headers)

    def tick_all(self, at_ms: int) -> None:
        """A tick on every partition of the touchpoint topics, empty ones included."""
        header = [(TICK_HEADER, format_rfc3339(at_ms).encode())]
        for topic, partition in partitions_of(self._settings, TOUCHPOINT_TOPICS):
            self._produce(topic, value=None, key=None, partition=partition, headers=header)

    def finish(self) -> None:
        """Return when all is acknowledged. Raises ReplayError where it is not."""
        left = self._producer.flush(_FLUSH_S)
        if self._error is not None:
            raise ReplayError(f"Kafka refused a message: {self._error.str()}")
        if left:
            raise ReplayError(f"{left} messages were not acknowledged within {_FLUSH_S:g} s")

    def poll(self) -> None:
        self._producer.poll(0)

    def _produce(self, topic: str, **message: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, on_delivery=self._delivered, **message)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._error = error


class Sent(NamedTuple):
    by_channel: Mapping[str, int]
    closed_ms: int | None
    """The time of the closing tick; None where none was sent for the sake of live producers."""


def replay(
    settings: Settings,
    events: Sequence[FileEvent],
    speed: float = 0.0,
    advance: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Send the events in the order given between an opening and the closing tick.

    ``speed``: so many times as fast as they happened; 0: as fast as it goes.
    """
    if not events:
        return Sent({}, None)
    is_live = has_live_producers(settings, _now_ms())
    sender = Sender(settings.kafka)
    sent: dict[str, int] = {}
    started = time.monotonic()
    first = events[0].at_ms
    # Partitions whose first event comes late in the file hold the others' windows open meanwhile.
    earliest = min(event.at_ms for event in events)
    sender.tick_all(max(0, earliest - rules(settings).longest_lateness_ms))
    for number, event in enumerate(events):
        if speed:
            due = started + (event.at_ms - first) / 1000 / speed
            if (pause := due - time.monotonic()) > 0:
                sender.poll()
                time.sleep(pause)
        sender.send(event.channel, event.session_id, event.payload)
        sent[event.channel] = sent.get(event.channel, 0) + 1
        if number % 1000 == 999:
            sender.poll()
            advance(1000)
    last_ms = max(event.at_ms for event in events)
    # Past the last event it would make all that is yet to come of others too late.
    closed_ms = last_ms if is_live else max(last_ms, min(last_ms + CLOSING_TICK_MS, _now_ms()))
    sender.tick_all(closed_ms)
    sender.finish()
    return Sent(sent, None if is_live else closed_ms)


def _now_ms() -> int:
    return int(time.time() * 1000)
