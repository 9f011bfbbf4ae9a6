"""The settings as ``naive`` needs them."""

import itertools
from collections.abc import Iterable

from pipeline.settings import Settings
from pipeline.tools.verify.naive_types import FunnelRule, NaiveRules


def naive_rules(settings: Settings, listed: Iterable[tuple[str, str]] = ()) -> NaiveRules:
    """``listed``: of ``cx.values`` the values, in its order."""
    most = settings.segments.most_values
    admitted: dict[str, dict[str, None]] = {}
    for dimension, value in listed:
        admitted.setdefault(dimension, {})[value] = None
    return NaiveRules(
        funnels=[
            FunnelRule(name, f.opens_on, f.completes_on, f.abandons_on, round(f.timeout_s * 1000))
            for name, f in settings.funnels
        ],
        segments=settings.segments.combinations,
        known=settings.segments.known,
        lateness_ms=round(settings.pipeline.lateness_s * 1000),
        currency=settings.pipeline.currency,
        most_later=settings.pipeline.session_events,
        most_values=most,
        admitted={name: frozenset(itertools.islice(values, most)) for name, values in admitted.items()},
        customer_key=settings.privacy.customer_key.get_secret_value().encode(),
    )
