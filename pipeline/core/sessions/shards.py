"""Which shard of a checkpoint each session is stored in."""

from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.core.sessions.session import Session

#: At 500 bytes to 1 kB a session, a shard is some 100 kB.
SESSIONS_PER_SHARD: Final = 256
_LEAST_PER_SHARD: Final = 16


#: So many shards at least before they take more: what one event has written again stays small, and a manifest too.
_LEAST_SHARDS: Final = 64


def shard_room(alive: int) -> int:
    """How many sessions a new shard takes where there are so many already: 16 to 256."""
    room = _LEAST_PER_SHARD
    while room < SESSIONS_PER_SHARD and alive >= room * _LEAST_SHARDS:
        room *= 2
    return room


class SessionShards:
    """Which shard each session is in, and which shards have changed.

    A session joins the shard that is filling up and stays there. Numbers are never used again.
    """

    def __init__(self) -> None:
        self._count = 0
        """Of the sessions that are alive."""
        self._members: dict[int, list[Session]] = {}
        self._alive: dict[int, int] = {}
        self._filling = 0
        self.changed: set[int] = set()

    def add(self, session: Session) -> None:
        """Give a new session its shard."""
        if len(self._members.get(self._filling, ())) >= shard_room(self._count):
            self._filling += 1
        number = self._filling
        self._members.setdefault(number, []).append(session)
        self._count += 1
        self._alive[number] = self._alive.get(number, 0) + 1
        session.shard = number
        self.changed.add(number)

    def remove(self, session: Session) -> None:
        """A session is forgotten.

        Its shard is written again only when half of it is gone: a forgotten session that is restored
        is at once forgotten again.
        """
        number = session.shard
        self._count -= 1
        self._alive[number] -= 1
        if self._alive[number] * 2 <= len(self._members[number]):
            self.changed.add(number)

    def restore(self, number: int, sessions: list[Session]) -> None:
        """Take a stored shard; new sessions go into later ones."""
        for session in sessions:
            session.shard = number
        self._members[number] = sessions
        self._alive[number] = len(sessions)
        self._count += len(sessions)
        self._filling = max(self._filling, number + 1)

    def everything(self, sessions: Mapping[str, Session]) -> Iterator[tuple[int, list[Session]]]:
        """All shards with those of ``sessions`` that are theirs."""
        for number, members in self._members.items():
            yield number, [s for s in members if sessions.get(s.session_id) is s]

    def take_changed(self, sessions: Mapping[str, Session]) -> Iterator[tuple[int, list[Session]]]:
        """The changed shards with those of ``sessions`` that are theirs; forgets that they changed."""
        for number in sorted(self.changed):
            kept = [s for s in self._members.get(number, ()) if sessions.get(s.session_id) is s]
            if kept or number == self._filling:
                self._members[number], self._alive[number] = kept, len(kept)
            else:
                self._members.pop(number, None)
                self._alive.pop(number, None)
            yield number, kept
        self.changed = set()
