"""Whole partitions, read from an offset to where the log ends at the time of reading.

The end is where a fetch says that there is nothing more: before it may be markers of transactions only.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.kafka.clients import consumer_config
from pipeline.kafka.errors import UNKNOWN, is_passing
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings

_POLL_S: Final = 0.05
#: A broker that says nothing for so long is taken for gone: a stopping worker waits no longer for it.
EndsOf = Callable[[str, Sequence[Source]], dict[Source, int]]
"""For an isolation level (``read_committed``, ``read_uncommitted``), the ends of partitions."""
_ANSWER_S: Final = 10.0
#: A topic that was only just created is not known everywhere at once.
_UNKNOWN_S: Final = 3.0


class LogError(RuntimeError):
    """A log could not be read to its end."""


class NoAnswerError(LogError):
    """Nothing comes at the moment."""


def partitions_of(settings: KafkaSettings, topics: Iterable[str]) -> list[Source]:
    """All partitions of the topics that exist."""
    consumer = Consumer(consumer_config(settings, f"{settings.group}-look"))
    try:
        known = consumer.list_topics(timeout=10).topics
        return [(t, p) for t in topics if t in known for p in sorted(known[t].partitions)]
    finally:
        consumer.close()


def read_to_end(
    settings: KafkaSettings,
    sources: Sequence[Source],
    start: Mapping[Source, int] | None = None,
    timeout_s: float = 30.0,
) -> Iterator[tuple[Source, list[Message]]]:
    """Messages of the partitions from ``start`` (default: the beginning) to their present ends.

    Raises NoAnswerError where nothing more comes for ``timeout_s`` before the ends are reached.
    """
    # The end of a partition is told without waiting for more.
    consumer = Consumer(consumer_config(settings, f"{settings.group}-read") | {"fetch.wait.max.ms": 10})
    waiting = set(sources)
    try:
        if sources:
            at = start or {}
            consumer.assign([TopicPartition(t, p, at.get((t, p), 0)) for t, p in sources])
        quiet_s = 0.0
        while waiting:
            # Waits for so many messages or so long, the end of a partition being one message among them.
            asked, left = time.monotonic(), len(waiting)
            found = _by_source(consumer.consume(num_messages=10_000, timeout=_POLL_S), waiting)
            quiet_s = 0.0 if found or len(waiting) < left else quiet_s + time.monotonic() - asked
            if quiet_s >= timeout_s:
                raise NoAnswerError(f"no answer for {timeout_s:g} s from {settings.bootstrap_servers}")
            yield from found.items()
    finally:
        consumer.close()


def _by_source(messages: list[Message], waiting: set[Source]) -> dict[Source, list[Message]]:
    grouped: dict[Source, list[Message]] = {}
    for message in messages:
        source = (message.topic() or "", message.partition() or 0)
        error = message.error()
        if error is None:
            if source in waiting:
                grouped.setdefault(source, []).append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            waiting.discard(source)
        elif not is_passing(error) and error.code() not in UNKNOWN:
            raise KafkaException(error)
    return grouped


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """The oldest offset, and one that is not after the end.

    A partition that has no leader at the moment (it was only just created, or a broker is away) is waited
    for. Raises LogError where there is no such partition, NoAnswerError where that is not to be known either.
    """
    started = time.monotonic()
    while True:
        try:
            low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
            return int(low), int(high)
        except KafkaException as error:
            kind, waited_s = error.args[0], time.monotonic() - started
            if not is_passing(kind) and kind.code() not in UNKNOWN:
                raise
            if waited_s > _UNKNOWN_S and kind.code() in UNKNOWN and _is_missing(consumer, place):
                where = f"{place.topic} with a partition {place.partition}"
                raise LogError(f"there is no topic {where}: run 'cx-signals topics'") from error
            if waited_s > _ANSWER_S:
                raise NoAnswerError(f"no answer about {place.topic}:{place.partition}: {kind.str()}") from error
            time.sleep(0.2)


def held_back(sources: Iterable[Source], ends_of: EndsOf) -> dict[Source, int]:
    """By partition, how many offsets wait behind a transaction that is open; only those where any do.

    ``ends_of``: gives the ends for an isolation level, such as :func:`ends_in` of a cluster.
    """
    asked = list(sources)
    # In this order: what producers append meanwhile is not taken for held back.
    appended = ends_of("read_uncommitted", asked)
    readable = ends_of("read_committed", asked)
    return {source: end - readable[source] for source, end in appended.items() if end > readable[source]}


def ends_in(settings: KafkaSettings) -> EndsOf:
    """Asks a cluster for the ends of partitions."""

    def ends_of(isolation: str, sources: Sequence[Source]) -> dict[Source, int]:
        consumer = Consumer(consumer_config(settings, f"{settings.group}-ends") | {"isolation.level": isolation})
        try:
            return {source: bounds(consumer, TopicPartition(*source))[1] for source in sources}
        finally:
            consumer.close()

    return ends_of


def _is_missing(consumer: Consumer, place: TopicPartition) -> bool:
    """Whether a broker says so: librdkafka calls unknown also what it cannot ask for while all are away."""
    try:
        known = consumer.list_topics(place.topic, timeout=_ANSWER_S).topics[place.topic]
    except KafkaException:
        return False
    if known.error is not None:
        return known.error.code() in UNKNOWN
    return place.partition not in known.partitions


def tail_start(settings: KafkaSettings, sources: Sequence[Source], count: int) -> dict[Source, int]:
    """Offsets about ``count`` records before the ends, and never after them."""
    consumer = Consumer(consumer_config(settings, f"{settings.group}-look"))
    try:
        starts = {}
        for topic, partition in sources:
            low, high = bounds(consumer, TopicPartition(topic, partition))
            starts[topic, partition] = max(low, high - count)
        return starts
    finally:
        consumer.close()
