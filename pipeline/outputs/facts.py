"""Facts: the messages that persons are made of. Nothing of them is stored as rows."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec

from pipeline.model.facts import step_of
from pipeline.outputs.outgoing import Outgoing, Output
from schemas.cloudevents import headers
from schemas.facts import (
    FACTS_TOPIC,
    FACTS_TYPE,
    VISITS_TOPIC,
    VISITS_TYPE,
    Observation,
    Statement,
    facts_message_id,
)
from schemas.versioning import SCHEMA_VERSION

_encode: Final = msgspec.json.Encoder().encode
#: Of one message, about. Ids are input: it is counted in bytes.
_BYTES_PER_MESSAGE: Final = 400_000
_TYPES: Final = {FACTS_TOPIC: FACTS_TYPE, VISITS_TOPIC: VISITS_TYPE}

Told = dict[int, int | None]
"""By partition, which step the watermark last sent to it was in."""
_Part = tuple[list[msgspec.Raw], list[msgspec.Raw]]
"""Statements and observations of one message, as JSON."""


class FactsRouter:
    """Spreads facts over the partitions of ``cx.facts`` by their person, or of ``cx.visits`` by the visitor."""

    def __init__(self, topic: str, partitions: int) -> None:
        self._topic: Final = topic
        self._partitions: Final = partitions

    def output(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        told: Told,
        statements: Sequence[Statement],
        observations: Sequence[Observation] = (),
        *,
        is_sure: bool = True,
    ) -> Output:
        """Of what a batch has told, and of how far its source has come. ``told`` is brought up to date.

        ``is_sure``: False for a source that does not know how far it is: it is not to be taken for empty, and what
        it says now may be corrected.
        """
        step = None if watermark_ms is None or not is_sure else step_of(watermark_ms)
        messages: list[Outgoing] = []
        for partition, parts in self._split(statements, observations).items():
            if not any(parts[0]) and (told.get(partition) == step if step is not None else not is_sure):
                continue
            told[partition] = step
            for part, content in enumerate(parts):
                more = part < len(parts) - 1 or not is_sure
                body = self._body(source, version, None if more else watermark_ms, more, content)
                event_id = facts_message_id(source, version, partition, part)
                messages.append(Outgoing(body, headers(_TYPES[self._topic], event_id), None, partition))
        return Output(self._topic, messages, None, [])

    def _body(
        self, source: str, version: int, watermark_ms: int | None, more: bool, content: _Part
    ) -> dict[str, Any]:
        body = {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "version": version,
            "watermark": watermark_ms,  # time has passed when all is said
            "more": more,
            "statements": content[0],
        }
        return body if self._topic == FACTS_TOPIC else body | {"observations": content[1]}

    def _split(
        self, statements: Sequence[Statement], observations: Sequence[Observation]
    ) -> dict[int, list[_Part]]:
        """By partition what each message has; at least one, for the watermark may be to be told."""
        messages: dict[int, list[_Part]] = {partition: [([], [])] for partition in range(self._partitions)}
        sizes = [0] * self._partitions
        for place, who, text in _texts(statements, observations):
            partition = crc32(who.encode(errors="surrogatepass")) % self._partitions
            parts = messages[partition]
            if sizes[partition] and sizes[partition] + len(text) > _BYTES_PER_MESSAGE:
                parts.append(([], []))
                sizes[partition] = 0
            parts[-1][place].append(msgspec.Raw(text))
            sizes[partition] += len(text)
        return messages


def _texts(
    statements: Sequence[Statement], observations: Sequence[Observation]
) -> Iterator[tuple[int, str, bytes]]:
    """Which list of a message it is in, whose it is, and its JSON."""
    for statement in statements:
        yield 0, statement.who, _encode(statement)
    for one in observations:
        yield 1, one.visitor_id, _encode(one)
