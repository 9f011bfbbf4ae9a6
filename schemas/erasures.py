"""Messages on ``cx.erasures``: of whom nothing is kept any more. Compacted, for as long as the system lives.

The id itself is not told, only its mark: the first 128 bits of the SHA-256 of the person's name (``c:`` and a
customer's id, ``v:`` and a visitor's), in hexadecimal. Where ids are stored as pseudonyms it is the pseudonym's,
which nobody can try out without the key. Records are keyed by their mark.
"""

import hashlib
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.versioning import SchemaVersion

ERASURES_TOPIC: Final = "cx.erasures"
ERASURE_TYPE: Final = "cx.erasure"
_MARK_DIGITS: Final = 32


class ErasureMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    schema_version: SchemaVersion
    mark: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    erased_at: str
    """RFC 3339: when it was asked for."""


def mark_of(person: str) -> str:
    """Of a person's name, with its prefix."""
    return hashlib.sha256(person.encode(errors="surrogatepass")).hexdigest()[:_MARK_DIGITS]
