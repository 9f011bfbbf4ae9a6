"""For other teams' services: ``subscribe(AlertMessage, "kafka:9092", group="pager")`` and iterate.

Messages come typed, each content once: duplicates (a worker that did a piece again after a crash) and versions
that a newer one has replaced are passed over. A message counts as done when the next one is asked for, so after a
crash the one under way comes again, and no other; a group goes on where it stopped. Fields that a newer
cx-signals sends and this one does not know are ignored.
"""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast, get_args

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from pydantic import BaseModel, ValidationError

from pipeline.kafka.errors import is_passing
from schemas.alerts import ALERTS_TOPIC, AlertMessage
from schemas.journeys import JOURNEYS_TOPIC, JourneyMessage
from schemas.moments import MOMENTS_TOPIC, MomentMessage
from schemas.plain import shown
from schemas.recoveries import RECOVERIES_TOPIC, RecoveryMessage
from schemas.signals import ABANDONMENT_TOPIC, SATISFACTION_TOPIC, SignalMessage
from schemas.versioning import SchemaVersion

logger = logging.getLogger(__name__)
M = TypeVar("M", bound=SignalMessage | JourneyMessage | RecoveryMessage | MomentMessage | AlertMessage)

TOPICS: Final[dict[type[BaseModel], tuple[str, ...]]] = {
    SignalMessage: (SATISFACTION_TOPIC, ABANDONMENT_TOPIC),
    JourneyMessage: (JOURNEYS_TOPIC,),
    RecoveryMessage: (RECOVERIES_TOPIC,),
    MomentMessage: (MOMENTS_TOPIC,),
    AlertMessage: (ALERTS_TOPIC,),
}
_KEYS: Final[dict[type[BaseModel], tuple[str, ...]]] = {
    SignalMessage: ("signal", "segment", "window", "window_end"),
    JourneyMessage: ("channel", "session_id", "journey_id", "entered_at"),
    RecoveryMessage: ("person", "channel", "session_id", "journey_id", "entered_at"),
    MomentMessage: ("moment_id", "channel", "session_id", "at"),
    AlertMessage: ("alert_id",),
}
_POLL_S: Final = 0.2
_REMEMBERED: Final = 200_000
_ASSIGNED_S: Final = 60.0
"""Longer than any group's first join: so long nothing counts as idle before there is a partition."""
#: Of each partition so many messages before the committed one are read again at the start, to know what is newest.
_LOOK_BACK: Final = 2_000


class SubscriptionError(RuntimeError):
    """A message is not of this major version, or Kafka refuses for good."""


def _order_of(message: Any) -> int:
    """By what one replaces another. A signal may come as complete under the version that it had before it was."""
    return int(2 * message.version + getattr(message, "complete", True))


