"""The sink's buffer: order, retrying, holding back, and what may be acknowledged."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from sinks.base import SinkRejectedError, SinkUnavailableError
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink

NAMES = {"t": ("a", "b"), "u": ("a",)}


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def new_buffer(sink: MemorySink, **limits: Any) -> SinkBuffer:
    return SinkBuffer(
        sink, NAMES, Limits(**{"flush_rows": 10, "flush_interval_s": 0.01, "max_rows": 100} | limits)
    )


def test_rows_are_stored_in_order_and_tickets_follow() -> None:
    async def work() -> None:
        sink = MemorySink()
        buffer = new_buffer(sink)
        running = asyncio.create_task(buffer.run())
        first = await buffer.put("t", [[1, 2], ["x", "y"]])
        assert buffer.stored < first
        second = await buffer.put("t", [[3], ["z"]])
        buffer.close()
        await running
        assert [row["a"] for row in sink.tables["t"]] == [1, 2, 3]
        assert sink.tables["t"][2] == {"a": 3, "b": "z"}
        assert buffer.stored == second
        assert buffer.rows == 0

    run(work())


def test_a_failing_sink_is_waited_for_and_nothing_is_acknowledged_or_lost_meanwhile() -> None:
    async def work() -> None:
        sink = MemorySink()
        sink.failures = [
            SinkUnavailableError("down", 0.05),
            SinkRejectedError("odd"),
            SinkUnavailableError("down", 0.01),
        ]
        errors: list[str] = []
        buffer = SinkBuffer(sink, NAMES, Limits(1, 0.001, 100), on_error=errors.append)
        running = asyncio.create_task(buffer.run())
        ticket = await buffer.put("u", [[7]])
        await asyncio.sleep(0.02)
        assert buffer.stored < ticket
        assert buffer.rows == 1
        buffer.close()
        await running
        assert sink.tables["u"] == [{"a": 7}]
        assert errors == ["u"] * 3
        assert buffer.stored == ticket

    run(work())


def test_a_full_buffer_holds_back_until_there_is_room() -> None:
    async def work() -> None:
        sink = MemorySink()
        sink.failures = [SinkUnavailableError("down", 0.2)]
        buffer = new_buffer(sink, max_rows=5)
        running = asyncio.create_task(buffer.run())
        await buffer.put("u", [[1, 2, 3, 4, 5]])
        waiting = asyncio.create_task(buffer.put("u", [[6]]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await waiting
        buffer.close()
        await running
        assert [row["a"] for row in sink.tables["u"]] == [1, 2, 3, 4, 5, 6]

    run(work())


def test_raw_bytes_count_by_their_size() -> None:
    async def work() -> None:
        sink = MemorySink()
        sink.failures = [SinkUnavailableError("down", 0.2)]
        buffer = new_buffer(sink, max_rows=60, flush_rows=1)
        running = asyncio.create_task(buffer.run())
        await buffer.put("u", [[b"x" * 65_536]])
        waiting = asyncio.create_task(buffer.put("u", [[b"y"]]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await waiting
        buffer.close()
        await running

    run(work())
