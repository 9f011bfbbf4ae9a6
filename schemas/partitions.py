"""Which partition a key belongs in: as Java's clients have it, MurmurHash2 (Austin Appleby) with Kafka's seed."""

from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """32 bits, as ``org.apache.kafka.common.utils.Utils.murmur2`` has them, unsigned."""
    found = (_SEED ^ len(key)) & _MASK
    whole = len(key) - len(key) % 4
    for at in range(0, whole, 4):
        four = int.from_bytes(key[at : at + 4], "little") * _FACTOR & _MASK
        four = (four ^ four >> 24) * _FACTOR & _MASK
        found = found * _FACTOR & _MASK ^ four
    if whole < len(key):
        found = (found ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _MASK
    found = (found ^ found >> 13) * _FACTOR & _MASK
    return found ^ found >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """Of so many partitions the one of the key."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
