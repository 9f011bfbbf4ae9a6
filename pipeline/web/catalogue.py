"""What can be asked for: the names that the settings give rise to."""

from dataclasses import dataclass

from pipeline.settings import Settings, funnel_names
from schemas.signals import SATISFACTION_SIGNALS

_BY_AGE = ("nowcast", "completion_ratio")
_OF_FUNNEL = ("abandonment", "value_abandoned", *_BY_AGE)


@dataclass(frozen=True, slots=True)
class Catalogue:
    signals: tuple[str, ...]
    by_age: tuple[str, ...]
    """Those of them that come from life tables."""
    funnels: tuple[str, ...]
    dimensions: tuple[str, ...]
    """Those of the segments in canonical order, joined by ``|``; ``all`` for none."""
    known: dict[str, tuple[str, ...]]
    """By dimension the values that are told apart, where there is a list."""
    currency: str


def catalogue(settings: Settings) -> Catalogue:
    """Of the pipeline with these settings."""
    funnels = funnel_names(settings)
    return Catalogue(
        signals=(*SATISFACTION_SIGNALS, *(f"{funnel}_{kind}" for funnel in funnels for kind in _OF_FUNNEL)),
        by_age=tuple(f"{funnel}_{kind}" for funnel in funnels for kind in _BY_AGE),
        funnels=funnels,
        dimensions=tuple("|".join(sorted(some)) or "all" for some in settings.segments.combinations),
        known=dict(settings.segments.known),
        currency=settings.pipeline.currency,
    )
