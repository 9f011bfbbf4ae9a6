"""Messages on ``cx.tiles``: what one touchpoint partition changed with one batch, or one partition of ``cx.facts``
with a step of time.

Every batch of touchpoints sends at least one message to each partition of ``cx.tiles``, so that all of phase two
hears the source's watermark. All tiles of a segment that a batch changed are in one partition, in parts of
bounded size.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.versioning import SchemaVersion

TILES_TOPIC: Final = "cx.tiles"
TILES_TYPE: Final = "cx.tiles"


class TilesMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    source: str
    """``topic:partition``, of touchpoints or of ``cx.facts``."""
    version: Annotated[int, Field(ge=0)]
    """Generation x 2**44 + the source's next offset."""
    watermark: int | None
    """The source's watermark, ms since the epoch; null before its first event, and in all parts but the last."""
    tiles: list[tuple[str, int, dict[str, int]]]
    """Segment, start of the bucket in ms, counters; each replaces an older version."""
    more: bool = False
    """Whether further parts of the same batch follow in this partition: no row is made before they have come."""
    appended: int | None = None
    """When the oldest of the batch's touchpoints was appended, ms since the epoch; None: there are none."""


def tiles_message_id(source: str, version: int, partition: int, part: int) -> str:
    return f"{source}/{version}/{partition}/{part}"
