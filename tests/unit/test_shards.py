"""How the content of a shard is written: each way is read again, also what an earlier version wrote."""

from typing import Any

import msgspec
import pytest

from pipeline.core.cuts import SESSIONS
from pipeline.core.sessions.partition import Partition
from schemas.checkpoints import decode_shard, encode_shard
from tests.support import FETCHED_MS, RULES, event_json, kept_sessions, log_of


@pytest.mark.parametrize("content", [b"\x00\xff", {"a": b"\x00\xff"}, [[1, {"x": 2}]]])
def test_what_has_bytes_is_kept_as_it_is(content: Any) -> None:
    text = encode_shard(content, has_bytes=True)
    assert decode_shard(text) == content
    assert len(text) < len(msgspec.json.encode(content))


def test_numbers_too_large_for_one_are_written_the_other_way() -> None:
    content = {"packed": b"\x00\xff", "objects": [["a", 10**30]]}
    assert decode_shard(encode_shard(content, has_bytes=True)) == {"packed": "AP8=", "objects": [["a", 10**30]]}


def test_keys_that_are_numbers_are_texts_without_bytes() -> None:
    """As they have always been read again."""
    assert decode_shard(encode_shard({1: 10**30}, has_bytes=False)) == {"1": 10**30}


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("has_bytes", [False, True])
def test_a_partition_is_the_same_from_either(has_bytes: bool, is_compiled: bool) -> None:
    partition = Partition("web", RULES, is_compiled=is_compiled)
    added = [event_json(n, type="product_added", session_id=f"s{n % 7}", event_id=str(n)) for n in range(40)]
    partition.process(log_of(added), FETCHED_MS)
    expected = {name: session.entries for name, session in kept_sessions(partition).items()}
    made = partition.snapshot()
    shards = {
        name: decode_shard(encode_shard(content, has_bytes=has_bytes and name.startswith(SESSIONS)))
        for name, content in made.changed.items()
    }
    again = Partition("web", RULES)
    again.restore(made.head, shards)
    assert {name: session.entries for name, session in kept_sessions(again).items()} == expected
    assert len(expected) == 7
    assert again.tiles == partition.tiles


def test_small_shards_of_counters_are_deflated_and_large_ones_are_not() -> None:
    """What each event causes to be written counts in a small shop, the time that it takes in a large one."""
    some = {"all": [[bucket, {"events": bucket % 7, "cart_opened": 1}] for bucket in range(500)]}
    small = encode_shard(some, has_bytes=False)
    assert len(small) * 4 < len(msgspec.json.encode(some))
    assert decode_shard(small) == some
    large = {f"store_id={number}": some["all"] for number in range(40)}
    assert encode_shard(large, has_bytes=False) == msgspec.json.encode(large)
    assert decode_shard(encode_shard(large, has_bytes=False)) == large
