"""One session as the reference engine keeps it."""

from dataclasses import dataclass, field

from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.late import EventKey
from pipeline.core.sessions.walk import Journey, JourneyKey, Walk
from pipeline.model.event_time import NEVER_MS


@dataclass(slots=True, eq=False)
class Session:
    """The events that it keeps, in order of their keys, and the walk over them."""

    session_id: str
    is_misplaced: bool = False
    """Its id belongs in another partition."""
    entries: list[Entry] = field(default_factory=list)
    base: Walk | None = None
    """The walk up to the first kept event; None where no journey was open then."""
    walk: Walk = field(default_factory=Walk)
    """The walk over base and entries; stale while ``late`` is set."""
    late: "Late | None" = None
    last_ms: int = -1
    """Time of the latest event; -1 before the first."""
    timer_ms: int = NEVER_MS
    """When its timeouts are looked at next; NEVER_MS: they are not."""
    customer_id: str | None = None
    """The last one named by an event in order."""
    visitor_id: str | None = None
    """The same."""
    is_observed: bool = False
    """Whether an event that named both of them has been told of."""
    is_watched: bool = False
    """Whether it has facts, so that whom its events name matters."""
    shard: int = -1
    """The number of the shard that it is stored in."""

    def begin(self) -> Walk:
        """The walk before the first kept event."""
        return Walk() if self.base is None else self.base.copy()


@dataclass(slots=True)
class Late:
    """What was so before the first late event of a batch came, and what came since."""

    ended: dict[JourneyKey, Journey]
    opened: dict[JourneyKey, Entry]
    """The opening events of the journeys that had ended or were open."""
    first: EventKey
    """Of the earliest late event."""
    keys: set[EventKey] = field(default_factory=set)
    """Of that one and of all that have come since."""
