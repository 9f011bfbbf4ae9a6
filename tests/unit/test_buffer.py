"""The sink's buffer: order, retrying, holding back, and what may be acknowledged."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from sinks.base import Columns, SinkRejectedError, SinkUnavailableError
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink

NAMES = {"t": ("a", "b"), "u": ("a",)}


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def new_buffer(sink: MemorySink, **limits: Any) -> SinkBuffer:
    return SinkBuffer(
        sink, NAMES, Limits(**{"flush_rows": 10, "flush_interval_s": 0.01, "max_bytes": 10_000} | limits)
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


def test_of_rows_that_wait_together_the_newest_of_a_key_is_stored_and_all_are_acknowledged() -> None:
    async def work() -> None:
        sink = MemorySink()
        names = {"tiles": ("segment", "bucket", "count", "version"), "log": ("segment", "version")}
        limits = Limits(flush_rows=9, flush_interval_s=60, max_bytes=10_000)
        buffer = SinkBuffer(sink, names, limits, keys={"tiles": ("segment", "bucket")})
        running = asyncio.create_task(buffer.run())
        await buffer.put("tiles", [["a", "b"], [0, 0], [1, 1], [1, 1]])
        await buffer.put("tiles", [["a", "a"], [0, 10], [2, 1], [2, 2]])
        await buffer.put("tiles", [["b", "a"], [0, 0], [7, 3], [0, 3]])  # of an older reading, and of a newer one
        await buffer.put("log", [["a", "a"], [1, 1]])
        last = await buffer.put("log", [["a"], [2]])
        buffer.close()
        await running
        rows = [tuple(row.values()) for row in sink.tables["tiles"]]
        assert rows == [("b", 0, 1, 1), ("a", 10, 1, 2), ("b", 0, 7, 0), ("a", 0, 3, 3)]
        assert len(sink.tables["log"]) == 3
        assert (buffer.stored, buffer.rows, buffer.bytes) == (last, 0, 0)

    run(work())


def test_a_failing_sink_is_waited_for_and_nothing_is_acknowledged_or_lost_meanwhile() -> None:
    async def work() -> None:
        sink = MemorySink()
        sink.failures = [
            SinkUnavailableError("down", 0.05),
            SinkUnavailableError("no such table", 0.01),
            SinkUnavailableError("down", 0.01),
        ]
        errors: list[tuple[str, bool]] = []
        buffer = SinkBuffer(
            sink, NAMES, Limits(1, 0.001, 10_000), on_error=lambda table, again: errors.append((table, again))
        )
        running = asyncio.create_task(buffer.run())
        ticket = await buffer.put("u", [[7]])
        await asyncio.sleep(0.02)
        assert buffer.stored < ticket
        assert buffer.rows == 1
        buffer.close()
        await running
        assert sink.tables["u"] == [{"a": 7}]
        assert errors == [("u", True)] * 3
        assert buffer.stored == ticket

    run(work())


def test_a_full_buffer_holds_back_until_there_is_room() -> None:
    async def work() -> None:
        sink = MemorySink()
        sink.failures = [SinkUnavailableError("down", 0.2)]
        buffer = new_buffer(sink, max_bytes=200)
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
        buffer = new_buffer(sink, max_bytes=60_000, flush_rows=1)
        running = asyncio.create_task(buffer.run())
        await buffer.put("u", [[b"x" * 65_536]])
        waiting = asyncio.create_task(buffer.put("u", [[b"y"]]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await waiting
        buffer.close()
        await running

    run(work())


class Picky(MemorySink):
    """Refuses inserts with a negative number in them, or all of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses_all = False

    def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
        if self.refuses_all or min(columns[0]) < 0:
            raise SinkRejectedError("negative")
        super().write(table, names, columns)


