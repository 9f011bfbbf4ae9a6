"""What the stages put out: how it is given to the producer, and when it counts as arrived."""

import asyncio

import msgspec

from pipeline.kafka.memory import MemoryProducer, Produced
from pipeline.outputs.outgoing import Outgoing
from pipeline.stages.outbox import Outbox
from schemas.cloudevents import headers
from sinks.buffer import Limits, SinkBuffer
from sinks.memory import MemorySink
from sinks.tables import COLUMNS

BODY = {"id": "a/1", "value": 2.5}


def test_a_message_goes_out_with_its_key_its_headers_and_where_it_belongs() -> None:
    producer = MemoryProducer()
    outbox = Outbox(producer, SinkBuffer(MemorySink(), COLUMNS, Limits(1, 0.001, 1 << 20)))
    head = headers("cx.journey", "a/1")
    messages = [Outgoing(BODY, head, "key"), Outgoing(BODY, head, partition=3)]
    asyncio.run(outbox.send(outbox.receipt(), "cx.journeys", messages))
    value = msgspec.json.encode(BODY)
    assert producer.produced == [
        Produced("cx.journeys", value, "key", -1, head),
        Produced("cx.journeys", value, None, 3, head),
    ]
    assert dict(head) == {
        "ce_specversion": b"1.0",
        "ce_source": b"/cx-signals",
        "content-type": b"application/json",
        "ce_type": b"cx.journey",
        "ce_id": b"a/1",
    }


def test_a_step_is_done_when_all_its_messages_are_acknowledged() -> None:
    producer = MemoryProducer(delivers=False)
    outbox = Outbox(producer, SinkBuffer(MemorySink(), COLUMNS, Limits(1, 0.001, 1 << 20)))
    first, second = outbox.receipt(), outbox.receipt()
    asyncio.run(outbox.send(first, "cx.journeys", [Outgoing(BODY, [], "key")] * 2))
    outbox.poll()
    assert (first.pending, first.is_done(), second.is_done()) == (2, False, True)
    producer.delivers = True
    outbox.poll()
    assert (first.pending, first.is_done()) == (0, True)


def test_where_the_queue_is_full_messages_wait_and_none_is_lost() -> None:
    async def work() -> tuple[MemoryProducer, int]:
        producer = MemoryProducer(delivers=False, room=2)
        outbox = Outbox(producer, SinkBuffer(MemorySink(), COLUMNS, Limits(1, 0.001, 1 << 20)))
        receipt = outbox.receipt()
        messages = [Outgoing({"id": str(number)}, [], "key") for number in range(5)]
        sending = asyncio.create_task(outbox.send(receipt, "cx.journeys", messages))
        await asyncio.sleep(0.03)
        assert (len(producer.produced), receipt.pending) == (2, 2)
        producer.delivers = True
        await asyncio.wait_for(sending, 5)
        outbox.poll()
        return producer, receipt.pending

    producer, pending = asyncio.run(work())
    assert [msgspec.json.decode(one.value or b"") for one in producer.produced] == [
        {"id": str(n)} for n in range(5)
    ]
    assert pending == 0
