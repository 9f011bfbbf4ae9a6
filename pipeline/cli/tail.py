"""``tail``: a topic's messages on the terminal."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.cli.common import kafka_admin
from pipeline.cli.table import table_lines
from pipeline.kafka.clients import consumer_config
from pipeline.kafka.logs import partitions_of
from pipeline.settings import Settings, load
from schemas.plain import json_shown


class Form(StrEnum):
    JSON = "json"
    TABLE = "table"


def register(app: typer.Typer) -> None:
    app.command()(tail)


def tail(
    topic: Annotated[str, typer.Argument(help="Such as cx.signals.abandonment.")],
    segment: Annotated[str, typer.Option(help="Only this segment.")] = "",
    signal: Annotated[str, typer.Option(help="Only this signal.")] = "",
    window: Annotated[str, typer.Option(help="Only this window: 1m, 5m, 15m or 1h.")] = "",
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest.")] = False,
    follow: Annotated[bool, typer.Option(help="Go on as messages come.")] = True,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many messages; 0: never.")] = 0,
    form: Annotated[
        Form, typer.Option("--format", help="JSON lines with key, partition and offset; or a table.")
    ] = Form.JSON,
) -> None:
    """Print a topic's messages as JSON lines or as a table, as they come."""
    settings = load()
    kafka_admin(settings)
    sources = partitions_of(settings.kafka, [topic])
    if not sources:
        raise typer.BadParameter(f"there is no topic {topic}; 'cx-signals topics' lists them")
    wanted = {"segment": segment, "signal": signal, "window": window}
    wanted = {name: value for name, value in wanted.items() if value}
    shown = 0
    for message in _messages(settings, sources, from_beginning, follow):
        row = describe(message)
        value = row["value"]
        if wanted and not (isinstance(value, dict) and wanted.items() <= value.items()):
            continue
        if form is Form.JSON:
            print(json_shown(row), flush=True)
        else:
            lines = table_lines(value, with_head=shown == 0)
            print("\n".join(lines), flush=True)
        shown += 1
        if limit and shown >= limit:
            return


def describe(message: Message) -> dict[str, Any]:
    """A message as it is shown: JSON values decoded, others as text."""
    raw = message.value()
    try:
        value = None if raw is None else json.loads(raw)
    except (ValueError, RecursionError):
        value = (raw or b"").decode(errors="replace")
    key = message.key()
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": key.decode(errors="replace") if isinstance(key, bytes) else key,
        "value": value,
    }


def _messages(
    settings: Settings, sources: list[tuple[str, int]], from_beginning: bool, follow: bool
) -> Iterator[Message]:
    consumer = Consumer(consumer_config(settings.kafka, f"{settings.kafka.group}-tail"))
    waiting = set(sources)
    try:
        starts = [_start(consumer, source, from_beginning) for source in sources]
        consumer.assign(starts)
        while follow or waiting:
            for message in consumer.consume(500, timeout=0.2):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        waiting.discard((message.topic() or "", message.partition() or 0))
                    elif error.fatal():
                        raise KafkaException(error)
                else:
                    yield message
    finally:
        consumer.close()


def _start(consumer: Consumer, source: tuple[str, int], from_beginning: bool) -> TopicPartition:
    low, high = consumer.get_watermark_offsets(TopicPartition(*source), timeout=10)
    return TopicPartition(*source, low if from_beginning else max(low, high))
