"""What a user agent tells: what kind of device it is, and whether it is a program that looks at pages by itself.

A program that says so is not a customer. Browsers without a screen are left in: a shop's own tests use them, and
those who want to hide do not say so.
"""

import re
from functools import lru_cache
from typing import Final

_BOTS: Final = re.compile(
    r"(?<!cu)bot\b|(?<!cu)bot[/;_-]|crawler|spider|slurp|facebookexternalhit|embedly|preview|lighthouse|pagespeed|pingdom|"
    r"uptime|monitor|archiver|mediapartners|feedfetcher|validator",
    re.IGNORECASE,
)
_TABLET: Final = re.compile(r"ipad|tablet|kindle|silk/|playbook", re.IGNORECASE)
_MOBILE: Final = re.compile(r"mobi|iphone|ipod|android|phone", re.IGNORECASE)


#: Longer ones are nobody's browser: what follows is not looked at, nor kept.
_LONGEST: Final = 512


def is_bot(agent: str) -> bool:
    return _is_bot(agent[:_LONGEST])


def device_of(agent: str) -> str | None:
    """``mobile``, ``tablet`` or ``desktop``; None where there is nothing to tell by."""
    return _device_of(agent[:_LONGEST])


@lru_cache(maxsize=4_096)
def _is_bot(agent: str) -> bool:
    return _BOTS.search(agent) is not None


@lru_cache(maxsize=4_096)
def _device_of(agent: str) -> str | None:
    lower = agent.lower()
    if _TABLET.search(agent) or ("android" in lower and "mobile" not in lower):
        return "tablet"
    return "mobile" if _MOBILE.search(agent) else "desktop" if "Mozilla" in agent else None
