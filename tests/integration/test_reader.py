"""The reader of whole batches, with a broker."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from deploy.embedded.kafka import Kafka
from pipeline.kafka.clients import new_admin, new_producer
from pipeline.kafka.reader import BatchReader
from pipeline.settings import KafkaSettings

TOPIC = "reader"
SOURCE = (TOPIC, 0)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[KafkaSettings]:
    broker = Kafka(tmp_path)
    broker.start()
    try:
        yield KafkaSettings(bootstrap_servers=broker.address)
    finally:
        broker.stop()


def append(settings: KafkaSettings, count: int, *, more: bool = False) -> None:
    admin = new_admin(settings)
    for future in () if more else admin.create_topics([NewTopic(TOPIC, 1, 1)]).values():
        future.result(30)
    producer = new_producer(settings)
    for number in range(count):
        producer.produce(TOPIC, value=b"%d" % number, partition=0)
    assert producer.flush(30) == 0


def read(reader: BatchReader, count: int) -> int:
    """So many records in one read: it waits until they have come."""
    deadline = time.monotonic() + 30
    while not (batches := reader.read(count, 10, 0)) and time.monotonic() < deadline:
        pass
    return sum(len(batch.records) for batch in batches)


def test_what_comes_while_nothing_is_read_is_behind(settings: KafkaSettings) -> None:
    """As when the consumer is held back: the end that was seen is not the end any more."""
    append(settings, 100)
    reader = BatchReader(settings)
    try:
        reader.position(SOURCE, 0, epoch=1)
        assert read(reader, 100) == 100
        deadline = time.monotonic() + 10
        while not reader.is_at_end(SOURCE) and time.monotonic() < deadline:
            reader.read(100, 0.1, 0)
        assert reader.is_at_end(SOURCE)
        assert reader.lag(SOURCE) == 0
        append(settings, 50, more=True)
        while reader.lag(SOURCE) != 50 and time.monotonic() < deadline + 10:
            time.sleep(0.05)
        assert reader.lag(SOURCE) == 50
        left = 50
        while left and time.monotonic() < deadline + 20:
            left -= read(reader, left)
            assert reader.lag(SOURCE) == left
        assert left == 0
    finally:
        reader.close()
