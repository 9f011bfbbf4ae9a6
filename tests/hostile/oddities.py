"""Sends what no pipeline should meet: ``python -m tests.hostile.oddities BROKER``."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.checkpoints import checkpoint_topic
from schemas.evidence import EVIDENCE_TOPIC
from schemas.ticks import TICK_HEADER
from schemas.tiles import TILES_TOPIC
from schemas.values import VALUES_TOPIC

WEB = "touchpoints.web"
INNER = (TILES_TOPIC, EVIDENCE_TOPIC, VALUES_TOPIC, checkpoint_topic(WEB), checkpoint_topic(TILES_TOPIC))
FAR_MS = 7_226_582_400_000  # 2199
GARBAGE = (
    b"{",
    b"\xff",
    b"null",
    b"[]",
    b"{}",
    None,
    b"[" * 5_000,
    b'{"source":"touchpoints.web:0","version":1e400,"watermark":null,"tiles":[]}',
    b'{"source":"somebody","version":1,"watermark":%d,"tiles":[["all",%d,{"events":1}]]}' % (FAR_MS, FAR_MS),
)


class NotUtf8(str):
    """A header's name in Latin 1, which clients in other languages can send."""

    def encode(self, *_: Any, **__: Any) -> bytes:
        return str.encode(self, "latin-1")


def ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


HEADERS: dict[str, list[tuple[str, bytes | None]]] = {
    "another": [("trace", b"abc")],
    "no-value": [(TICK_HEADER, None)],
    "no-time": [(TICK_HEADER, b"tomorrow")],
    "no-utf8": [(TICK_HEADER, b"\xff\xfe")],
    "empty": [(TICK_HEADER, b"")],
    "name": [(NotUtf8("tr\xe4ce"), b"1")],
    "far": [(TICK_HEADER, b"2199-01-01T00:00:00Z")],
    "two-hours": [(TICK_HEADER, ahead(7_200).encode())],
}
TICKS_AHEAD = 2


def event(session: str, number: int = 0, kind: str = "product_added", **more: Any) -> bytes:
    content = {"event_id": f"{session}-{number}", "type": kind, "occurred_at": ahead(-5), "value": 3.0}
    return json.dumps(content | {"channel": "web", "session_id": session} | more).encode()


async def send_oddities(address: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    for name, headers in HEADERS.items():
        for part in range(4):
            await producer.send_and_wait(WEB, value=None, key=name.encode(), partition=part, headers=headers)
        odd_key = b"\xff\xfe\x00"
        await producer.send_and_wait(WEB, value=event("odd", 0, event_id=name), key=odd_key, partition=2)
    for topic in INNER:
        for value in GARBAGE:
            await producer.send_and_wait(topic, value=value, key=b"x", partition=0)
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(send_oddities(sys.argv[1]))
