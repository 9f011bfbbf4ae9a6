"""A book: packed content by key, in shards of which a cut writes only those that have changed (law 3).

What changes goes to the shard that is filling up, as in a log: a million persons are not written anew for one. A
shard is written again when half of what was in it has gone elsewhere, and dissolved when little is left.
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final

LEAST_ROOM: Final = 16
MOST_ROOM: Final = 2_048
#: About so many shards, as long as they are not full.
_SHARDS: Final = 64
_FEW: Final = 8
_NUMBER: Final = Struct("<I")
_SIZES: Final = Struct("<HI")


class Book:
    """Contents are bytes, keys texts of at most 65,535 bytes."""

    def __init__(self, is_exact: bool = False) -> None:
        """``is_exact``: what was removed is in no stored shard any more. Else it may be there until half of its
        shard has gone: of what is removed by its age it is no matter that it comes back with a restore.
        """
        self._is_exact: Final = is_exact
        self._kept: dict[str, bytes] = {}
        """By key: the number of the shard, and the content."""
        self._members: dict[int, list[str]] = {}
        """By shard, who has been put into it; those among them that are elsewhere now included."""
        self._alive: dict[int, int] = {}
        self._changed: set[int] = set()
        self._filling = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def get(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        return None if found is None else found[_NUMBER.size :]

    def put(self, key: str, content: bytes) -> None:
        before, filling = self._kept.get(key), self._filling
        self._kept[key] = _NUMBER.pack(filling) + content
        self._changed.add(filling)
        if before is not None and _NUMBER.unpack_from(before)[0] == filling:
            return
        if before is not None:
            self._leave(_NUMBER.unpack_from(before)[0])
        self._members.setdefault(filling, []).append(key)
        self._alive[filling] = self._alive.get(filling, 0) + 1

    def remove(self, key: str) -> None:
        """Forget what is kept of the key. Raises KeyError."""
        self._leave(_NUMBER.unpack_from(self._kept.pop(key))[0])

    def _leave(self, shard: int) -> None:
        self._alive[shard] -= 1
        if self._is_exact or self._alive[shard] * 2 <= len(self._members[shard]):
            self._changed.add(shard)

    def renew(self) -> None:
        """Have all shards written again, so that nothing is left of what was removed or replaced."""
        self._changed.update(self._members)

    def take_changed(self) -> Iterator[tuple[int, bytes]]:
        """The shards to be written, ascending; empty: there is none any more."""
        room = self._room()
        for shard in sorted(self._changed):
            if shard != self._filling and 0 < self._alive[shard] * _FEW <= room:
                self._dissolve(shard)
        changed, self._changed = sorted(self._changed), set()
        for shard in changed:
            living = [key for key in dict.fromkeys(self._members.get(shard, ())) if self._shard_of(key) == shard]
            if living:
                self._members[shard] = living
            else:
                self._members.pop(shard, None)
                self._alive.pop(shard, None)
            yield shard, b"".join(self._stored(key) for key in living)
        if len(self._members.get(self._filling, ())) >= room:
            self._filling += 1

    def everything(self) -> Iterator[tuple[int, bytes]]:
        """All shards."""
        self.renew()
        return self.take_changed()

    def restore(self, shards: Mapping[int, bytes]) -> None:
        """Take stored shards. Raises ValueError where they are broken."""
        # The newest first: what has moved since an older one was written is in that one as well.
        for number in sorted(shards, reverse=True):
            members = []
            for key, content in _read(shards[number]):
                if key not in self._kept:
                    self._kept[key] = _NUMBER.pack(number) + content
                    members.append(key)
            self._members[number], self._alive[number] = members, len(members)
            if not members:
                self._changed.add(number)
        self._filling = max(shards, default=-1) + 1

    def _dissolve(self, shard: int) -> None:
        """Move what is left to the shard that is filling up."""
        for key in dict.fromkeys(self._members[shard]):
            if self._shard_of(key) == shard:
                self.put(key, self._kept[key][_NUMBER.size :])

    def _room(self) -> int:
        """How many a shard takes."""
        return min(MOST_ROOM, max(LEAST_ROOM, len(self._kept) // _SHARDS))

    def _shard_of(self, key: str) -> int | None:
        found = self._kept.get(key)
        return None if found is None else _NUMBER.unpack_from(found)[0]

    def _stored(self, key: str) -> bytes:
        text, content = key.encode(errors="surrogatepass"), self._kept[key]
        return _SIZES.pack(len(text), len(content) - _NUMBER.size) + text + content[_NUMBER.size :]


def _read(stored: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(stored):
        if len(stored) - at < _SIZES.size:
            raise ValueError("a shard of facts is cut short")
        key_size, size = _SIZES.unpack_from(stored, at)
        at += _SIZES.size
        if len(stored) - at < key_size + size:
            raise ValueError("a shard of facts is cut short")
        yield (
            stored[at : at + key_size].decode(errors="surrogatepass"),
            stored[at + key_size : at + key_size + size],
        )
        at += key_size + size
