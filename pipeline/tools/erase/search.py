"""An id searched, byte by byte, in all that the system keeps: records of its topics, columns of its tables.

Records are searched as they were written, and once more where they are packed: checkpoints, and the payloads of
dead letters. What ages out of a topic is told with the time by which it has.
"""

import base64
import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined] # not in its stubs

from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.kafka.records import readable_headers
from pipeline.kafka.topics import topic_specs
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings
from schemas.deadletters import DEADLETTERS_TOPIC

_CONFIG_S: Final = 10.0
_MINUTE_MS: Final = 60_000
#: Brokers look every five minutes what is old, and delete files a minute later.
_LOOKING_MS: Final = 6 * _MINUTE_MS
#: So long checkpoints that no longer count are kept (``durability.checkpointer``), or until the next one.
_FREEING_MS: Final = 30 * _MINUTE_MS
_NEVER_MS: Final = 10 * 365 * 86_400_000
_LONGEST: Final = 2_000
"""Bytes of an id, at most."""
_BEGINS_ZLIB: Final = b"\x78"

Needles = Sequence[bytes]
Advance = Callable[[int], None]


class Held(NamedTuple):
    """A place that holds one of the ids."""

    place: str
    times: int
    gone_by_ms: int | None
    """When it will have aged out, wall clock; None: it does not."""


class _Payload(msgspec.Struct):
    payload: str


def in_topics(settings: KafkaSettings, admin: AdminClient, needles: Needles, advance: Advance) -> Iterator[Held]:
    """Raises KafkaException, LogError."""
    names = sorted({spec.name for spec in topic_specs(settings)})
    for name in names:
        sources = partitions_of(settings, [name])
        count = newest_ms = 0
        before: dict[Source, bytes] = {}
        for source, messages in read_to_end(settings, sources):
            advance(len(messages))
            for message in messages:
                texts, value = list(_texts(message)), message.value() or b""
                if any(needle in text for text in texts for needle in needles) or any(
                    needle in before.get(source, b"")[1 - len(needle) :] + value[: len(needle) - 1]
                    for needle in needles
                    if len(needle) > 1
                ):
                    count += 1
                    newest_ms = max(newest_ms, message.timestamp()[1])
                before[source] = value[-_LONGEST:]  # what is cut into parts may be cut within an id
        if count:
            yield Held(f"topic {name}", count, gone_by_ms(configs(admin, [name])[name], newest_ms))


def _texts(message: Message) -> Iterator[bytes]:
    """All that is in a record."""
    value = message.value() or b""
    yield value
    yield message.key() or b""
    for name, header in readable_headers(message):
        yield name.encode()
        yield header or b""
    if value[:1] == _BEGINS_ZLIB:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(value)
    if message.topic() == DEADLETTERS_TOPIC:
        with contextlib.suppress(ValueError):  # msgspec's and Base64's
            yield base64.b64decode(msgspec.json.decode(value, type=_Payload).payload)


def configs(admin: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Of topics that exist. Raises KafkaException."""
    wanted = {ConfigResource(ConfigResource.Type.TOPIC, name): name for name in names}
    found = admin.describe_configs(list(wanted), request_timeout=_CONFIG_S)
    return {
        wanted[resource]: {name: entry.value for name, entry in future.result().items()}
        for resource, future in found.items()
    }


def gone_by_ms(config: Mapping[str, str], newest_ms: int) -> int | None:
    """By when what was appended then, or before, will have gone from a topic; None where it stays.

    Whole segments are dropped, by their newest record; a compacted topic is compacted after its lag at the latest.
    """
    if config.get("cleanup.policy") == "compact":
        lag_ms = int(config.get("max.compaction.lag.ms", _NEVER_MS))
        whole_ms = _FREEING_MS + lag_ms + int(config.get("delete.retention.ms", 0))
    else:
        whole_ms = int(config.get("retention.ms", -1))
        if whole_ms < 0:
            return None
        whole_ms += int(config.get("segment.ms", 0)) + _LOOKING_MS
    return None if whole_ms >= _NEVER_MS else newest_ms + whole_ms


def in_tables(client: Any, needles: Needles) -> Iterator[Held]:
    """Every column of every table of ``cx``, and what the server keeps of queries."""
    columns = client.execute(
        "SELECT c.database, c.table, c.name, c.type LIKE 'Array%%' "
        "FROM system.columns AS c JOIN system.tables AS t "
        "ON c.database = t.database AND c.table = t.name "
        "WHERE t.engine LIKE '%%MergeTree' AND (c.database = 'cx' OR (c.database = 'system' "
        "AND c.table = 'query_log' AND c.name = 'query')) AND c.type LIKE '%%String%%' ORDER BY 1, 2, 3",
        {},
    )
    commands = [("system", "mutations", "command", False)]
    for database, table, column, is_array in [*columns, *commands]:
        # As text an array has its quotes escaped.
        text = f"arrayStringConcat(`{column}`, '\n')" if is_array else f"toString(`{column}`)"
        count = client.execute(
            f"SELECT count() FROM {database}.{table} WHERE multiSearchAny({text}, %(needles)s)",
            {"needles": [needle.decode(errors="surrogateescape") for needle in needles]},
            settings={"log_queries": 0},
        )[0][0]
        if count:
            yield Held(f"table {database}.{table}, column {column}", count, None)
