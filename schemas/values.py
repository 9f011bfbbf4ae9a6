"""Messages on ``cx.values``: which values of the dimensions, and which steps, are told apart. Inner.

Workers append what they see first. The first so many of each dimension count, in the order of the log, for every
worker and for ``verify``; the topic is neither compacted nor cut, for that order must stay. It is short: once a
dimension is full nobody appends to it.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.versioning import SchemaVersion

VALUES_TOPIC: Final = "cx.values"
VALUES_TYPE: Final = "cx.value"


class ValueMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    dimension: Annotated[str, Field(min_length=1, max_length=64)]
    """A dimension, or ``step``."""
    value: Annotated[str, Field(min_length=1, max_length=64)]
