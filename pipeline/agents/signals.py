"""Phase two as a stage: tiles in, rolling signals out."""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Iterable, Set
from typing import Final

import msgspec

from pipeline.agents.checkpoints import Checkpointer
from pipeline.agents.holding import Holding
from pipeline.agents.inner import Inner, TilesRead
from pipeline.agents.outbox import Clock, Outbox, Outgoing, Receipt
from pipeline.agents.ownership import Owned, Ownership
from pipeline.agents.signal_messages import signal_messages
from pipeline.core.telling import Told
from pipeline.core.tiles import BUCKET_MS
from pipeline.core.windows import SignalRows, Windows
from pipeline.kafka.logs import Source, source_name
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from schemas.cloudevents import headers
from schemas.evidence import EVIDENCE_TOPIC, EVIDENCE_TYPE, evidence_message_id
from schemas.signals import topic_of
from schemas.versioning import SCHEMA_VERSION
from sinks.tables import SIGNALS

#: A source that is new to phase two may bring event time that the others have long left behind (a
#: replay reaches the partitions one after the other), so forgetting trails by so much wall time.
_FORGET_AFTER_S: Final = 60.0
#: Of the time, what emissions may take.
_SHARE: Final = 1 / 3
_LONGEST_PAUSE_S: Final = 3.0
#: What was complete and has changed is put out again this often at most.
_CORRECTED_AFTER_S: Final = 10.0
#: The parts of one batch are sent together.
_REST_AFTER_S: Final = 30.0
#: Of evidence in one message, about. Its counters are named after steps, which are input.
_BYTES_PER_MESSAGE: Final = 400_000
#: Rows put out before others get their turn: heartbeats and the console must not wait.
_ROWS_AT_A_TIME: Final = 1_000
#: The same of messages that are merged.
_RECORDS_AT_A_TIME: Final = 200
#: Of tiles, those whose way to a row is measured; history would have more of them.
_MOST_AWAITED: Final = 10_000


Turn = tuple[Source, int]
"""A partition, and the epoch in which this worker has it."""
_encode: Final = msgspec.json.Encoder().encode


