"""The session engine: a partition has one, either the reference in plain Python or the compiled one.

Both are held to the same suite. The compiled one is taken where it was compiled (decisions/0015), unless
``is_compiled`` says otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pipeline.core.sessions.facts import FactEvent
from pipeline.core.sessions.late import Rewalk
from pipeline.core.sessions.reference import ReferenceEngine
from pipeline.core.sessions.visits import Named
from pipeline.core.sessions.walk import Journey, JourneyKey
from pipeline.model.dimensions import Dims
from pipeline.model.erasure import Hide
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from pipeline.model.tiles import Counters
from schemas.facts import Observation
from schemas.touchpoint import Touchpoint

try:
    from pipeline.core.sessions.native.columns import RecordColumns
    from pipeline.core.sessions.native.engine import NativeEngine
except ImportError:  # it was not compiled
    IS_COMPILED = False
else:
    IS_COMPILED = True


class SessionEngine(Protocol):
    """The sessions of one partition, and what a batch adds to its journeys and counts."""

    latest_ms: int
    """The latest time seen, of events and ticks; before the first -NEVER_MS."""
    reached_ms: int
    """How far time has certainly come; before the first -NEVER_MS."""
    newest_ms: int
    """The newest event of the batch."""
    accepted: int
    """Events of the batch that were taken; with the two others set to 0 by ``begin``."""
    duplicates: int
    misplaced: int
    """Events whose session belongs in another partition."""

    def __len__(self) -> int: ...

    def begin(self) -> None:
        """A new batch: nothing has been taken of it."""

    def spread_over(self, number: int, partitions: int) -> None:
        """Which partition of how many it is, so that sessions in the wrong one are counted; 0: they are not."""

    def see(self, at_ms: int, reached_ms: int) -> None:
        """Let time go on to the latest one seen, and to how far it has certainly come."""

    def take(self, records: Sequence[Record], at: int, latest_stamp_ms: int) -> int:
        """Take records from this one on, as far as it can read them by itself; gives the first that it leaves."""

    def offer(self, event: Touchpoint) -> bool | None:
        """Take an event: False where it is there already, None where it is too far back in its session."""

    def settle_late(self) -> list[tuple[str, Rewalk, dict[JourneyKey, Journey]]]:
        """Walk the sessions anew that a late event has come to.

        Gives of each the id, what has changed, and by key the journeys that have ended now.
        """

    def time_out(self, watermark_ms: int) -> None:
        """End the open journeys whose timeout lies before the watermark."""

    def take_ended(self) -> list[tuple[str, Journey]]:
        """Session and journey of each that has ended since the last call."""

    def take_counts(self) -> list[tuple[Dims, int, Counters]]:
        """Dimensions, bucket and counters of what was taken since the last call: events, journeys opened."""

    def take_details(self) -> dict[tuple[Dims, int, str, str | None], int]:
        """The same by dimensions, bucket, type and step, of the types that tiles count by these."""

    def who(self, session_id: str) -> list[Named]:
        """Whom the kept events of a session name, in order; empty where there is no such session."""

    def watch(self, session_id: str) -> None:
        """Have ``take_named`` tell of the session from now on, or once it comes back: of one that keeps no event
        a checkpoint has nothing.
        """

    def take_facts(self) -> list[FactEvent]:
        """Events taken since the last call that are facts by themselves."""

    def take_named(self) -> list[str]:
        """Sessions that are watched and of which an event that names somebody was taken since the last call."""

    def take_folded(self) -> list[tuple[str, list[Named]]]:
        """Session and whom they named, of events that were folded away since the last call."""

    def take_gone(self) -> list[str]:
        """Sessions that were watched and have been let go since the last call."""

    def take_observations(self) -> list[Observation]:
        """Events since the last call that named visitor and customer, as far as they tell anything new.

        Of those of one session that name the same two, one after the other, the first is told when it comes, the
        last when it is let go: any time within a horizon is that of one of them or lies between two that are.
        """

    def take_long(self) -> dict[str, int]:
        """The sessions that a batch has made longer than they may be, and how long they are."""

    def forget(self) -> None:
        """Drop what no event within the allowed lateness can change."""

    def take_changed(self) -> Iterator[tuple[int, bytes]]:
        """The shards that have changed, ascending, as ``codec`` tells; empty: there is none any more."""

    def everything(self) -> Iterator[tuple[int, bytes]]:
        """All shards."""

    def restore(self, shards: Mapping[int, bytes], watermark_ms: int) -> None:
        """Take stored shards. Raises ValueError where they are broken."""


def new_engine(
    channel: str, rules: Rules, is_compiled: bool, hide_customer: Hide | None, hide_visitor: Hide | None
) -> SessionEngine:
    """An empty engine. ``hide_customer``, ``hide_visitor``: what ids are replaced by; None: they stay."""
    if is_compiled and IS_COMPILED:
        return NativeEngine(channel, rules, hide_customer, hide_visitor)
    return ReferenceEngine(channel, rules, hide_customer, hide_visitor)


def by_column(records: Sequence[Record]) -> Sequence[Record]:
    """The records as the compiled engine takes them, where there is one."""
    return RecordColumns(records) if IS_COMPILED and not isinstance(records, RecordColumns) else records
