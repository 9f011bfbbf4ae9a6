"""The sessions of a partition: in order in the fast lane where there is one, the others as objects.

The lane (``pipeline.core.sessions.native``) holds sessions packed and takes events that come in order. A session
of which something else is asked is taken out of it, as the objects that ``session`` describes, and put back at the
end of the batch unless it has become too long. Without the lane all sessions are objects.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from pipeline.core.sessions.event_log import Names
from pipeline.core.sessions.packed_sessions import PackedSession, unpacked
from pipeline.core.sessions.session import Session
from pipeline.core.sessions.shards import SessionShards
from pipeline.core.sessions.timer_wheel import Agenda
from pipeline.core.sessions.walk import Journey, Walk
from pipeline.model.event_time import NEVER_MS
from pipeline.model.funnels import Funnels

if TYPE_CHECKING:
    from pipeline.core.sessions.native.lane import Lane

_TIMER_SLOT_MS: Final = 1_000
_RETENTION_SLOT_MS: Final = 60_000


class OpenSessions:
    """Finds sessions, has them time out and forgets them."""

    def __init__(self, channel: str, funnels: Funnels, lane: "Lane | None") -> None:
        self._channel: Final = channel
        self.objects: dict[str, Session] = {}
        """By id, those that are objects just now: taken out for a batch, or too long for the lane."""
        self.lane: Final = lane
        self.shards: Final = SessionShards()
        """Of the objects where there is no lane, which has shards of its own."""
        self._funnels: Final = funnels
        self._timers = Agenda(_TIMER_SLOT_MS)
        self._retention = Agenda(_RETENTION_SLOT_MS)
        self._taken_out: dict[str, Session] = {}
        """Objects of this batch alone: they are in no agenda."""
        self._settled_ms: int | None = None
        """The watermark that timeouts were last looked at with."""

    def __len__(self) -> int:
        return len(self.objects) if self.lane is None else len(self.lane)

    def holds(self, session_id: str) -> bool:
        return session_id in self.objects if self.lane is None else self.lane.holds(session_id)

    def everything(self) -> dict[str, Session]:
        """All sessions by id, to be looked at: those of the lane are copies."""
        found = dict(self.objects)
        for session_id, packed in () if self.lane is None else self.lane.everything():
            if packed is not None:
                found[session_id] = self._restored(session_id, None, *packed)
        return found

    def get(self, session_id: str) -> Session | None:
        """The session, to be changed."""
        found = self.objects.get(session_id)
        if found is None and self.lane is not None:
            kept = self.lane.take_out(session_id)
            if kept is not None:
                shard, last_ms, packed, timed_out, late = kept
                if late is None:
                    # By what was done, not by the watermark: what an event of this batch opened has not ended.
                    found = Session.restored(session_id, None, *packed, None, self._funnels)
                    found.have_timed_out(timed_out)
                else:
                    found = Session.late(session_id, packed[0], packed[1], late, self._funnels)
                found.shard, found.last_ms = shard, last_ms
                self.objects[session_id] = self._taken_out[session_id] = found
        return found

    def _restored(self, session_id: str, base: Walk | None, names: Names, packed: bytes | bytearray) -> Session:
        return Session.restored(session_id, base, names, packed, self._settled_ms, self._funnels)

    def new(self, session_id: str, at_ms: int, names: Names) -> Session:
        """Only where there is no lane, which begins sessions by itself."""
        session = self.objects[session_id] = Session(session_id, names)
        self.shards.add(session)
        self._retention.add(at_ms + self._funnels.longest_timeout_ms, session)
        return session

    def touch(self, session: Session) -> None:
        """The session has changed."""
        if self.lane is None:
            self.shards.changed.add(session.shard)
        else:
            self.lane.touch(session.shard)

    def adopt(self, session: Session) -> None:
        """Keep a session as an object. It has its shard already."""
        self.objects[session.session_id] = session
        self._retention.add(session.last_ms + self._funnels.longest_timeout_ms, session)
        self.schedule(session)

    def schedule(self, session: Session) -> None:
        """Look at the session when its next journey times out."""
        if session.session_id in self._taken_out:
            return
        deadline_ms = session.next_deadline_ms()
        if deadline_ms < session.timer_ms:
            session.timer_ms = deadline_ms
            self._timers.add(deadline_ms, session)

    def time_out(self, watermark_ms: int) -> list[tuple[Session, Journey]]:
        """End the journeys of objects whose timeout lies before the watermark."""
        ended = [(one, journey) for one in self._taken_out.values() for journey in one.time_out(watermark_ms)]
        # All of a second that the watermark has reached are looked at, at every batch until it has passed.
        reached = self._timers.slot_of(watermark_ms - 1) + _TIMER_SLOT_MS
        for session in self._timers.take(watermark_ms):
            if session.timer_ms < watermark_ms:
                session.timer_ms = NEVER_MS
                ended.extend([(session, journey) for journey in session.time_out(watermark_ms)])
                self.schedule(session)
            elif session.timer_ms < reached:
                self._timers.add(session.timer_ms, session)
        return ended

    def settle(self, watermark_ms: int | None) -> None:
        """The batch is over: what was taken out of the lane goes back there if it can."""
        self._settled_ms = watermark_ms
        self._put_back()

    def _put_back(self) -> None:
        taken_out, self._taken_out = self._taken_out, {}
        for session in taken_out.values():
            if not self._goes_back(session):
                self.adopt(session)

    def _goes_back(self, session: Session) -> bool:
        """Whether it is in the lane now: not if it is too long, or journeys are open of what was folded away."""
        lane, base = self.lane, session.base
        if lane is None or (base is not None and base.open):
            return False
        if not lane.put_back(session.shard, session.last_ms, session.names, session.packed, self._settled_ms):
            return False
        session.timer_ms = NEVER_MS  # an agenda may still have the object, which is nobody's now
        del self.objects[session.session_id]
        return True

    def forget(self, cutoff_ms: int) -> None:
        """Drop sessions that no event after the cutoff can change, and what others have from before it."""
        longest_ms, retention = self._funnels.longest_timeout_ms, self._retention
        passed_ms = retention.slot_of(cutoff_ms)
        for session in retention.take(passed_ms):
            if self.objects.get(session.session_id) is not session:
                continue
            due_ms = session.last_ms + longest_ms
            if due_ms >= passed_ms:
                session.trim(cutoff_ms, self._funnels)
                if not self._goes_back(session):
                    retention.add(due_ms, session)
                continue
            del self.objects[session.session_id]
            if self.lane is None:
                self.shards.remove(session)
            else:
                self.lane.remove(session.shard)
        if self.lane is not None:
            self._trim_in(self.lane, cutoff_ms)

    def _trim_in(self, lane: "Lane", cutoff_ms: int) -> None:
        for session_id in lane.forget():
            session = self.get(session_id)
            assert session is not None
            session.trim(cutoff_ms, self._funnels)
        self._put_back()

    # --- checkpoints ----------------------------------------------------------------------------

    def take_changed(self) -> Iterator[tuple[int, bytes, list[Session]]]:
        """The changed shards, ascending, with what the lane has stored of each, and their objects."""
        if self.lane is None:
            for number, sessions in self.shards.take_changed(self.objects):
                yield number, b"", sessions
            return
        for number, stored, away in self.lane.take_changed():
            yield number, stored, [self.objects[session_id] for session_id in away]

    def restore(
        self,
        numbers: list[int],
        stored_in: Callable[[int], tuple[bytes, Iterable[PackedSession]]],
        watermark_ms: int,
    ) -> None:
        """Take the stored shards of these numbers: what a lane had stored of each, and other sessions.

        The newest first: a session that was forgotten and came back is in an older one as well.
        """
        self._settled_ms = watermark_ms
        if self.lane is not None and numbers:
            self.lane.begin_at(min(numbers))
        for number in sorted(numbers, reverse=True):
            stored, others = stored_in(number)
            if self.lane is None:
                self._restore_objects(number, [*unpacked(stored, self._channel), *others])
                continue
            self.lane.restore_stored(number, stored, watermark_ms)
            for one in others:
                self._restore_in(self.lane, number, one)
        if self.lane is not None and numbers:
            self.lane.end_restoring(max(numbers) + 1)

    def _restore_objects(self, number: int, stored: list[PackedSession]) -> None:
        sessions = [self._restored(*one) for one in stored if one.session_id not in self.objects]
        self.shards.restore(number, sessions)
        for session in sessions:
            self.adopt(session)

    def _restore_in(self, lane: "Lane", number: int, one: PackedSession) -> None:
        if lane.holds(one.session_id):
            return
        handle = lane.restore(number, one.session_id)
        if one.base is not None or not lane.put_back(handle, -1, one.names, one.packed, self._settled_ms):
            session = self._restored(*one)
            session.shard = handle
            self.adopt(session)
