"""The version of the messages' shape. A change that breaks an older reader raises it."""

from typing import Final, Literal

SchemaVersion = Literal["1.0", "2.0"]
"""Those that are read. What is written is the last: 2.0 adds journeys that are ``emptied``."""
SCHEMA_VERSION: Final[SchemaVersion] = "2.0"

OFFSET_BITS: Final = 44
"""Of a row's version the lower bits, which tell how far its log was read; above them is the generation.

With generations below 512 all versions stay below 2**53, which every reader of JSON holds exactly.
"""
MOST_GENERATIONS: Final = 1 << (53 - OFFSET_BITS)
LARGEST_VERSION: Final = (1 << 53) - 1
