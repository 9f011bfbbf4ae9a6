"""The settings as ``naive`` needs them."""

from pipeline.settings import Settings
from pipeline.verification.naive_types import FunnelRule, NaiveRules


def naive_rules(settings: Settings) -> NaiveRules:
    return NaiveRules(
        funnels=[
            FunnelRule(name, f.opens_on, f.completes_on, f.abandons_on, round(f.timeout_s * 1000))
            for name, f in settings.funnels
        ],
        segments=settings.segments.combinations,
        known=settings.segments.known,
        lateness_ms=round(settings.pipeline.lateness_s * 1000),
        currency=settings.pipeline.currency,
        customer_key=settings.privacy.customer_key.get_secret_value().encode(),
    )
