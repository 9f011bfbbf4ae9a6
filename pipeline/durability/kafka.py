"""Checkpoints in compacted Kafka topics, one for each topic whose state is kept."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from pipeline.durability.store import CheckpointError, Stored, joined
from pipeline.kafka.clients import consumer_config
from pipeline.kafka.errors import UNKNOWN, is_passing, is_refused
from pipeline.kafka.logs import NoAnswerError, bounds, partitions_of, read_to_end
from pipeline.kafka.topics import STATEFUL, TopicFacts, make_room, topic_facts
from pipeline.model.records import ClockRefusal
from pipeline.model.source import Source, source_name
from pipeline.settings import KafkaSettings
from schemas.checkpoints import Manifest, ShardRef, checkpoint_topic, manifest_key
from schemas.deadletters import DEADLETTERS_TOPIC, letter_of
from schemas.reasons import CLOCK_ERROR, Reason

logger = logging.getLogger(__name__)
_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 0.2
T = TypeVar("T")
#: So many records back from the end a manifest is looked for first.
_TAIL_RECORDS: Final = 16
#: Reading over so many records that are not wanted costs less than starting to fetch anew.
_GAP_RECORDS: Final = 100
#: For consumers that read a little once: the end of a partition is told without waiting for more.
_SHORT: Final = {
    "fetch.message.max.bytes": 1_048_576,
    "queued.max.messages.kbytes": 8_192,
    "fetch.wait.max.ms": 10,
}


class KafkaCheckpoints:
    """Implements :class:`pipeline.durability.store.CheckpointStore`."""

    def __init__(self, settings: KafkaSettings, producer: Producer) -> None:
        self._settings = settings
        self._producer = producer

    def append(self, source: Source, key: str, value: bytes | None, stored: Stored) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None and is_refused(error):
                # To end would be to do it again. Without its acknowledgement this checkpoint is never named.
                logger.error("%s: no checkpoint: Kafka refuses a part of it: %s", source_name(source), error.str())
                return
            if error is not None:
                raise KafkaException(error)  # deliveries are tried without end; see agents.outbox
            stored(message.offset() or 0)

        topic, partition = source
        try:
            self._producer.produce(
                checkpoint_topic(topic), key=key, value=value, partition=partition, on_delivery=delivered
            )
        except KafkaException as error:
            if error.args[0].code() not in UNKNOWN:
                raise
            raise BufferError from error  # a partition that was just added: the producer hears of it soon

    def manifests(self, source: Source) -> Iterator[Manifest]:
        place = TopicPartition(checkpoint_topic(source[0]), source[1])
        key = manifest_key(source_name(source)).encode()
        consumer = self._consumer()
        try:
            self._make_room(consumer, source)
            low, high = bounds(consumer, place)
            back, end = _TAIL_RECORDS, 1 << 62
            while end > low:
                start = max(low, high - back)
                found = [
                    message.value() or b""
                    for message in _read(consumer, place, start, end)
                    if message.key() == key
                ]
                for text in reversed(found):
                    try:
                        manifest = msgspec.json.decode(text, type=Manifest)
                    except (msgspec.DecodeError, RecursionError) as error:
                        logger.warning(
                            "%s: a manifest is passed over, it cannot be read: %s", source_name(source), error
                        )
                        continue
                    yield manifest
                back, end = back * 8, start
        finally:
            consumer.close()

    def _make_room(self, consumer: Consumer, source: Source) -> None:
        """A partition that was added to a topic in use has no place for its checkpoints yet."""
        name = checkpoint_topic(source[0])
        present = len(consumer.list_topics(name, timeout=_TIMEOUT_S).topics[name].partitions)
        if not 0 < present <= source[1]:
            return
        logger.warning("%s: %s is given partitions for its checkpoints", source_name(source), name)
        make_room(self._settings, name, max(source[1] + 1, self.topics()[source[0]].partitions))
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            # Asked by the producer: what it does not know by then it refuses to send to.
            if len(self._producer.list_topics(name, timeout=_TIMEOUT_S).topics[name].partitions) > source[1]:
                return
            time.sleep(0.2)

    def read(self, source: Source, refs: Mapping[str, ShardRef]) -> dict[str, bytes]:
        place = TopicPartition(checkpoint_topic(source[0]), source[1])
        wanted = sorted(offset for ref in refs.values() for offset in ref.offsets)
        parts: dict[int, bytes | None] = {}
        consumer = self._consumer()
        try:
            for run in _runs(wanted):
                within = set(run)
                for message in _read(consumer, place, run[0], run[-1] + 1):
                    offset = message.offset() or 0
                    if offset in within:
                        parts[offset] = message.value()
        finally:
            consumer.close()
        missing = [name for name, ref in refs.items() if not parts.keys() >= set(ref.offsets)]
        if missing:
            raise CheckpointError(f"shards that the manifest names are not there: {', '.join(missing[:3])}")
        return {name: joined(name, ref, [parts[at] for at in ref.offsets]) for name, ref in refs.items()}

    def committed(self, source: Source) -> int | None:
        consumer = Consumer(consumer_config(self._settings, self._settings.group))
        try:
            (at,) = once_coordinated(lambda: consumer.committed([TopicPartition(*source)], timeout=_TIMEOUT_S))
            return at.offset if at.offset >= 0 else None
        finally:
            consumer.close()

    def bounds(self, source: Source) -> tuple[int, int]:
        consumer = self._consumer()
        try:
            return bounds(consumer, TopicPartition(*source))
        finally:
            consumer.close()

    def topics(self) -> Mapping[str, TopicFacts]:
        return topic_facts(self._settings, STATEFUL)

    def dead_letters_end(self) -> Mapping[int, int]:
        consumer = self._consumer()
        try:
            topic = consumer.list_topics(DEADLETTERS_TOPIC, timeout=_TIMEOUT_S).topics[DEADLETTERS_TOPIC]
            places = [TopicPartition(DEADLETTERS_TOPIC, partition) for partition in topic.partitions or [0]]
            return {place.partition: bounds(consumer, place)[1] for place in places}
        finally:
            consumer.close()

    def refusals(self, source: Source, since: Mapping[int, int]) -> Mapping[int, ClockRefusal]:
        places = partitions_of(self._settings, [DEADLETTERS_TOPIC])
        starts = {place: since.get(place[1], 0) for place in places}
        found = {}
        for _, messages in read_to_end(self._settings, places, starts, _TIMEOUT_S):
            for message in messages:
                letter = letter_of(message.value())
                if letter is None or (letter.topic, letter.partition) != source:
                    continue
                if letter.reason == Reason.IN_FUTURE and letter.error.startswith(CLOCK_ERROR):
                    found[letter.offset] = ClockRefusal(letter.received_ms, letter.error, letter.sha256)
        return found

    def _consumer(self) -> Consumer:
        config = consumer_config(self._settings, f"{self._settings.group}-checkpoints")
        return Consumer(config | _SHORT)


def _runs(offsets: list[int]) -> Iterator[list[int]]:
    """Stretches of ascending offsets that lie near one another."""
    run: list[int] = []
    for offset in offsets:
        if run and offset > run[-1] + _GAP_RECORDS:
            yield run
            run = []
        run.append(offset)
    if run:
        yield run


def once_coordinated(ask: Callable[[], T], timeout_s: float = _TIMEOUT_S) -> T:
    """The answer of a group's coordinator, which another broker may be about to become. Raises KafkaException."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not is_passing(error.args[0]) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


def _read(consumer: Consumer, place: TopicPartition, start: int, end: int) -> Iterator[Message]:
    """Records of a partition in [start, end), as far as there are any. Raises NoAnswerError where none comes."""
    consumer.assign([TopicPartition(place.topic, place.partition, start)])
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        for message in consumer.consume(num_messages=64, timeout=0.02):
            error = message.error()
            if error is None:
                deadline = time.monotonic() + _TIMEOUT_S
                if (message.offset() or 0) < end:
                    yield message
                if (message.offset() or 0) >= end - 1:
                    return
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            elif not is_passing(error) and error.code() not in UNKNOWN:
                raise KafkaException(error)
        if time.monotonic() > deadline:
            raise NoAnswerError(f"no answer for {_TIMEOUT_S:g} s about {place.topic}:{place.partition}")
