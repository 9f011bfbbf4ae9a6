"""Who is erased: the topic ``cx.erasures``, read by every worker before it takes a state on, and all along.

Its records are few and stay. Nobody is ever taken off the list by this program.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from pipeline.kafka.clients import KafkaUnavailableError, consumer_config
from pipeline.kafka.errors import UNKNOWN, is_passing
from pipeline.kafka.logs import LogError, partitions_of, read_to_end
from pipeline.model.erasure import NONE, Erased
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings
from schemas.cloudevents import headers
from schemas.erasures import ERASURE_TYPE, ERASURES_TOPIC, ErasureMessage
from schemas.versioning import SCHEMA_VERSION

_SOURCE: Final[Source] = (ERASURES_TOPIC, 0)
_ANSWER_S: Final = 30.0
_MOST_AT_ONCE: Final = 10_000
_PASSED_OVER: Final = frozenset({KafkaError._PARTITION_EOF, *UNKNOWN})


class Erasures:
    """The list as one process knows it. Its methods block; they may be called by several threads."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._marks: set[str] = set()
        self._known: Erased | None = None
        self._consumer: Consumer | None = None
        self._turn = threading.Lock()

    def known(self) -> Erased:
        """All that the list held when it was read last; it is read the first time.

        Raises NoAnswerError, LogError, KafkaException.
        """
        return self._known or self.read()

    def read(self) -> Erased:
        """Read on; gives all. Raises the same."""
        with self._turn:
            try:
                if self._consumer is None:
                    self._take(self._all(), 0)
                    self._consumer = self._connect()
                else:
                    self._take(self._consumer.consume(_MOST_AT_ONCE, timeout=0), self._end)
            except BaseException:
                self.close()  # what came with the error is read again, from the beginning
                raise
            return self._known or NONE

    def close(self) -> None:
        """Leave the brokers."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    @property
    def _end(self) -> int:
        return 0 if self._known is None else self._known.end

    def _all(self) -> list[Message]:
        if _SOURCE not in partitions_of(self._settings, [ERASURES_TOPIC]):
            raise LogError(f"there is no topic {ERASURES_TOPIC}: run 'cx-signals topics'")
        found = read_to_end(self._settings, [_SOURCE], timeout_s=_ANSWER_S)
        return [message for _, messages in found for message in messages]

    def _connect(self) -> Consumer:
        consumer = Consumer(consumer_config(self._settings, f"{self._settings.group}-erasures"))
        consumer.assign([TopicPartition(*_SOURCE, self._end)])
        return consumer

    def _take(self, messages: Sequence[Message], end: int) -> None:
        found = set[str]()
        for message in messages:
            error = message.error()
            if error is None:
                end = (message.offset() or 0) + 1
                found.update(_marks_in(message))
            elif error.code() not in _PASSED_OVER and not is_passing(error):
                raise KafkaException(error)
        if self._known is None or end != self._known.end:
            self._marks |= found
            self._known = Erased(self._marks, end)


def append(producer: Producer, marks: Iterable[str], erased_at: str) -> int:
    """Put marks on the list; gives the offset after the last of them.

    Raises KafkaUnavailableError, KafkaException.
    """
    ends: list[int] = []

    def appended(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        ends.append((message.offset() or 0) + 1)

    for mark in marks:
        body = ErasureMessage(schema_version=SCHEMA_VERSION, mark=mark, erased_at=erased_at)
        producer.produce(
            ERASURES_TOPIC,
            value=body.model_dump_json(),
            key=mark,
            partition=0,
            headers=[*headers(ERASURE_TYPE, mark)],
            on_delivery=appended,
        )
    if producer.flush(_ANSWER_S):
        raise KafkaUnavailableError(f"{ERASURES_TOPIC}: not acknowledged within {_ANSWER_S:g} s")
    return max(ends, default=0)


class _Erasure(msgspec.Struct):
    """Read side of :class:`schemas.erasures.ErasureMessage`."""

    mark: str


def _marks_in(message: Message) -> list[str]:
    """The mark that a record holds; none where it is none of ours."""
    try:
        return [msgspec.json.decode(message.value() or b"", type=_Erasure).mark]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