class SignalsStage:
    """Runs phase two for the partitions of ``cx.tiles`` that this worker has."""

    def __init__(
        self,
        ownership: Ownership,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        hold_s: float = 30.0,
    ) -> None:
        """``hold_s``: how long a source that lags holds others back."""
        self._ownership = ownership
        self._checkpointer = checkpointer
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._wall_clock = wall_clock
        self._hold_s = hold_s
        self._on_their_way: deque[tuple[int, Receipt]] = deque()
        """Emissions not stored yet: when their oldest record was appended, and their receipt."""
        self._next_emission_s = 0.0
        """By the clock: not before it is anything put out, unless forced."""
        self._has_input = False
        """Whether any tiles have come since the last emission began."""
        self._holding: dict[Turn, Holding] = {}
        self._corrected_s: dict[Turn, float] = {}
        """When what was complete was last put out again."""
        self._mid_batch_since: dict[Source, float] = {}
        self._told: dict[Source, int | None] = {}
        self._inner = Inner(TilesRead, metrics, wall_clock)
        # Merging waits while an emission is held back by a full buffer: memory stays bounded.
        self._turn = asyncio.Lock()

    async def process(self, batch: RecordBatch) -> None:
        async with self._turn:
            owned = self._ownership.windows.get(batch.source)
            if owned is None or owned.epoch != batch.epoch:
                return  # read before a rebalance that took the partition away
            started = time.perf_counter()
            owned.cut_at = None  # what is merged and not put out would be lost with a cut made now
            for number, record in enumerate(batch.records, 1):
                if number % _RECORDS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                    if not self._ownership.holds(batch.source, owned):
                        return  # taken away meanwhile
                message = self._inner.read(batch.source, record)
                if message is not None:
                    owned.state.merge(
                        message.source, message.version, message.watermark, message.tiles, message.more
                    )
                    if message.tiles:
                        owned.changed_at = self._clock()
                        self._has_input = True
                        _await_rows(owned, message)
            owned.merged = batch.next_offset
            if batch.next_offset >= owned.log_end:
                owned.state.end_catching_up()
            self._metrics.batch_seconds.labels("tiles").observe(time.perf_counter() - started)

    async def emit(self, force: bool = False) -> None:
        """Put out the signals of windows that are complete, or have waited long enough.

        No more than a third of the time goes into it. While nothing comes in (history is told piece by piece)
        there is nobody to make room for. ``force``: whatever can be put out is, now.
        """
        if self._has_input and self._clock() < self._next_emission_s and not force:
            return
        async with self._turn:
            started, self._has_input = self._clock(), False
            present = list(self._ownership.windows.items())
            self._forget_gone({(source, owned.epoch) for source, owned in present})
            for source, owned in present:
                await self._emit(source, owned, force)
            self._outbox.poll()
            self._outbox.hurry(SIGNALS)
            self._next_emission_s = started + min((self._clock() - started) / _SHARE, _LONGEST_PAUSE_S)

    def _forget_gone(self, present: Set[Turn]) -> None:
        """One that was taken away and comes back has another state: what was noted of the former is not its."""
        for noted in (self._holding, self._corrected_s):
            for turn in noted.keys() - present:
                del noted[turn]

    def _awaits_rest(self, source: Source, is_mid_batch: bool) -> bool:
        """Whether the rest of a batch is on its way. Not for ever: its worker may be gone, and another one
        stopped.
        """
        if not is_mid_batch:
            self._mid_batch_since.pop(source, None)
            return False
        now = self._clock()
        return now - self._mid_batch_since.setdefault(source, now) < _REST_AFTER_S

    async def _emit(self, source: Source, owned: Owned[Windows], force: bool) -> None:
        if self._awaits_rest(source, owned.state.is_mid_batch):
            return  # parts of one batch make no rows of their own: equal versions must mean equal content
        windows, now = owned.state, self._clock()
        turn = source, owned.epoch
        due_ms = self._holding.setdefault(turn, Holding(self._hold_s)).due_ms(now, windows)
        if due_ms is not None:  # a clock that is ahead, by less than is refused, makes no window over
            due_ms = min(due_ms, round(self._wall_clock() * 1000))
        merged = owned.merged
        next_offset = owned.cut_at if merged is None and windows.is_due(due_ms) else merged
        if next_offset is None or not self._ownership.holds(source, owned):
            return
        started = time.perf_counter()
        owned.merged, owned.cut_at = None, None  # a cut made now would lose what is not put out yet
        is_correcting = force or now - self._corrected_s.get(turn, -_CORRECTED_AFTER_S) >= _CORRECTED_AFTER_S
        if is_correcting:
            self._corrected_s[turn] = now
        receipt = self._outbox.receipt()
        if not await self._put_out_all(source, owned, windows.emit(due_ms, is_correcting), receipt):
            return
        self._forget(owned)
        if windows.has_corrections():
            owned.merged = next_offset  # nothing is done before they are put out
            owned.early.append(receipt)
        else:
            # While there is more to tell the last record counts as not done: a restart then goes on telling.
            is_behind = windows.is_behind()
            done = next_offset - 1 if is_behind else next_offset
            owned.finish(done, receipt)
            owned.cut_at = done
            if is_behind and owned.merged is None:
                owned.merged = next_offset
        self._note_awaited(owned, receipt)
        self._checkpointer.consider(source, owned)
        name = source_name(source)
        self._metrics.segments.labels(name).set(len(windows.segments))
        self._metrics.refused_tiles.labels(name).set(windows.refused)
        self._metrics.batch_seconds.labels("signals").observe(time.perf_counter() - started)

    async def _put_out_all(
        self, source: Source, owned: Owned[Windows], emission: Iterable[SignalRows], receipt: Receipt
    ) -> bool:
        """Put out rows and evidence; False where the partition was taken away meanwhile: its next owner does."""
        count = 0
        for rows in emission:
            await self._put_out(rows, receipt)
            count += 1 + len(rows.ends_ms)
            if count >= _ROWS_AT_A_TIME:
                count = 0
                await asyncio.sleep(0)
                if not self._ownership.holds(source, owned):
                    return False
        if not self._ownership.holds(source, owned):
            return False
        await self._tell(source, owned.state, receipt)
        return self._ownership.holds(source, owned)

    def _note_awaited(self, owned: Owned[Windows], receipt: Receipt) -> None:
        """Rows of the first window of each of these records are on their way now."""
        out_ms = owned.state.out_ms
        oldest: int | None = None
        while owned.awaited and out_ms is not None and owned.awaited[0][0] <= out_ms:
            appended = heapq.heappop(owned.awaited)[1]
            oldest = appended if oldest is None else min(oldest, appended)
        if oldest is not None:
            self._on_their_way.append((oldest, receipt))

    def measure(self) -> None:
        """Take note of the emissions that have been stored and delivered by now."""
        while self._on_their_way and self._on_their_way[0][1].is_done():
            oldest_ms, _ = self._on_their_way.popleft()
            self._metrics.signal_latency.observe(max(0.0, self._wall_clock() - oldest_ms / 1000))

    async def _tell(self, source: Source, windows: Windows, receipt: Receipt) -> None:
        """Give detection a piece of what has become complete or has changed."""
        told = windows.take_told()
        if not told.steps and not told.hours and told.until_ms == self._told.get(source):
            return
        self._told[source] = told.until_ms
        name = source_name(source)
        parts = _in_parts(told)
        messages = []
        for part, (steps, hours) in enumerate(parts):
            body = {
                "schema_version": SCHEMA_VERSION,
                "source": name,
                "version": windows.version,
                # Only when all that belongs before it has been told.
                "complete": told.until_ms if part == len(parts) - 1 else None,
                "steps": steps,
                "hours": hours,
            }
            event_id = evidence_message_id(name, windows.version, part)
            messages.append(Outgoing(body, headers(EVIDENCE_TYPE, event_id), partition=0))
        await self._outbox.send(receipt, EVIDENCE_TOPIC, messages)

    def _forget(self, owned: Owned[Windows]) -> None:
        now = self._clock()
        windows, horizons = owned.state, owned.horizons
        horizon = windows.horizon_ms()
        if horizon is not None and (not horizons or now - horizons[-1][0] >= 1.0):
            horizons.append((now, horizon))
        while horizon is not None and horizons and now - horizons[0][0] >= _FORGET_AFTER_S:
            before = horizons.popleft()[1]
            # A source that was taken for empty then may have begun since, further back.
            windows.forget(min(before, horizon))

    async def _put_out(self, rows: SignalRows, receipt: Receipt) -> None:
        c = rows.columns
        ends = rows.ends_ms.tolist()
        numbers = [x.tolist() for x in (c.numerator, c.denominator, c.value, c.lower, c.upper)]
        await self._outbox.send(receipt, topic_of(c.signal), signal_messages(rows, ends, numbers))
        count = len(ends)
        columns = [[c.signal] * count, rows.segments, rows.windows, ends]
        rest = [[int(rows.is_complete)] * count, [rows.version] * count]
        await self._outbox.store(receipt, SIGNALS, [*columns, *numbers, *rest])


def _await_rows(owned: Owned[Windows], message: TilesRead) -> None:
    """Note when the newest of these tiles was appended, to see how long its first row takes."""
    if message.appended is not None and len(owned.awaited) < _MOST_AWAITED:
        end_ms = max(bucket for _, bucket, _ in message.tiles) + BUCKET_MS
        heapq.heappush(owned.awaited, (end_ms, message.appended))


def _in_parts(told: Told) -> list[tuple[list[msgspec.Raw], list[msgspec.Raw]]]:
    """Steps and hours of each message, as JSON; at least one, for how far all is complete."""
    parts: list[tuple[list[msgspec.Raw], list[msgspec.Raw]]] = [([], [])]
    size = 0
    for place, some in enumerate((told.steps, told.hours)):
        for one in some:
            text = _encode(one)
            if size and size + len(text) > _BYTES_PER_MESSAGE:
                parts.append(([], []))
                size = 0
            parts[-1][place].append(msgspec.Raw(text))
            size += len(text)
    return parts
