"""What is taken of librdkafka's messages."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from pipeline.core.sessions.engine import IS_COMPILED, by_column
from pipeline.kafka import reader, records
from pipeline.model.records import Record
from pipeline.model.rules import GENERATION_SHIFT
from schemas.ticks import TICK_HEADER
from schemas.versioning import MOST_GENERATIONS
from tests.needs import need

WEB, POS = ("touchpoints.web", 0), ("touchpoints.pos", 3)


def message(source: tuple[str, int], offset: int, value: bytes | None, **more: Any) -> Message:
    topic, partition = source
    return Message(
        topic=topic, partition=partition, offset=offset, value=value, timestamp=(1, 1_000 + offset), **more
    )


@pytest.mark.parametrize("sort_in", [records.sort_in, reader.sort_in], ids=["as written", "as used"])
def test_records_are_taken_by_partition_in_order_and_errors_of_any(sort_in: Callable[..., Any]) -> None:
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
    grouped: dict[Any, Any] = {}
    assert sort_in(fetched[:3], {WEB, POS}, grouped) == []
    assert sort_in(fetched[3:], {WEB, POS}, grouped) == [(POS, lost, 2)]
    assert {source: list(taken) for source, taken in grouped.items()} == {
        WEB: [Record(7, 1_007, b"a"), Record(8, 1_008, None, 1_772_442_000_000), Record(9, 1_009, b"c")],
        POS: [Record(1, 1_001, b"b")],
    }
    assert all(type(one) is Record for taken in grouped.values() for one in taken)
    nothing: dict[Any, Any] = {}
    assert (sort_in([message(POS, 2, None, error=lost)], {POS}, nothing), nothing) == ([(POS, lost, 2)], {})
    nowhere = Message(topic="touchpoints.web", partition=0, value=b"a", timestamp=(1, 5))
    assert sort_in([nowhere], {WEB}, nothing) == []
    assert list(nothing[WEB]) == [Record(0, 5, b"a")]


def test_where_there_is_a_compiler_the_faster_way_is_used() -> None:
    need(IS_COMPILED, "nothing is compiled here")
    assert reader.sort_in.__module__ == reader.earliest_ms.__module__ == "pipeline.kafka.fetched"
    with pytest.raises(TypeError):
        reader.sort_in([b"no message"], {WEB}, {})  # type: ignore[list-item] # what is tested


LOG = [Record(n, 1_000 - n, None, 5) if n % 3 == 0 else Record(n, 1_000 + n, b"%d" % n) for n in range(10, 3_000)]


@pytest.mark.parametrize("earliest_ms", [records.earliest_ms, reader.earliest_ms], ids=["as written", "as used"])
def test_the_earliest_time_is_that_of_a_record_with_a_value(earliest_ms: Callable[..., Any]) -> None:
    for log in (LOG, by_column(LOG)):
        assert earliest_ms(log) == 1_010
        assert earliest_ms(log[2:]) == 1_013
        assert earliest_ms(log[2:3]) is None  # a tick
    assert earliest_ms(by_column([Record(1, -1, b"a"), Record(2, 7, b"b"), Record(3, 6, b"c")])) == 6
    assert earliest_ms(by_column([Record(1, -1, b"a")])) is None


def test_by_column_they_are_the_same_sequence() -> None:
    log = by_column(LOG)
    assert list(log) == LOG
    assert len(log) == len(LOG)
    assert [log[0], log[-1], log[-len(LOG)]] == [LOG[0], LOG[-1], LOG[0]]
    for part in (slice(0, 5), slice(7, 2_000), slice(5, 5), slice(9, 5), slice(-3, None)):
        assert list(log[part]) == LOG[part]
    assert by_column(log) is log
    for beyond in (len(LOG), -len(LOG) - 1):
        with pytest.raises(IndexError):
            log[beyond]


def test_a_tick_has_no_value() -> None:
    need(IS_COMPILED, "nothing is compiled here")
    with pytest.raises(ValueError, match="record 4 has a value and is said to be a tick"):
        by_column([Record(4, 1, b"a", 5)])


def test_no_version_is_beyond_what_every_reader_of_json_tells_apart() -> None:
    """JavaScript's numbers are doubles: above 2^53 a newer version may look the same."""
    assert MOST_GENERATIONS << GENERATION_SHIFT <= 2**53
