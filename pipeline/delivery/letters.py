"""What a receiver did not take: dead letters, on their topic and in their table, and sending them again."""

import asyncio
import logging
import time
from base64 import b64decode
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException, Producer

from pipeline.delivery.hooks import Hook
from pipeline.delivery.posting import Delivery
from pipeline.model.records import DeadLetter
from pipeline.outputs.letters import letter_message, letter_row
from pipeline.outputs.outgoing import Outgoing, columns_of
from schemas.deadletters import DEADLETTERS_TOPIC, HOOK_TOPIC_PREFIX, place_of
from schemas.reasons import Reason, Refusal
from sinks.base import Columns, Sink, SinkError, SinkRejectedError, SinkUnavailableError
from sinks.tables import COLUMNS, DEAD_LETTERS

logger = logging.getLogger(__name__)
_PAUSE_S: Final = 2.0
_ACKNOWLEDGED_S: Final = 60.0


class Letters:
    """Keeps what could not be delivered."""

    def __init__(self, producer: Producer, sink: Sink) -> None:
        self._producer = producer
        self._sink = sink
        self._turn = asyncio.Lock()
        """One connection, one insert at a time."""

    async def keep(self, hook: Hook, body: bytes, error: str) -> None:
        """Return when the dead letter is delivered and stored. The same message always has the same place.

        Raises KafkaException where the broker does not take it.
        """
        letter = DeadLetter.of(
            place_of(body), round(time.time() * 1000), Refusal(Reason.UNDELIVERABLE, error), body
        )
        source = (f"{HOOK_TOPIC_PREFIX}{hook.name}", 0)
        logger.error("webhook %s: given up, the message goes to %s: %s", hook.name, DEADLETTERS_TOPIC, error)
        await asyncio.to_thread(self._publish, letter_message(source, letter))
        await self._store(columns_of([letter_row(source, letter)]))

    async def _store(self, columns: Columns) -> None:
        while True:
            try:
                async with self._turn:  # not while it waits: others' receivers may be heard by now
                    await asyncio.to_thread(self._sink.write, DEAD_LETTERS, COLUMNS[DEAD_LETTERS], columns)
                return
            except SinkUnavailableError as unavailable:
                logger.warning("%s; trying again", unavailable)
                await asyncio.sleep(_PAUSE_S)
            except SinkRejectedError as rejected:
                logger.error("%s; it is on %s only", rejected, DEADLETTERS_TOPIC)
                return

    def _publish(self, message: Outgoing) -> None:
        refused: list[Any] = []
        self._producer.produce(
            DEADLETTERS_TOPIC,
            value=msgspec.json.encode(message.body),
            key=message.key,
            headers=[*message.headers],
            on_delivery=lambda error, _: refused.append(error) if error is not None else None,
        )
        left = self._producer.flush(_ACKNOWLEDGED_S)
        if left or refused:
            raise KafkaException(refused[0] if refused else f"{DEADLETTERS_TOPIC} does not acknowledge")


_WAITING: Final = """SELECT partition, offset, sha256, base64Encode(payload) FROM cx.dead_letters FINAL
WHERE topic = %(topic)s AND size = length(payload)
  AND (topic, partition, offset) NOT IN (SELECT topic, partition, offset FROM cx.dead_letter_replays)
ORDER BY received_at"""


async def send_again(delivery: Delivery, client: Any) -> tuple[int, int]:
    """Deliver the dead letters of a receiver, the oldest first; gives how many it took and how many are left.

    Ends where it does not answer; what it refuses for good is left, and the next one tried. ``client``: of
    ClickHouse.
    """
    topic = f"{HOOK_TOPIC_PREFIX}{delivery.hook.name}"
    rows, done = client.execute(_WAITING, {"topic": topic}), 0
    for partition, offset, sha256, payload in rows:
        body = b64decode(payload)
        try:
            await delivery.deliver(message_id(body), body)
        except (SinkRejectedError, msgspec.DecodeError) as error:
            logger.error("webhook %s: %s", delivery.hook.name, error)
            continue
        except SinkError as error:
            logger.error("webhook %s: %s", delivery.hook.name, error)
            break
        done += 1
        client.execute(
            "INSERT INTO cx.dead_letter_replays (topic, partition, offset, sha256, sent_to) VALUES",
            [(topic, partition, offset, sha256, topic)],
        )
    return done, len(rows) - done


class _Identified(msgspec.Struct):
    id: str


def message_id(body: bytes) -> str:
    """The id of a message of ours. Raises msgspec.DecodeError."""
    return msgspec.json.decode(body, type=_Identified).id
