"""Each kind of source: how its requests are taken apart, and the table of what they become."""

from typing import Final

from pipeline.collector.families import Family
from pipeline.collector.sources import (
    adobe,
    commerce,
    ga4,
    generic,
    poslog,
    posthog,
    segment,
    shopify,
    snowplow,
    support,
    surveys,
    tag,
)

_ALL: Final = (tag, segment, snowplow, posthog, ga4, adobe, shopify, commerce, poslog, surveys, support, generic)
FAMILIES: Final[dict[str, Family]] = {family.name: family for module in _ALL for family in module.FAMILIES}
