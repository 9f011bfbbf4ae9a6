"""Event time, in milliseconds since the epoch, and the clocks that callers hand in."""

from collections.abc import Callable
from typing import Final

NEVER_MS: Final = 1 << 60
"""Later than all times. Compiled, integers below 2**62 are no objects."""
WATERMARK_DELAY_MS: Final = 5_000
"""The watermark stays so far behind the latest time reached."""

Clock = Callable[[], float]
"""Seconds, monotonic."""