class Newest:
    """Which version of what has been handed out, of the last some 200,000 things."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._versions: OrderedDict[Hashable, int] = OrderedDict()

    def is_newer(self, key: Hashable, version: int) -> bool:
        """Whether it is, and from now on counts as handed out."""
        if version <= self._versions.get(key, -1):
            return False
        self._versions[key] = version
        self._versions.move_to_end(key)
        if len(self._versions) > self._remembered:
            self._versions.popitem(last=False)
        return True


class Subscription(Generic[M]):
    """Messages of a model: SignalMessage, JourneyMessage, RecoveryMessage, MomentMessage or AlertMessage.

    Iterate over it; leave it with ``close`` or as a context manager. ``group``: who asks; members of one group
    share the partitions. ``where``: only those. ``from_beginning``: a new group starts with the oldest message
    instead of the next one. ``idle_s``: end after so long without a message. ``config``: more of librdkafka's
    settings (TLS, SASL). ``answer_s``: how long Kafka may take to answer. ``look_back``: messages of each
    partition that are read again at the start, to know what is newest. Raises SubscriptionError.
    """

    def __init__(
        self,
        model: type[M],
        servers: str,
        group: str,
        where: Callable[[M], bool] | None = None,
        from_beginning: bool = False,
        idle_s: float | None = None,
        config: Mapping[str, Any] | None = None,
        answer_s: float = 30.0,
        look_back: int = _LOOK_BACK,
    ) -> None:
        self._model = model
        self._answer_s = answer_s
        self._key = _KEYS[model]
        self._where = where
        self._look_back = look_back
        self._idle_s = idle_s
        self._newest = Newest()
        self._resume: dict[tuple[str, int], int] = {}
        self._under_way: Message | None = None
        self._is_assigned = False
        self._is_stopped = False
        self._heard_s = 0.0
        self._from_beginning = from_beginning
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "auto.offset.reset": "earliest",  # where what was not read yet is gone: with what there is
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 1_000,
                "session.timeout.ms": 6_000,  # who is gone makes room within seconds
                "broker.address.family": "v4",
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 2,  # librdkafka tries again by itself; what matters comes as an error
                **(config or {}),
            }
        )
        self._require(servers, TOPICS[model])
        self._consumer.subscribe(list(TOPICS[model]), on_assign=self._assigned, on_revoke=self._revoked)

    def _require(self, servers: str, topics: tuple[str, ...]) -> None:
        try:
            present = self._consumer.list_topics(timeout=self._answer_s).topics
        except KafkaException as error:
            self._consumer.close()
            reason = error.args[0].str()
            raise SubscriptionError(
                f"Kafka at {servers} does not answer within {self._answer_s:g} s ({reason})"
            ) from error
        if missing := [topic for topic in topics if topic not in present]:
            raise SubscriptionError(f"Kafka at {servers} has no topic {missing[0]}: is it that of cx-signals?")

    def __iter__(self) -> Iterator[M]:
        """Messages as they come. Ends after ``idle_s`` without one; None: never. Raises SubscriptionError."""
        self._heard_s = time.monotonic()
        while not self._is_stopped:
            self._done()  # before the group may give its partition to another member
            message = self._poll()
            if message is None:
                idle_s = self._idle_s if self._is_assigned else _ASSIGNED_S
                if self._idle_s is not None and idle_s is not None and time.monotonic() - self._heard_s >= idle_s:
                    return
                continue
            self._heard_s = time.monotonic()
            if (error := message.error()) is not None:
                self._judge(error)
                continue
            found = self._take(message)
            self._under_way = message
            if found is not None:
                yield found

    def _poll(self) -> Message | None:
        try:
            return self._consumer.poll(_POLL_S)
        except KafkaException as error:  # of the group's answers
            raise SubscriptionError(f"Kafka: {error.args[0].str()}") from error

    def stop(self) -> None:
        """Have the iteration end within a moment; from any thread."""
        self._is_stopped = True

    def abandon(self) -> None:
        """What was handed out last is not done: it comes again."""
        self._under_way = None

    def close(self) -> None:
        """Leave the group; what was handed out last counts as done."""
        self._done()
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abandon()
        self.close()

    def _take(self, message: Message) -> M | None:
        try:
            found = cast(M, self._model.model_validate_json(message.value() or b"", extra="ignore"))
        except (ValidationError, RecursionError) as error:
            self._refuse(message, error)
            return None
        if not self._newest.is_newer(tuple(getattr(found, name) for name in self._key), _order_of(found)):
            return None
        # Asked also of what was handed out before: it may have to know.
        is_wanted = self._where is None or self._where(found)
        resume = self._resume.get((message.topic() or "", message.partition() or 0), 0)
        return found if is_wanted and (message.offset() or 0) >= resume else None

    def _refuse(self, message: Message, error: Exception) -> None:
        """Pass over what is none of ours. Raises SubscriptionError for a message of another major version."""
        where = f"{message.topic()}:{message.partition()} offset {message.offset()}"
        what = shown(_first_of(error) if isinstance(error, ValidationError) else str(error), 200)
        if _is_of_another_major(message.value()):
            raise SubscriptionError(
                f"{where}: not a message of this version ({what}); "
                "update cx-signals to the major version of the sender"
            ) from error
        logger.warning("%s: passed over, it is none of cx-signals' messages (%s)", where, what)

    def _done(self) -> None:
        message, self._under_way = self._under_way, None
        if message is not None:
            place = (message.topic() or "", message.partition() or 0)
            if (message.offset() or 0) >= self._resume.get(place, 0) and place in self._resume:
                self._consumer.store_offsets(message)

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._is_assigned = True
        starts = consumer.committed(places, timeout=self._answer_s)
        for place in starts:
            if place.error is not None:
                raise SubscriptionError(f"{place.topic}:{place.partition}: {place.error.str()}")
            low, high = consumer.get_watermark_offsets(
                TopicPartition(place.topic, place.partition), self._answer_s
            )
            if place.offset < 0:  # a new group: from now on this is where it stopped
                place.offset = low if self._from_beginning else high
            self._resume[place.topic, place.partition] = place.offset
            place.offset = max(low, place.offset - self._look_back)
        consumer.assign(starts)
        self._heard_s = time.monotonic()  # joining a group takes seconds in which nothing can come
        kept = [TopicPartition(topic, partition, at) for (topic, partition), at in self._resume.items()]
        consumer.store_offsets(offsets=kept)

    def _revoked(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        for place in places:
            self._resume.pop((place.topic, place.partition), None)

    def _judge(self, error: KafkaError) -> None:
        if not is_passing(error):
            raise SubscriptionError(f"Kafka: {error.str()}") from KafkaException(error)


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{first['loc']}: {first['msg']}"


def _is_of_another_major(value: bytes | None) -> bool:
    try:
        version = json.loads(value or b"")["schema_version"]
        return str(version).partition(".")[0] not in {known.partition(".")[0] for known in get_args(SchemaVersion)}
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


subscribe = Subscription
"""``with subscribe(AlertMessage, "kafka:9092", group="pager") as alerts``: what it does rather than what it is."""
