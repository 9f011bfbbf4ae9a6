"""How the content of a shard is written: each way is read again, also what an earlier version wrote."""

import msgspec
import pytest

from pipeline.core.sessions.partition import Partition
from schemas.checkpoints import decode_shard, encode_shard
from tests.support import FETCHED_MS, RULES, event_json, kept_sessions, log_of


def test_bytes_are_kept_as_they_are() -> None:
    content = bytes(range(256)) * 4
    text = encode_shard(content)
    assert decode_shard(text) == content
    assert len(text) < len(msgspec.json.encode(content))


def test_keys_that_are_numbers_are_texts_without_bytes() -> None:
    """As they have always been read again."""
    assert decode_shard(encode_shard({1: 10**30})) == {"1": 10**30}


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_partition_is_the_same_from_its_shards(is_compiled: bool) -> None:
    partition = Partition("web", RULES, is_compiled=is_compiled)
    added = [event_json(n, type="product_added", session_id=f"s{n % 7}", event_id=str(n)) for n in range(40)]
    partition.process(log_of(added), FETCHED_MS)
    expected = {name: session.entries for name, session in kept_sessions(partition).items()}
    made = partition.snapshot()
    shards = {name: decode_shard(encode_shard(content)) for name, content in made.changed.items()}
    again = Partition("web", RULES)
    again.restore(made.head, shards)
    assert {name: session.entries for name, session in kept_sessions(again).items()} == expected
    assert len(expected) == 7
    assert again.tiles == partition.tiles


def test_small_shards_of_counters_are_deflated_and_large_ones_are_not() -> None:
    """What each event causes to be written counts in a small shop, the time that it takes in a large one."""
    some = {"all": [[bucket, {"events": bucket % 7, "cart_opened": 1}] for bucket in range(500)]}
    small = encode_shard(some)
    assert len(small) * 4 < len(msgspec.json.encode(some))
    assert decode_shard(small) == some
    large = {f"store_id={number}": some["all"] for number in range(40)}
    assert encode_shard(large) == msgspec.json.encode(large)
    assert decode_shard(encode_shard(large)) == large
