"""The list of values that are told apart, in a topic that all workers share (decisions/0017)."""

import threading
import time
from collections.abc import Iterable
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from pipeline.kafka.clients import KafkaUnavailableError, consumer_config, new_producer
from pipeline.kafka.errors import UNKNOWN, is_passing
from pipeline.kafka.logs import LogError, NoAnswerError, read_to_end
from pipeline.model.dimensions import Value, Values
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings
from schemas.cloudevents import headers, printable
from schemas.values import VALUES_TOPIC, VALUES_TYPE
from schemas.versioning import SCHEMA_VERSION

_SOURCE: Final[Source] = (VALUES_TOPIC, 0)
_ANSWER_S: Final = 10.0
_POLL_S: Final = 0.05
_PASSED_OVER: Final = frozenset({KafkaError._PARTITION_EOF, *UNKNOWN})
_MADE_ANEW: Final = f"the topic {VALUES_TOPIC} was deleted and made anew: see 'Begin anew' in deploy/RUNBOOK.md"
_MOST_AT_ONCE: Final = 1_000


class _Value(msgspec.Struct):
    """Read side of :class:`schemas.values.ValueMessage`."""

    dimension: str
    value: str


def read_values(settings: KafkaSettings, since: int = 0) -> tuple[list[Value], int]:
    """The list from an offset on, and the offset to go on from. Raises NoAnswerError, LogError, KafkaException.

    What is none of ours is passed over.
    """
    found: list[Value] = []
    for _, messages in read_to_end(settings, [_SOURCE], {_SOURCE: since}, _ANSWER_S):
        for message in messages:
            since = (message.offset() or 0) + 1
            found += _values_in(message)
    return found, since


class SharedValues:
    """Admits values for one worker, so that all decide alike. Its methods block.

    Its clients stay: to connect anew for every value took two seconds.
    """

    def __init__(self, settings: KafkaSettings, values: Values) -> None:
        self._settings = settings
        self._values = values
        self._next = 0
        """The offset up to which the list is known."""
        self._clients: tuple[Producer, Consumer] | None = None
        self._turn = threading.Lock()

    def admit(self, wanted: Iterable[Value]) -> None:
        """Have it decided what these values count as. Raises what ``read_values`` does, KafkaUnavailableError."""
        with self._turn:
            try:
                if self._clients is None:
                    self._clients = self._connect()
                # Another worker may append the same value meanwhile: the first one in the list counts.
                self._read_up_to(self._append(*self._clients, wanted), self._clients[1])
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Leave the brokers; the next call connects anew."""
        clients, self._clients = self._clients, None
        if clients is not None:
            clients[1].close()

    def _connect(self) -> tuple[Producer, Consumer]:
        """Clients, when all that stands in the list by now is known."""
        found, self._next = read_values(self._settings, self._next)
        self._values.admit(found)
        # A list made anew is another one: what values count as would change for this worker alone.
        config = consumer_config(self._settings, f"{self._settings.group}-values") | {"auto.offset.reset": "error"}
        consumer = Consumer(config)
        consumer.assign([TopicPartition(*_SOURCE, self._next)])
        # A producer of its own: what others have under way is not reported to this thread.
        return new_producer(self._settings), consumer

    def _append(self, producer: Producer, consumer: Consumer, wanted: Iterable[Value]) -> int:
        """Append the values that are not decided yet; gives the offset after the last of them."""
        self._take(consumer.consume(_MOST_AT_ONCE, timeout=0))
        ends: list[int] = []

        def appended(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise KafkaException(error)
            ends.append((message.offset() or 0) + 1)

        for dimension, value in wanted:
            if self._values.is_decided(dimension, value):
                continue
            body = {"schema_version": SCHEMA_VERSION, "dimension": dimension, "value": value}
            producer.produce(
                VALUES_TOPIC,
                value=msgspec.json.encode(body),
                key=dimension,
                partition=0,
                headers=[*headers(VALUES_TYPE, printable(f"{dimension}/{value}"))],
                on_delivery=appended,
            )
        if producer.flush(_ANSWER_S):
            raise KafkaUnavailableError(f"{VALUES_TOPIC}: not acknowledged within {_ANSWER_S:g} s")
        end = max(ends, default=self._next)
        if end < self._next:
            raise LogError(_MADE_ANEW)
        return end

    def _read_up_to(self, end: int, consumer: Consumer) -> None:
        deadline = time.monotonic() + _ANSWER_S
        while self._next < end:
            if time.monotonic() > deadline:
                raise NoAnswerError(f"no answer for {_ANSWER_S:g} s from {self._settings.bootstrap_servers}")
            self._take(consumer.consume(_MOST_AT_ONCE, timeout=_POLL_S))

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is None:
                self._next = (message.offset() or 0) + 1
                self._values.admit(_values_in(message))
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise LogError(_MADE_ANEW)
            # Errors queue up while no value is new: that a broker did not know the topic may be long past.
            elif error.code() not in _PASSED_OVER and not is_passing(error):
                raise KafkaException(error)


def _values_in(message: Message) -> list[Value]:
    """The value that a message of the list holds; none where it is none of ours."""
    try:
        one = msgspec.json.decode(message.value() or b"", type=_Value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [(one.dimension, one.value)]
