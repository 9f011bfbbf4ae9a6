"""The list of values that are told apart, in a topic that all workers share (decisions/0017)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from pipeline.core.values import Value, Values
from pipeline.kafka.clients import KafkaUnavailableError, new_producer
from pipeline.kafka.logs import Source, read_to_end
from pipeline.settings import KafkaSettings
from schemas.cloudevents import headers, printable
from schemas.values import VALUES_TOPIC, VALUES_TYPE
from schemas.versioning import SCHEMA_VERSION

_SOURCE: Final[Source] = (VALUES_TOPIC, 0)
_ANSWER_S: Final = 10.0


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
            try:
                one = msgspec.json.decode(message.value() or b"", type=_Value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            found.append((one.dimension, one.value))
    return found, since


class SharedValues:
    """Admits values for one worker, so that all decide alike. Its methods block."""

    def __init__(self, settings: KafkaSettings, values: Values) -> None:
        self._settings = settings
        self._values = values
        self._next = 0

    def admit(self, wanted: Iterable[Value]) -> None:
        """Have it decided what these values count as. Raises what ``read_values`` does, KafkaUnavailableError."""
        self._catch_up()
        rest = [one for one in wanted if not self._values.is_decided(*one)]
        if not rest:
            return
        # One of its own: what others have under way is not reported to this thread.
        producer = new_producer(self._settings)
        for dimension, value in rest:
            body = {"schema_version": SCHEMA_VERSION, "dimension": dimension, "value": value}
            producer.produce(
                VALUES_TOPIC,
                value=msgspec.json.encode(body),
                key=dimension,
                partition=0,
                headers=[*headers(VALUES_TYPE, printable(f"{dimension}/{value}"))],
            )
        if producer.flush(_ANSWER_S):
            raise KafkaUnavailableError(f"{VALUES_TOPIC}: not acknowledged within {_ANSWER_S:g} s")
        self._catch_up()

    def _catch_up(self) -> None:
        found, self._next = read_values(self._settings, self._next)
        self._values.admit(found)
