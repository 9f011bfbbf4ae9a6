"""What a worker does besides its agents: store, put out, tick, checkpoint, measure, finish."""

import asyncio
import logging
import os
import threading
from dataclasses import dataclass
from typing import Any, Final

import faust
from confluent_kafka import KafkaException, Producer

from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.store import CheckpointError
from pipeline.kafka.clients import describe
from pipeline.kafka.erasures import Erasures
from pipeline.kafka.logs import LogError
from pipeline.metrics import Metrics
from pipeline.model.source import source_name
from pipeline.runtime.process_memory import give_back
from pipeline.stages.journeys import JourneysStage
from pipeline.stages.lease import Leases
from pipeline.stages.paging import Paging
from pipeline.stages.persons import PersonsStage
from pipeline.stages.rejected import RejectedMessages
from pipeline.stages.signals import SignalsStage
from pipeline.stages.ticks import Ticker
from pipeline.web.live import Live
from pipeline.web.reads import Reads
from sinks.buffer import SinkBuffer

logger = logging.getLogger(__name__)
_STOP_S: Final = 8.0
"""How long a stopping worker waits for its last rows, messages and checkpoints."""
_LEAVE_S: Final = 5.0
"""How long it then has to leave its group."""
_STEP_S: Final = 0.1
_REFRESH_S: Final = 5.0
_GIVE_BACK_S: Final = 20.0
_PAGE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Background:
    """The timers and tasks of one worker. An error in any of them stops it."""

    app: faust.App
    buffer: SinkBuffer
    producer: Producer
    journeys: JourneysStage
    persons: PersonsStage
    signals: SignalsStage
    ticker: Ticker
    metrics: Metrics
    leases: Leases
    checkpointer: Checkpointer
    rejected: RejectedMessages
    erasures: Erasures
    paging: Paging | None = None

    def start(self, emit_s: float, tick_s: float) -> None:
        """Register everything with the app; it begins with the app."""
        app = self.app
        app.task(self._store)
        app.task(self._refresh)
        if self.paging is not None:
            app.task(self._page)
        app.timer(emit_s)(self._emit)
        app.timer(tick_s / 2)(self._tick)
        app.timer(_STEP_S)(self._checkpoint)
        app.timer(_GIVE_BACK_S)(self._give_back)
        app.on_before_shutdown.connect(self._finish, weak=False)

    def show(self, live: Live, *reads: Reads) -> None:
        """Keep the clients of the web server up to date whenever rows were stored; let them go before it ends."""
        self.buffer.on_stored = live.nudge

        async def run() -> None:
            try:
                await live.run()
            finally:
                live.close()
                for one in reads:
                    one.close()

        self.app.task(run)

        async def leave(*_: Any, **__: Any) -> None:
            live.close()

        self.app.on_before_shutdown.connect(leave, weak=False)

    async def _store(self) -> None:
        await self.buffer.run()

    async def _refresh(self) -> None:
        while not self.app.should_stop:
            try:
                await asyncio.to_thread(self.checkpointer.refresh)
            except CheckpointError as error:
                logger.error("stopping: %s", error)
                await self.app.crash(error)
                return
            except (KafkaException, LogError) as error:
                logger.warning("Kafka does not say where dead letters end: %s", describe(error))
            try:
                await asyncio.to_thread(self.erasures.read)
            except (KafkaException, LogError) as error:
                logger.warning("Kafka does not say who is erased: %s", describe(error))
            await asyncio.sleep(_REFRESH_S)

    async def _page(self) -> None:
        paging = self.paging
        assert paging is not None
        try:
            while not self.app.should_stop:
                await paging.step()
                await asyncio.sleep(_PAGE_S)
        finally:
            await paging.close()

    async def _emit(self) -> None:
        try:
            await self.signals.emit()
        except Exception as error:
            logger.exception("signals could not be put out")
            await self.app.crash(error)

    async def _tick(self) -> None:
        self.ticker.tick(self.app.consumer.reader)
        await self.journeys.announce(self.app.consumer.reader)
        await self.persons.tell_waiting()

    async def _checkpoint(self) -> None:
        try:
            self.signals.measure()
            self.checkpointer.step()
            await self.rejected.keep()
        except Exception as error:
            logger.exception("a checkpoint could not be written")
            await self.app.crash(error)

    async def _give_back(self) -> None:
        await asyncio.to_thread(give_back)

    def measure(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.sink_waiting.set(self.buffer.rows)
        self.metrics.unfinished.set(self.leases.unfinished())
        reader = self.app.consumer.reader
        for source in reader.positioned:
            if (lag := reader.lag(source)) is not None:
                self.metrics.consumer_lag.labels(source_name(source)).set(lag)

    async def _finish(self, *_: Any, **__: Any) -> None:
        """What has been read is stored and checkpointed, so that the next worker has little to do again.

        Faust has ended the timers by now, so their work is done here.
        """
        self.app.consumer.reader.hold()
        self.buffer.hurry()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _STOP_S
        try:
            async with asyncio.timeout_at(deadline):
                while await self._has_more_to_do():
                    self.producer.poll(0)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logger.warning("stopping with work unfinished; the next worker does it again")
        await asyncio.to_thread(self.producer.flush, max(1.0, deadline - loop.time()))
        # From here on nothing is worth waiting for, and aiokafka would wait without end to commit to and
        # leave a group whose coordinator is gone.
        give_up = threading.Timer(_LEAVE_S, _end_without_leaving)
        give_up.daemon = True
        give_up.start()

    async def _has_more_to_do(self) -> bool:
        if self.app.crashed:
            return bool(self.buffer.rows)
        await self.signals.emit(force=True)
        under_way = self.checkpointer.step(force=True)
        return bool(self.leases.unfinished() or self.buffer.rows or under_way)


def _end_without_leaving() -> None:
    logger.warning("Kafka does not answer: ending without leaving the group")
    logging.shutdown()
    os._exit(1)
