"""Segments in their canonical text: ``all``, ``channel=web``, ``channel=web|device=mobile``."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

#: The dimensions that an event can carry.
DIMENSIONS: Final = ("channel", "store_id", "region", "device", "campaign")


def parse_segment(text: str, dimensions: Sequence[str] = DIMENSIONS) -> dict[str, str]:
    """Dimensions and their values; none of ``all``. Raises ValueError where it is no segment's text.

    ``dimensions``: those that the shop has.
    """
    if text == "all":
        return {}
    found: dict[str, str] = {}
    for part in text.split("|"):
        name, equals, value = part.partition("=")
        if name not in dimensions or name in found or not equals or not value or "=" in value:
            raise ValueError(
                f"{text!r} is no segment: write all, channel=web or channel=web|device=mobile; "
                f"the dimensions are {', '.join(sorted(dimensions))}, and %, | and = in values are percent-encoded"
            )
        found[name] = unquote(value)
    return found