def test_an_offending_row_is_found_and_handed_over_and_the_others_go_in_in_order() -> None:
    async def work() -> None:
        sink, refused = Picky(), list[tuple[str, Any, str]]()

        async def take(table: str, row: Mapping[str, Any], error: str) -> None:
            await buffer.store_now("t", [[1], [error]])
            assert sink.tables["t"]
            assert buffer.stored == 0  # not acknowledged before it is somewhere
            refused.append((table, dict(row), error))

        buffer = SinkBuffer(sink, NAMES, Limits(100, 0.01, 10_000), on_rejected=take)
        running = asyncio.create_task(buffer.run())
        ticket = await buffer.put("u", [[1, 2, 3, -4, 5, 6, -7, 8]])
        buffer.close()
        await running
        assert [row["a"] for row in sink.tables["u"]] == [1, 2, 3, 5, 6, 8]
        assert refused == [("u", {"a": -4}, "negative"), ("u", {"a": -7}, "negative")]
        assert buffer.stored == ticket + 2

    run(work())


def test_a_table_that_refuses_every_row_is_waited_for() -> None:
    async def work() -> None:
        sink, refused = Picky(), list[Any]()
        sink.refuses_all = True

        async def take(*what: Any) -> None:
            refused.append(what)

        buffer = SinkBuffer(sink, NAMES, Limits(1_000, 0.01, 10_000_000), on_rejected=take)
        running = asyncio.create_task(buffer.run())
        ticket = await buffer.put("u", [list(range(500))])
        await asyncio.sleep(0.5)
        assert (refused, buffer.stored < ticket, buffer.rows) == ([], True, 500)
        running.cancel()

    run(work())


def test_a_table_that_is_out_does_not_hold_up_the_others_but_what_may_be_acknowledged() -> None:
    async def work() -> None:
        class OneTableOut(MemorySink):
            out = True

            def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
                if table == "u" and self.out:
                    raise SinkUnavailableError("no such table", 0.05)
                super().write(table, names, columns)

        sink = OneTableOut()
        buffer = new_buffer(sink, flush_rows=1)
        running = asyncio.create_task(buffer.run())
        await buffer.put("u", [[1]])
        second = await buffer.put("t", [[2], ["x"]])
        while not sink.tables.get("t"):
            await asyncio.sleep(0.01)
        assert buffer.stored == 0
        sink.out = False
        buffer.close()
        await running
        assert sink.tables["u"] == [{"a": 1}]
        assert buffer.stored == second

    run(work())


def test_a_large_backlog_goes_in_slices() -> None:
    async def work() -> None:
        sizes: list[int] = []

        class Counting(MemorySink):
            def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
                sizes.append(len(columns[0]))
                super().write(table, names, columns)

        sink = Counting()
        buffer = new_buffer(sink, flush_rows=10, max_bytes=1_000_000)
        for start in range(0, 100, 5):
            await buffer.put("u", [list(range(start, start + 5))])
        await buffer.put("u", [list(range(100, 150))])
        running = asyncio.create_task(buffer.run())
        buffer.close()
        await running
        assert [row["a"] for row in sink.tables["u"]] == list(range(150))
        assert max(sizes) <= 20

    run(work())


def test_a_server_that_hangs_holds_up_no_thread_that_others_wait_for() -> None:
    """asyncio has six threads for all on two cores, and there are more tables than that."""
    names = {f"table{number}": ("a",) for number in range(40)}
    going_on = threading.Event()

    class Hanging(MemorySink):
        def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
            going_on.wait(10)
            super().write(table, names, columns)

    async def work() -> None:
        sink = Hanging()
        buffer = SinkBuffer(sink, names, Limits(1, 0.001, 1 << 20))
        running = asyncio.create_task(buffer.run())
        for table in names:
            await buffer.put(table, [[1]])
        await asyncio.sleep(0.1)
        try:
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "answered"), 5) == "answered"
        finally:
            going_on.set()
        buffer.close()
        await running
        assert set(sink.tables) == set(names)

    run(work())


def test_a_fault_at_one_table_does_not_keep_the_others_from_being_stored() -> None:
    """The worker stops because of it, and what waits for the others is stored before."""

    class Faulty(MemorySink):
        def write(self, table: str, names: Sequence[str], columns: Columns) -> None:
            if table == "t":
                raise AttributeError("a fault of ours")
            super().write(table, names, columns)

    async def work() -> None:
        sink = Faulty()
        buffer = new_buffer(sink)
        running = asyncio.create_task(buffer.run())
        await buffer.put("t", [[1], ["x"]])
        try:
            await running
        except AttributeError:
            await buffer.store_now("u", [[7]])
        assert sink.tables["u"] == [{"a": 7}]

    run(work())
