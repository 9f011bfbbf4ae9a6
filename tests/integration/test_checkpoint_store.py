"""Checkpoints in Kafka: found at the end of a long log, read by offset, on either broker."""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.embedded.kafka import Kafka
from pipeline.durability.kafka import KafkaCheckpoints
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.durability.store import CheckpointError, CheckpointStore
from pipeline.kafka.clients import consumer_config, new_admin, new_producer
from pipeline.kafka.logs import LogError, NoAnswerError, bounds
from pipeline.kafka.topics import create_missing
from pipeline.model.records import ClockRefusal, DeadLetter
from pipeline.outputs.letters import letter_message
from pipeline.settings import KafkaSettings
from schemas.checkpoints import Manifest, ShardRef, manifest_key, part_key
from schemas.deadletters import DEADLETTERS_TOPIC
from schemas.events import TOUCHPOINT_TOPICS
from schemas.reasons import CLOCK_ERROR, Reason, Refusal

SOURCE = ("touchpoints.web", 1)
NAME = "touchpoints.web:1"


@dataclass
class Setting:
    store: CheckpointStore
    producer: Producer | None = None
    """None: what is appended is there at once."""
    offsets: list[int] = field(default_factory=list)

    def flush(self) -> None:
        assert self.producer is None or self.producer.flush(30) == 0

    def append(self, key: str, value: bytes | None) -> int:
        """Append a record; gives its offset."""
        self.offsets.clear()
        self.store.append(SOURCE, key, value, self.offsets.append)
        self.flush()
        return self.offsets[0]

    def junk(self, count: int) -> None:
        """Records of earlier checkpoints."""
        for number in range(count):
            self.store.append(SOURCE, part_key(NAME, f"old-{number}", "x-0", 0), b"y" * 1_000, lambda _: None)
        self.flush()

    def manifest(self, next_offset: int, shards: dict[str, ShardRef]) -> None:
        manifest = Manifest(NAME, 1, "d", next_offset, 0, {0: 0}, {}, shards, [])
        self.append(manifest_key(NAME), msgspec.json.encode(manifest))


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    settings = KafkaSettings(bootstrap_servers=broker.address)
    try:
        create_missing(new_admin(settings), settings)
        producer = new_producer(settings)
        yield Setting(KafkaCheckpoints(settings, producer), producer)
    finally:
        broker.stop()


@pytest.fixture(params=["kafka", "memory"])
def either(request: pytest.FixtureRequest, setting: Setting) -> Setting:
    """The store in Kafka, and the one in memory that tests use: both keep one contract."""
    return setting if request.param == "kafka" else Setting(MemoryCheckpoints())


def test_there_is_no_manifest_at_first(either: Setting) -> None:
    assert list(either.store.manifests(("touchpoints.app", 0))) == []
    assert either.store.committed(("touchpoints.app", 0)) is None


def test_the_newest_manifest_is_found_behind_a_long_log_and_its_shards_read_by_offset(either: Setting) -> None:
    first = either.append(part_key(NAME, "sessions-0", "w-0", 0), b"first ")
    second = either.append(part_key(NAME, "sessions-0", "w-0", 1), b"second")
    shards = {"sessions-0": ShardRef("w-0", [first, second], zlib.crc32(b"first second"))}
    either.manifest(5, shards)
    either.junk(2_000)
    other = either.append(part_key(NAME, "minute-0", "w-0", 0), b"tiles")
    shards["minute-0"] = ShardRef("w-0", [other], zlib.crc32(b"tiles"))
    either.manifest(9, shards)
    either.junk(300)

    assert [manifest.next_offset for manifest in either.store.manifests(SOURCE)] == [9, 5]
    newest = next(iter(either.store.manifests(SOURCE)))
    assert either.store.read(SOURCE, newest.shards) == {"sessions-0": b"first second", "minute-0": b"tiles"}


def test_content_that_is_not_what_the_manifest_says_is_an_error(either: Setting) -> None:
    at = either.append(part_key(NAME, "sessions-9", "w-0", 0), b"content")
    with pytest.raises(CheckpointError, match="not as it was stored"):
        either.store.read(SOURCE, {"sessions-9": ShardRef("w-0", [at], zlib.crc32(b"other"))})
    with pytest.raises(CheckpointError, match="are not there: sessions-9"):
        either.store.read(SOURCE, {"sessions-9": ShardRef("w-0", [at + 10_000], 0)})


def test_refusals_by_the_wall_clock_are_found_from_an_offset_on(setting: Setting) -> None:
    assert setting.producer is not None
    assert setting.store.refusals(SOURCE, {}) == {}
    before = setting.store.dead_letters_end()
    setting.producer.produce(DEADLETTERS_TOPIC, value=None, key="not ours")
    clock = f"{CLOCK_ERROR}: 400.000 s past its fetch"
    for offset, source, reason, error in (
        (6, SOURCE, Reason.IN_FUTURE, "occurred_at: 400.000 s past the record's time"),
        (7, SOURCE, Reason.IN_FUTURE, clock),
        (8, SOURCE, Reason.INVALID, "message: is no JSON"),
        (9, ("touchpoints.app", 1), Reason.IN_FUTURE, clock),
    ):
        letter = DeadLetter.of(offset, 1_000, Refusal(reason, error), b"{}")
        message = letter_message(source, letter)
        setting.producer.produce(DEADLETTERS_TOPIC, value=msgspec.json.encode(message.body), key=message.key)
    assert setting.producer.flush(30) == 0
    assert setting.store.refusals(SOURCE, before) == {
        7: ClockRefusal(1_000, clock, hashlib.sha256(b"{}").hexdigest())
    }


def test_a_topic_that_is_not_there_is_said_to_be_missing(setting: Setting) -> None:
    with pytest.raises(LogError, match="run 'cx-signals topics'"):
        setting.store.bounds(("touchpoints.web", 77))
    facts = setting.store.topics()
    assert sum(facts[name].partitions for name in TOUCHPOINT_TOPICS) == 12


def test_a_topic_of_a_broker_that_is_away_is_not_said_to_be_missing(tmp_path: Path) -> None:
    """librdkafka calls it an unknown partition, at once and again and again."""
    broker = Kafka(tmp_path)
    child = broker.start()
    settings = KafkaSettings(bootstrap_servers=broker.address)
    consumer = Consumer(consumer_config(settings, "asks"))
    try:
        create_missing(new_admin(settings), settings)
        consumer.list_topics(DEADLETTERS_TOPIC, timeout=30)
        child.kill()
        with pytest.raises(NoAnswerError, match=f"no answer about {DEADLETTERS_TOPIC}:0"):
            bounds(consumer, TopicPartition(DEADLETTERS_TOPIC, 0))
    finally:
        consumer.close()
        child.kill()
