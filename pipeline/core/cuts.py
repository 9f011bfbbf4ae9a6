"""Cuts: what of a state has changed since the cut before, as plain data (law 3).

A state is kept in *shards*, small enough to be stored whole: sessions by when they began, so that old
ones stay as they are, and counters by minute of event time. A cut names the shards that changed, with
their content, and those that are no more; all the others are as an earlier cut had them. Its head is
small and always complete. Content and head are made of dicts, lists, strings, integers, None and,
of sessions, bytes: they refer to the live state and must be encoded before it changes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.core.session import Session

Head = Mapping[str, Any]
Shards = Mapping[str, Any]
"""Content by name of the shard."""

MINUTE_MS: Final = 60_000
#: At 500 bytes to 1 kB a session, a shard is some 100 kB.
SESSIONS_PER_SHARD: Final = 256
_LEAST_PER_SHARD: Final = 16
#: So many shards at least before they take more: what one event has written again stays small, and a manifest too.
_LEAST_SHARDS: Final = 64
SESSIONS: Final = "sessions-"
MINUTE: Final = "minute-"


@dataclass(slots=True)
class Cut:
    """``changed``: content by name; ``gone``: names; ``head``: what is always written."""

    head: Head
    changed: dict[str, Any] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def put(self, name: str, content: Any) -> None:
        """A shard with its content now; an empty one is no more."""
        if content:
            self.changed[name] = content
        else:
            self.gone.append(name)


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
