"""A store that is not there, too much at once, and a worker that ends: each is a ReadError, nothing hangs."""

import asyncio

import pytest

from deploy.embedded.process import free_port
from pipeline.web.reads import ClickHouseReads, ReadError, Turns, reads_of
from sinks.address import Address


def test_a_store_that_is_not_there_is_said() -> None:
    found = reads_of(Address("127.0.0.1", free_port()))
    with pytest.raises(ReadError, match="does not answer"):
        asyncio.run(found.rows("SELECT 1", {}))
    found.close()


def test_one_query_more_than_may_wait_is_refused() -> None:
    found = ClickHouseReads(Address("127.0.0.1", free_port()), most_waiting=0)
    with pytest.raises(ReadError, match="too many"):
        asyncio.run(found.rows("SELECT 1", {}))
    found.close()


def test_once_closed_it_is_about_to_end() -> None:
    found = reads_of(Address("127.0.0.1", free_port()))
    found.close()
    with pytest.raises(ReadError, match="about to end"):
        asyncio.run(found.rows("SELECT 1", {}))


def test_nobody_waits_for_all_that_somebody_else_has_asked() -> None:
    async def work() -> list[str]:
        turns, done = Turns(at_once=1, most=100, most_of_one=50), list[str]()

        async def ask(who: str) -> None:
            async with turns.turn(who):
                await asyncio.sleep(0)
                done.append(who)

        greedy = [asyncio.create_task(ask("greedy")) for _ in range(40)]
        await asyncio.sleep(0)
        await ask("other")
        for task in greedy[20:]:
            task.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
        await ask("last")  # every turn was given back
        return done

    done = asyncio.run(asyncio.wait_for(work(), 20))
    assert done.index("other") <= 3
    assert done[-1] == "last"


def test_one_address_may_not_take_all_there_is_to_wait_in() -> None:
    async def work() -> None:
        turns = Turns(at_once=1, most=100, most_of_one=2)
        async with turns.turn("a"):
            waiting = asyncio.create_task(turns.turn("a").__aenter__())
            await asyncio.sleep(0)
            with pytest.raises(ReadError, match="too many"):
                async with turns.turn("a"):
                    pass
            waiting.cancel()

    asyncio.run(asyncio.wait_for(work(), 20))
