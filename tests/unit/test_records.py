"""What is taken of librdkafka's messages."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from pipeline.core.lanes import IS_COMPILED
from pipeline.core.records import Record
from pipeline.kafka import reader, records
from schemas.ticks import TICK_HEADER

WEB, POS = ("touchpoints.web", 0), ("touchpoints.pos", 3)


def message(source: tuple[str, int], offset: int, value: bytes | None, **more: Any) -> Message:
    topic, partition = source
    return Message(
        topic=topic, partition=partition, offset=offset, value=value, timestamp=(1, 1_000 + offset), **more
    )


@pytest.mark.parametrize("by_source", [records.by_source, reader.by_source], ids=["as written", "as used"])
def test_records_are_taken_by_partition_in_order_and_errors_of_any(by_source: Callable[..., Any]) -> None:
    lost = KafkaError(KafkaError._PARTITION_EOF)
    tick = [(TICK_HEADER, b"2026-03-02T09:00:00.000Z")]
    fetched = [
        message(WEB, 7, b"a"),
        message(WEB, 8, None, headers=tick),
        message(POS, 1, b"b"),
        message(("touchpoints.app", 0), 5, b"of another worker"),
        message(POS, 2, b"of the error", error=lost),
        message(WEB, 9, b"c"),
    ]
    grouped, errors = by_source(fetched, {WEB, POS})
    assert grouped == {
        WEB: [Record(7, 1_007, b"a"), Record(8, 1_008, None, 1_772_442_000_000), Record(9, 1_009, b"c")],
        POS: [Record(1, 1_001, b"b")],
    }
    assert all(type(one) is Record for taken in grouped.values() for one in taken)
    assert errors == [(POS, lost)]
    assert by_source([], {WEB}) == ({}, [])
    nowhere = Message(topic="touchpoints.web", partition=0, value=b"a", timestamp=(1, 5))
    assert by_source([nowhere], {WEB}) == ({WEB: [Record(0, 5, b"a")]}, [])


@pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here")
def test_where_there_is_a_compiler_the_faster_way_is_used() -> None:
    assert reader.by_source.__module__ == "pipeline.kafka.fetched"
    with pytest.raises(TypeError):
        reader.by_source([b"no message"], {WEB})  # type: ignore[list-item]
