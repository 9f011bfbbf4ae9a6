"""The reader of whole batches, with a broker."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from deploy.embedded import kafka
from deploy.embedded.process import free_port
from pipeline.kafka.clients import new_admin, new_producer
from pipeline.kafka.reader import BatchReader
from pipeline.settings import KafkaSettings

TOPIC = "reader"
SOURCE = (TOPIC, 0)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[KafkaSettings]:
    port = free_port()
    child = kafka.start(port, tmp_path / "log")
    try:
        yield KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
    finally:
        child.stop()


def append(settings: KafkaSettings, count: int) -> None:
    admin = new_admin(settings)
    for future in admin.create_topics([NewTopic(TOPIC, 1, 1)]).values():
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


def test_it_does_not_keep_up_until_what_there_is_is_nearly_worked_off(settings: KafkaSettings) -> None:
    append(settings, 300)
    reader = BatchReader(settings)
    try:
        reader.position(SOURCE, 0, epoch=1)
        assert not reader.is_saturated
        assert read(reader, 100) == 100
        assert reader.is_saturated
        assert read(reader, 190) == 190
        assert not reader.is_saturated, "10 are left"
        reader.position(SOURCE, 0, epoch=2)
        assert read(reader, 100) == 100
        reader.drop(SOURCE)
        assert not reader.is_saturated, "nothing is read any more"
    finally:
        reader.close()
