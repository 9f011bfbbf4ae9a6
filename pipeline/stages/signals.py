"""Phase two as a stage: tiles in, rolling signals out."""

import asyncio
import contextlib
import heapq
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from pipeline.core.windows.emission import SignalRows
from pipeline.durability.checkpointer import Checkpointer
from pipeline.kafka.reader import RecordBatch
from pipeline.metrics import Metrics
from pipeline.model.event_time import Clock
from pipeline.model.tiles import BUCKET_MS
from pipeline.outputs.evidence import evidence_output
from pipeline.outputs.signals import signals_output
from pipeline.stages.holding import Holding
from pipeline.stages.inner import Inner, TilesRead
from pipeline.stages.lease import Leases, RevokedError, SignalsLease, lease_of
from pipeline.stages.outbox import Outbox, Receipt
from schemas.facts import FACTS_TOPIC
from sinks.tables import SIGNALS

#: A source that is new to phase two may bring event time that the others have long left behind (a
#: replay reaches the partitions one after the other), so forgetting trails by so much wall time.
_FORGET_AFTER_S: Final = 60.0
#: Of the time, what emissions may take.
_SHARE: Final = 1 / 3
_LONGEST_PAUSE_S: Final = 3.0
#: Touchpoints that were appended so long ago are a backlog.
_BEHIND_MS: Final = 3_000
#: While one is worked off rows are put out this often, and once nothing has come of it for a second.
_BEHIND_PAUSE_S: Final = 10.0
_QUIET_S: Final = 1.0
#: What was complete and has changed is put out again this often at most.
_CORRECTED_AFTER_S: Final = 10.0
#: So much later signals of persons are complete where nothing lags: time is told by the minute on their way.
_PERSONS_LATER_S: Final = 90.0
#: The parts of one batch are sent together.
_REST_AFTER_S: Final = 30.0
#: Rows put out before others get their turn: heartbeats and the console must not wait.
_ROWS_AT_A_TIME: Final = 1_000
#: The same of messages that are merged.
_RECORDS_AT_A_TIME: Final = 200
#: Tiles of persons before others get their turn: each may open an hour, which takes some milliseconds.
_PERSON_TILES_AT_A_TIME: Final = 20
#: Of tiles, those whose way to a row is measured; history would have more of them.
_MOST_AWAITED: Final = 10_000


