"""The metrics page: made once a second however many ask, and made when nothing else is done."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from pipeline.metrics import Metrics
from pipeline.web.health import Exposition


def test_it_is_made_once_a_second_however_many_ask() -> None:
    now, measured = [100.0], [0]

    def measure() -> None:
        measured[0] += 1

    async def work() -> None:
        page = Exposition(Metrics(), measure, lambda: now[0])
        texts = await asyncio.gather(*(page.text() for _ in range(5)))
        assert {b"cx_sink_waiting_rows" in text for text in texts} == {True}
        assert measured == [1]
        now[0] += 1
        await page.text()
        assert measured == [2]

    asyncio.run(work())


def test_it_does_not_wait_for_threads_that_wait_for_a_server() -> None:
    going_on = threading.Event()

    async def work() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waiting = asyncio.create_task(asyncio.to_thread(going_on.wait, 20))
        await asyncio.sleep(0)
        try:
            page = Exposition(Metrics(), lambda: None)
            assert b"cx_sink_waiting_rows" in await asyncio.wait_for(page.text(), 5)
        finally:
            going_on.set()
        await waiting

    asyncio.run(work())
