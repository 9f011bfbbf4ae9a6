"""The topics of the system, and creating those that are missing."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.kafka.clients import MAX_OUTPUT_BYTES
from pipeline.settings import KafkaSettings
from schemas.deadletters import DEADLETTERS_TOPIC
from schemas.events import TOUCHPOINT_TOPICS
from schemas.journeys import JOURNEYS_TOPIC
from schemas.signals import ABANDONMENT_TOPIC, SATISFACTION_TOPIC
from schemas.tiles import TILES_TOPIC

ALERTS_TOPIC: Final = "cx.alerts"
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def topic_specs(settings: KafkaSettings) -> tuple[TopicSpec, ...]:
    """Every topic with its partitions and the configuration that its use asks for."""
    days = {
        **dict.fromkeys(TOUCHPOINT_TOPICS, 7),
        TILES_TOPIC: 7,
        SATISFACTION_TOPIC: 3,
        ABANDONMENT_TOPIC: 3,
        JOURNEYS_TOPIC: 7,
        ALERTS_TOPIC: 30,
        DEADLETTERS_TOPIC: 30,
    }
    partitions = {
        **dict.fromkeys(TOUCHPOINT_TOPICS, settings.partitions),
        TILES_TOPIC: settings.tiles_partitions,
        ALERTS_TOPIC: 1,
        DEADLETTERS_TOPIC: 1,
    }
    return tuple(
        TopicSpec(
            name,
            partitions.get(name, settings.partitions),
            {"cleanup.policy": "delete", "retention.ms": str(count * _DAY_MS)}
            | ({"max.message.bytes": str(MAX_OUTPUT_BYTES)} if name == TILES_TOPIC else {}),
        )
        for name, count in days.items()
    )


def create_missing(admin: AdminClient, settings: KafkaSettings) -> list[str]:
    """Create the topics that are not there; gives their names.

    Raises ValueError where touchpoint topics differ in partitions: Faust assigns them together.
    """
    present = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=10).topics.items()}
    counts = {name: present[name] for name in TOUCHPOINT_TOPICS if name in present}
    if len(set(counts.values())) > 1:
        raise ValueError(f"touchpoint topics must have the same number of partitions, found {counts}")
    missing = [spec for spec in topic_specs(settings) if spec.name not in present]
    if counts:
        count = next(iter(counts.values()))
        missing = [TopicSpec(s.name, count, s.config) if s.name in TOUCHPOINT_TOPICS else s for s in missing]
    wanted = [
        NewTopic(s.name, num_partitions=s.partitions, replication_factor=settings.replication, config=s.config)
        for s in missing
    ]
    if wanted:
        _await_all(admin.create_topics(wanted, request_timeout=30).values())
    return [spec.name for spec in missing]


def _await_all(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
