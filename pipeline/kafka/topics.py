"""The topics of the system, and creating those that are missing."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from pipeline.kafka.clients import MAX_BATCH_BYTES, new_admin
from pipeline.kafka.errors import UNKNOWN
from pipeline.settings import KafkaSettings
from schemas.alerts import ALERTS_TOPIC
from schemas.checkpoints import checkpoint_topic
from schemas.deadletters import DEADLETTERS_TOPIC
from schemas.erasures import ERASURES_TOPIC
from schemas.events import TOUCHPOINT_TOPICS
from schemas.evidence import EVIDENCE_TOPIC
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.journeys import JOURNEYS_TOPIC
from schemas.moments import MOMENTS_TOPIC
from schemas.recoveries import RECOVERIES_TOPIC
from schemas.signals import ABANDONMENT_TOPIC, SATISFACTION_TOPIC
from schemas.tiles import TILES_TOPIC
from schemas.values import VALUES_TOPIC

_DAY_MS: Final = 86_400_000
_ANSWER_S: Final = 10.0
_LEAST_SEGMENT: Final = 1 << 20
_LARGE: Final = (TILES_TOPIC, VISITS_TOPIC, FACTS_TOPIC, EVIDENCE_TOPIC)
STATEFUL: Final = (*TOUCHPOINT_TOPICS, *_LARGE)
"""Topics whose partitions have a state, kept in a checkpoint topic with as many partitions."""
#: By the brokers, whatever producers do: signals shrink to a fifth, touchpoints and checkpoints to a third.
_COMPRESSED: Final = {"compression.type": "lz4"}
_COMPACTED: Final = _COMPRESSED | {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.2",
    "segment.ms": "600000",  # the active segment is never compacted
    "segment.bytes": "67108864",
    "max.compaction.lag.ms": str(_DAY_MS),  # so soon what was erased is gone, also where little comes
    "max.message.bytes": str(MAX_BATCH_BYTES),  # a manifest after weeks of history at once: megabytes
}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


class Bounds(NamedTuple):
    """The most that a topic keeps, in bytes: of what is read, and of what comes out."""

    inputs: int
    outputs: int

    def config(self, topic: str, partitions: int) -> dict[str, str]:
        """Kafka's are of a partition, and it drops whole segments."""
        bound = (self.inputs if topic in STATEFUL else self.outputs) // partitions
        return {"retention.bytes": str(bound), "segment.bytes": str(max(_LEAST_SEGMENT, bound // 4))}


def topic_specs(
    settings: KafkaSettings, present: Mapping[str, int] | None = None, bounds: Bounds | None = None
) -> tuple[TopicSpec, ...]:
    """Every topic with its partitions and the configuration that its use asks for.

    ``present``: partitions of the topics that exist already, which the others go by. ``bounds``: None where
    topics may take what their time takes.
    """
    known = present or {}
    touchpoints = next((known[name] for name in TOUCHPOINT_TOPICS if name in known), settings.partitions)
    days = {
        **dict.fromkeys(TOUCHPOINT_TOPICS, 7),
        TILES_TOPIC: 7,
        VISITS_TOPIC: 7,
        FACTS_TOPIC: 7,
        EVIDENCE_TOPIC: 7,
        SATISFACTION_TOPIC: 3,
        ABANDONMENT_TOPIC: 3,
        JOURNEYS_TOPIC: 7,
        RECOVERIES_TOPIC: 7,
        MOMENTS_TOPIC: 7,
        ALERTS_TOPIC: 30,
        DEADLETTERS_TOPIC: 30,
    }
    partitions = {
        **dict.fromkeys(TOUCHPOINT_TOPICS, touchpoints),
        TILES_TOPIC: known.get(TILES_TOPIC, settings.tiles_partitions),
        VISITS_TOPIC: known.get(VISITS_TOPIC, settings.tiles_partitions),
        FACTS_TOPIC: known.get(FACTS_TOPIC, settings.tiles_partitions),
        EVIDENCE_TOPIC: 1,
        ALERTS_TOPIC: 1,
        VALUES_TOPIC: 1,
        ERASURES_TOPIC: 1,
        DEADLETTERS_TOPIC: 1,
    }
    # A single broker that has acknowledged and is then lost would take a checkpoint with it.
    safe = {"min.insync.replicas": "2"} if settings.replication > 2 else {}
    data = tuple(
        TopicSpec(
            name,
            partitions.get(name, settings.partitions),
            {"cleanup.policy": "delete", "retention.ms": str(count * _DAY_MS), "segment.ms": str(_DAY_MS)}
            | _COMPRESSED
            | safe
            | ({"max.message.bytes": str(MAX_BATCH_BYTES)} if name in _LARGE else {})
            # While workers stand still nothing is appended: what they have not read is dropped by time alone.
            | ({"retention.bytes": str(settings.tiles_mb << 20)} if name == TILES_TOPIC else {})
            | (bounds.config(name, partitions.get(name, settings.partitions)) if bounds is not None else {}),
        )
        for name, count in days.items()
    )
    values = TopicSpec(
        VALUES_TOPIC, 1, {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"} | safe
    )
    erasures = TopicSpec(ERASURES_TOPIC, 1, _COMPACTED | safe)
    states = (TopicSpec(checkpoint_topic(name), partitions[name], _COMPACTED | safe) for name in STATEFUL)
    return (*data, values, erasures, *states)


def create_missing(admin: AdminClient, settings: KafkaSettings, bounds: Bounds | None = None) -> list[str]:
    """Create the topics that are not there, add partitions to checkpoint topics that have too few.

    Gives the names of those created. Raises ValueError where touchpoint topics differ in partitions:
    Faust assigns them together.
    """
    present = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=10).topics.items()}
    counts = {name: present[name] for name in TOUCHPOINT_TOPICS if name in present}
    if len(set(counts.values())) > 1:
        raise ValueError(f"touchpoint topics must have the same number of partitions, found {counts}")
    specs = topic_specs(settings, present, bounds)
    missing = [spec for spec in specs if spec.name not in present]
    wanted = [
        NewTopic(s.name, num_partitions=s.partitions, replication_factor=settings.replication, config=s.config)
        for s in missing
    ]
    if wanted:
        _await_all(admin.create_topics(wanted, request_timeout=30).values())
    states = {checkpoint_topic(name) for name in STATEFUL}
    short = [s for s in specs if s.name in states and present.get(s.name, s.partitions) < s.partitions]
    if short:
        grown = [NewPartitions(s.name, s.partitions) for s in short]
        _await_all(admin.create_partitions(grown, request_timeout=30).values())
    return [spec.name for spec in missing]


def make_room(settings: KafkaSettings, topic: str, partitions: int) -> None:
    """See that a topic has so many partitions, or more. Raises KafkaException."""
    admin = new_admin(settings)
    try:
        _await_all(admin.create_partitions([NewPartitions(topic, partitions)], request_timeout=30).values())
    except KafkaException as error:
        if error.args[0].code() != KafkaError.INVALID_PARTITIONS:  # another worker was first
            raise


class TopicFacts(NamedTuple):
    """What the brokers say of a topic."""

    partitions: int
    topic_id: str
    """Another one after the topic was deleted and made anew; empty where the broker tells none."""


def topic_facts(settings: KafkaSettings, names: Iterable[str]) -> dict[str, TopicFacts]:
    """Of those topics that exist. Raises KafkaException where no broker answers."""
    admin = new_admin(settings)  # it must live until the answers are there
    asked = admin.describe_topics(TopicCollection(list(names)), request_timeout=_ANSWER_S)
    found: dict[str, TopicFacts] = {}
    for name, future in asked.items():
        try:
            topic = future.result()
        except KafkaException as error:
            if error.args[0].code() not in UNKNOWN:
                raise
        else:
            topic_id = topic.topic_id
            is_told = topic_id.get_most_significant_bits() or topic_id.get_least_significant_bits()
            found[name] = TopicFacts(len(topic.partitions), str(topic_id) if is_told else "")
    return found


def _await_all(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