class SignalsStage:
    """Runs phase two for the partitions of ``cx.tiles`` that this worker has."""

    def __init__(
        self,
        leases: Leases,
        outbox: Outbox,
        metrics: Metrics,
        checkpointer: Checkpointer,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        hold_s: float = 30.0,
    ) -> None:
        """``hold_s``: how long a source that lags holds others back."""
        self._leases = leases
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
        self._input_since_s = 0.0
        """When the first of them came, by the clock."""
        self._input_s = 0.0
        """When the last of them came."""
        self._appended_ms = 0
        """When the touchpoints that the newest of them are of were appended, by the wall clock."""
        self._inner = Inner(TilesRead, metrics, wall_clock)
        # Merging waits while an emission is held back by a full buffer: memory stays bounded.
        self._turn = asyncio.Lock()

    async def process(self, batch: RecordBatch) -> None:
        """Merge a batch. Where the partition is taken away meanwhile the next owner does."""
        with contextlib.suppress(RevokedError):
            async with self._turn:
                await self._merge(lease_of(self._leases.windows, batch.source, batch.epoch), batch)

    async def _merge(self, lease: SignalsLease, batch: RecordBatch) -> None:
        started = time.perf_counter()
        lease.cut_at = None  # what is merged and not put out would be lost with a cut made now
        for number, record in enumerate(batch.records, 1):
            if number % _RECORDS_AT_A_TIME == 0:
                await asyncio.sleep(0)
            message = self._inner.read(batch.source, record)
            if message is None:
                continue
            await self._take(lease, message)
            if message.tiles:
                lease.changed_at = self._clock()
                if not self._has_input:
                    self._has_input, self._input_since_s = True, lease.changed_at
                self._input_s = lease.changed_at
                if not message.source.startswith(FACTS_TOPIC):  # what is told of persons is always new
                    self._appended_ms = message.appended or round(self._wall_clock() * 1000)
                _await_rows(lease, message)
        lease.merged, lease.has_news = batch.next_offset, True
        if batch.next_offset >= lease.log_end:
            lease.state.end_catching_up()
        self._metrics.batch_seconds.labels("tiles").observe(time.perf_counter() - started)

    async def _take(self, lease: SignalsLease, message: TilesRead) -> None:
        """A message of persons may open hours of two weeks: others get their turn while it is merged."""
        tiles, state = message.tiles, lease.state
        if message.source.startswith(FACTS_TOPIC):
            while len(tiles) > _PERSON_TILES_AT_A_TIME:
                some, tiles = tiles[:_PERSON_TILES_AT_A_TIME], tiles[_PERSON_TILES_AT_A_TIME:]
                state.merge(message.source, message.version, None, some, more=True)
                await asyncio.sleep(0)
                lease.check()
        state.merge(message.source, message.version, message.watermark, tiles, message.more)

    async def emit(self, force: bool = False) -> None:
        """Put out the signals of windows that are complete, or have waited long enough.

        No more than a third of the time goes into it; of a backlog nobody waits for the rows, so they are put out
        less often, for a late event makes fewer of them come twice then. While nothing comes in (history is told
        piece by piece) there is nobody to make room for. ``force``: whatever can be put out is, now.
        """
        if not (force or self._may_emit()):
            return
        async with self._turn:
            started, self._has_input = self._clock(), False
            for lease in list(self._leases.windows.values()):
                with contextlib.suppress(RevokedError):
                    await self._emit(lease, force)
            self._outbox.poll()
            self._outbox.hurry(SIGNALS)
            self._next_emission_s = started + min((self._clock() - started) / _SHARE, _LONGEST_PAUSE_S)

    def _may_emit(self) -> bool:
        now = self._clock()
        if not self._has_input:
            return True
        if now < self._next_emission_s:
            return False
        if self._wall_clock() * 1000 - self._appended_ms <= _BEHIND_MS:
            return True
        return now - self._input_s >= _QUIET_S or now - self._input_since_s >= _BEHIND_PAUSE_S

    def _awaits_rest(self, lease: SignalsLease) -> bool:
        """Whether the rest of a batch is on its way. Not for ever: its worker may be gone, and another one
        stopped.
        """
        if not lease.state.is_mid_batch:
            lease.mid_batch_since = None
            return False
        now = self._clock()
        if lease.mid_batch_since is None:
            lease.mid_batch_since = now
        return now - lease.mid_batch_since < _REST_AFTER_S

    async def _emit(self, lease: SignalsLease, force: bool) -> None:
        if self._awaits_rest(lease):
            return  # parts of one batch make no rows of their own: equal versions must mean equal content
        windows, now = lease.state, self._clock()
        due_ms, persons_due_ms = self._due(lease, now)
        merged, is_due = lease.merged, windows.is_due(due_ms, persons_due_ms)
        next_offset = lease.cut_at if merged is None and is_due else merged
        if next_offset is None:
            return
        last = lease.corrected_at
        is_correcting = force or last is None or now - last >= _CORRECTED_AFTER_S
        if not (lease.has_news or is_correcting or windows.is_behind() or is_due):
            return  # only corrections wait
        started = time.perf_counter()
        lease.merged, lease.cut_at, lease.has_news = (
            None,
            None,
            False,
        )  # a cut now would lose what is not put out yet
        if is_correcting:
            lease.corrected_at = now
        receipt = self._outbox.receipt()
        await self._put_out_all(lease, windows.emit(due_ms, is_correcting, persons_due_ms), receipt)
        self._forget(lease)
        if windows.has_corrections():
            lease.merged = next_offset  # nothing is done before they are put out
            lease.early.append(receipt)
        else:
            # While there is more to tell the last record counts as not done: a restart then goes on telling.
            is_behind = windows.is_behind()
            done = next_offset - 1 if is_behind else next_offset
            lease.finish(done, receipt)
            lease.cut_at = done
            if is_behind and lease.merged is None:
                lease.merged = next_offset
        self._note_awaited(lease, receipt)
        self._checkpointer.consider(lease)
        self._metrics.segments.labels(lease.name).set(len(windows.segments))
        self._metrics.refused_tiles.labels(lease.name).set(windows.refused)
        self._metrics.batch_seconds.labels("signals").observe(time.perf_counter() - started)

    def _due(self, lease: SignalsLease, now: float) -> tuple[int | None, int | None]:
        """Ends up to these have waited long enough: of all signals, and of those of persons."""
        lease.holdings = lease.holdings or (Holding(self._hold_s), Holding(self._hold_s + _PERSONS_LATER_S))
        windows, wall_ms = lease.state, round(self._wall_clock() * 1000)
        due = (
            lease.holdings[0].due_ms(now, windows.sources.progress()),
            lease.holdings[1].due_ms(now, windows.persons_progress()),
        )
        # A clock that is ahead, by less than is refused, makes no window over.
        first, second = (None if one is None else min(one, wall_ms) for one in due)
        return first, second

    async def _put_out_all(self, lease: SignalsLease, emission: Iterable[SignalRows], receipt: Receipt) -> None:
        """Put out rows and evidence. Raises RevokedError: the partition's next owner does."""
        count = 0
        for rows in emission:
            await self._outbox.put(receipt, signals_output(rows))
            lease.check()
            count += 1 + len(rows.ends_ms)
            if count >= _ROWS_AT_A_TIME:
                count = 0
                await asyncio.sleep(0)
        await self._tell(lease, receipt)
        lease.check()

    def _note_awaited(self, lease: SignalsLease, receipt: Receipt) -> None:
        """Rows of the first window of each of these records are on their way now."""
        out_ms = lease.state.out_ms
        oldest: int | None = None
        while lease.awaited and out_ms is not None and lease.awaited[0][0] <= out_ms:
            appended = heapq.heappop(lease.awaited)[1]
            oldest = appended if oldest is None else min(oldest, appended)
        if oldest is not None:
            self._on_their_way.append((oldest, receipt))

    def measure(self) -> None:
        """Take note of the emissions that have been stored and delivered by now."""
        while self._on_their_way and self._on_their_way[0][1].is_done():
            oldest_ms, _ = self._on_their_way.popleft()
            self._metrics.signal_latency.observe(max(0.0, self._wall_clock() - oldest_ms / 1000))

    async def _tell(self, lease: SignalsLease, receipt: Receipt) -> None:
        """Give detection a piece of what has become complete or has changed."""
        windows = lease.state
        for told, version, is_of_persons in (
            (windows.take_told(), windows.sources.version, False),
            (windows.take_persons_told(), windows.persons_version, True),
        ):
            before = lease.told_until_ms.get(is_of_persons)
            if told.steps or told.hours or told.until_ms != before:
                lease.told_until_ms[is_of_persons] = told.until_ms
                output = evidence_output(lease.name, version, told, is_of_persons=is_of_persons)
                await self._outbox.put(receipt, output)

    def _forget(self, lease: SignalsLease) -> None:
        now = self._clock()
        windows, horizons = lease.state, lease.horizons
        horizon = windows.horizon_ms()
        if horizon is not None and (not horizons or now - horizons[-1][0] >= 1.0):
            horizons.append((now, horizon))
        while horizon is not None and horizons and now - horizons[0][0] >= _FORGET_AFTER_S:
            before = horizons.popleft()[1]
            # A source that was taken for empty then may have begun since, further back.
            windows.forget(min(before, horizon))


def _await_rows(lease: SignalsLease, message: TilesRead) -> None:
    """Note when the newest of these tiles was appended, to see how long its first row takes."""
    if message.appended is not None and len(lease.awaited) < _MOST_AWAITED:
        end_ms = max(bucket for _, bucket, _ in message.tiles) + BUCKET_MS
        heapq.heappush(lease.awaited, (end_ms, message.appended))
