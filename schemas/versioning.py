"""The version of the messages' shape. A change that breaks an older reader raises it."""

from typing import Final, Literal

SchemaVersion = Literal["1.0"]
SCHEMA_VERSION: Final[SchemaVersion] = "1.0"
