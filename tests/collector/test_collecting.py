"""A request to its answer: what is in Kafka when it is 2xx, and what senders are told."""

import asyncio
import shutil
from pathlib import Path

import pytest

from pipeline.collector.identity import Seen
from pipeline.kafka.memory import MemoryProducer
from tests.collector.serving import KEY, run, running, sale, track


def test_what_is_answered_well_is_in_kafka(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            status, body, headers = await one.post("/web/v1/t", track("Product Added", price=2, quantity=3), **KEY)
            assert (status, body) == (200, b'{"success":true}')
            assert headers["Access-Control-Allow-Origin"] == "https://shop.example"
            (event,) = one.events()
            assert (event.type, event.amount, event.visitor_id) == ("product_added", 60_000, "a")
            assert one.outcomes() == {"mapped": 1.0}

    run(scenario())


def test_a_copy_is_sent_once_and_answered_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            for _ in range(3):
                status, _, _ = await one.post("/web/v1/t", track("Product Added"), **KEY)
                assert status == 200
            assert len(one.events()) == 1
            assert one.outcomes() == {"mapped": 1.0, "copy": 2.0}

    run(scenario())


def test_an_order_is_told_once_whichever_source_tells_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            await one.post("/web/v1/t", track("Order Completed", 1, order_id="o1", total=9), **KEY)
            await one.post("/web/v1/t", track("Order Completed", 2, order_id="o1", total=9), **KEY)
            await one.post("/web/v1/t", track("Order Completed", 3, order_id="o2", total=9), **KEY)
            assert [event.order_id for event in one.events()] == ["o1", "o2"]
            assert one.outcomes()["order_again"] == 1.0

    run(scenario())


def test_a_fault_while_deliveries_are_asked_for_leaves_nobody_without_an_answer(tmp_path: Path) -> None:
    class Faulty(MemoryProducer):
        faults = 0

        def poll(self, timeout: float) -> int:
            if self.faults < 3:
                self.faults += 1
                raise RuntimeError("of a callback")
            self.delivers = True
            return super().poll(timeout)

    async def scenario() -> None:
        producer = Faulty(delivers=False)
        async with running(tmp_path, producer, wait_s=20) as one:
            assert (await one.post("/web/v1/t", track("Product Added"), **KEY))[0] == 200
        assert producer.faults == 3

    run(scenario())


def test_copies_under_way_wait_for_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        producer = MemoryProducer(delivers=False)
        async with running(tmp_path, producer, wait_s=20) as one:
            body = track("Product Added")
            posting = [asyncio.ensure_future(one.post("/web/v1/t", body, **KEY)) for _ in range(5)]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in posting)
            producer.delivers = True
            assert [status for status, _, _ in await asyncio.gather(*posting)] == [200] * 5
            assert len(one.events()) == 1

    run(scenario())


def test_what_kafka_does_not_take_in_time_is_to_come_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        producer = MemoryProducer(delivers=False)
        async with running(tmp_path, producer, wait_s=0.2) as one:
            body = track("Product Added")
            status, _, headers = await one.post("/web/v1/t", body, **KEY)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert headers["Access-Control-Allow-Origin"] == "https://shop.example"  # on errors too
            status, _, _ = await one.post("/web/v1/t", body, **KEY)
            assert status == 503  # it is under way still, and not sent a second time
            producer.delivers = True
            for _ in range(20):
                status, _, _ = await one.post("/web/v1/t", body, **KEY)
                if status == 200:
                    break
            assert status == 200
            assert len(one.events()) == 1

    run(scenario())


def test_a_full_queue_is_to_come_again_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        producer = MemoryProducer(delivers=False, room=1)
        async with running(tmp_path, producer, wait_s=0.2) as one:
            batch = {"batch": [track("Product Added", number) for number in range(3)], "writeKey": "WK"}
            assert (await one.post("/web/v1/batch", batch))[0] == 503
            producer.delivers, producer.room = True, 100
            for _ in range(20):
                if (await one.post("/web/v1/batch", batch))[0] == 200:
                    break
            assert {event.event_id for event in one.events()} == {"m0", "m1", "m2"}

    run(scenario())


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "seen"
    seen = Seen(folder=folder)

    async def scenario() -> None:
        async with running(tmp_path, seen=seen) as one:
            shutil.rmtree(folder)
            for _ in range(2):
                assert (await one.post("/web/v1/t", track("Product Added"), **KEY))[0] == 200
            assert one.producing.waiting == 0
            assert len(one.events()) == 1

    run(scenario())
    assert "copies cannot be remembered on disk" in caplog.text
    seen.close()


def test_orders_of_two_shops_are_two(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as one:
            for path in ("/a", "/b"):
                assert (await one.post(path, sale(1, order="1001")))[0] == 200
            assert len(one.events()) == 2

    run(scenario())
