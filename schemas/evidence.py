"""Messages on ``cx.evidence``: what phase two tells detection.

Inner; one partition, so that one worker sees all.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.versioning import SchemaVersion

EVIDENCE_TOPIC: Final = "cx.evidence"
EVIDENCE_TYPE: Final = "cx.evidence"


class EvidenceMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    source: str
    """Partition of ``cx.tiles``, ``topic:partition``."""
    version: Annotated[int, Field(ge=0)]
    """Of the source's state; a step of a lower one is passed over."""
    complete: int | None
    """All touchpoint partitions have passed this time, ms since the epoch; null in all parts but the last."""
    steps: list[tuple[str, int, dict[str, int]]]
    """Segment, start of the step of 30 s in ms, counters; each replaces what was told of it before."""
    hours: list[tuple[str, int, dict[str, int]]]
    """The same of whole hours that no event can change any more."""
    persons: bool = False
    """Whether it is what is counted of persons, which is complete later than all else."""


def evidence_message_id(source: str, version: int, part: int, *, is_of_persons: bool = False) -> str:
    return f"{source}/{version}/{part}{'/persons' if is_of_persons else ''}"
