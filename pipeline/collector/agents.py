"""What a user agent tells: what kind of device it is, and whether it is a program that looks at pages by itself.

A program that says so is not a customer. Browsers without a screen are left in: a shop's own tests use them, and
those who want to hide do not say so.
"""

import re
from functools import lru_cache
from typing import Final

_BOTS: Final = re.compile(
    r"bot\b|bot[/;_-]|crawler|spider|slurp|facebookexternalhit|embedly|preview|lighthouse|pagespeed|pingdom|"
    r"uptime|monitor|archiver|mediapartners|feedfetcher|validator|curl/|wget/",
    re.IGNORECASE,
)
_TABLET: Final = re.compile(r"ipad|tablet|kindle|silk/|playbook|android(?!.*mobile)", re.IGNORECASE)
_MOBILE: Final = re.compile(r"mobi|iphone|ipod|android|phone", re.IGNORECASE)


@lru_cache(maxsize=4_096)
def is_bot(agent: str) -> bool:
    return _BOTS.search(agent) is not None


@lru_cache(maxsize=4_096)
def device_of(agent: str) -> str | None:
    """``mobile``, ``tablet`` or ``desktop``; None where there is nothing to tell by."""
    if not agent:
        return None
    if _TABLET.search(agent):
        return "tablet"
    return "mobile" if _MOBILE.search(agent) else "desktop" if "Mozilla" in agent else None
