"""Cuts: what of a state has changed since the cut before, as plain data (law 3).

A state is kept in *shards*, small enough to be stored whole: sessions by when they began, so that old
ones stay as they are, and counters by minute of event time. A cut names the shards that changed, with
their content, and those that are no more; all the others are as an earlier cut had them. Its head is
small and always complete. Content and head are made of dicts, lists, strings, integers and None, or
of bytes alone: they refer to the live state and must be encoded before it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Head = Mapping[str, Any]
Shards = Mapping[str, Any]
"""Content by name of the shard."""

MINUTE_MS: Final = 60_000
SESSIONS: Final = "sessions-"
FACTS: Final = "facts-"
TILES: Final = "tiles-"
PERSONS: Final = "persons-"
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


def packed_of(shards: Shards, begins: str) -> dict[int, bytes]:
    """Those of packed content whose names begin so, by number."""
    return {int(name.removeprefix(begins)): one for name, one in shards.items() if name.startswith(begins)}
