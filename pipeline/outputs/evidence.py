"""Evidence: the message that detection reads. Nothing of it is stored as rows."""

from typing import Final

import msgspec

from pipeline.core.windows.evidence_emitter import Told
from pipeline.outputs.outgoing import Outgoing, Output
from schemas.cloudevents import headers
from schemas.evidence import EVIDENCE_TOPIC, EVIDENCE_TYPE, evidence_message_id
from schemas.versioning import SCHEMA_VERSION

_encode: Final = msgspec.json.Encoder().encode
#: Of one message, about. Counters are named after steps, which are input.
_BYTES_PER_MESSAGE: Final = 400_000


def evidence_output(source: str, version: int, told: Told, *, is_of_persons: bool = False) -> Output:
    """Of steps and hours that have become complete or have changed. ``source``: of ``cx.tiles``."""
    parts = _in_parts(told)
    messages = []
    for part, (steps, hours) in enumerate(parts):
        body = {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "version": version,
            # Only when all that belongs before it has been said.
            "complete": told.until_ms if part == len(parts) - 1 else None,
            "steps": steps,
            "hours": hours,
            "persons": is_of_persons,
        }
        event_id = evidence_message_id(source, version, part, is_of_persons=is_of_persons)
        messages.append(Outgoing(body, headers(EVIDENCE_TYPE, event_id), partition=0))
    return Output(EVIDENCE_TOPIC, messages, None, [])


def _in_parts(told: Told) -> list[tuple[list[msgspec.Raw], list[msgspec.Raw]]]:
    """Steps and hours of each message, as JSON; at least one, for how far all is complete."""
    parts: list[tuple[list[msgspec.Raw], list[msgspec.Raw]]] = [([], [])]
    size = 0
    for place, some in enumerate((told.steps, told.hours)):
        for one in some:
            text = _encode(one)
            if size and size + len(text) > _BYTES_PER_MESSAGE:
                parts.append(([], []))
                size = 0
            parts[-1][place].append(msgspec.Raw(text))
            size += len(text)
    return parts
