"""What can be asked for: the names that the settings give rise to."""

from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.core.detection.watch import Rule
from pipeline.model.moments import MomentRule
from pipeline.model.signals import Signal, signals_of
from pipeline.settings import Settings, funnel_names, vocabulary
from pipeline.settings.alert_rules import load_rules
from pipeline.settings.moment_rules import load_moment_rules
from pipeline.settings.places import Place, load_places
from pipeline.settings.shop import OnSettings

_AT_TILLS: Final = ("queue_joined", "basket_opened")
"""These event types come from stores, whatever the channel."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    described: tuple[Signal, ...]
    funnels: tuple[str, ...]
    dimensions: tuple[str, ...]
    """Those of the segments in canonical order, joined by ``|``; ``all`` for none."""
    known_dimensions: tuple[str, ...]
    """Each that an event can have."""
    known: dict[str, tuple[str, ...]]
    """By dimension the values that are told apart, where there is a list."""
    currency: str
    timeouts_s: dict[str, float]
    """By funnel, after how long without an event a journey counts as abandoned."""
    till_funnels: tuple[str, ...] = ()
    """Funnels that nothing but what happens in stores opens."""
    moments: tuple[MomentRule, ...] = ()
    """Rules about single persons."""
    places: dict[str, Place] = field(default_factory=dict)
    """Where stores are, as far as it is known."""
    rules: tuple[Rule, ...] = ()
    """What alerts come from."""

    @property
    def signals(self) -> tuple[str, ...]:
        return tuple(signal.name for signal in self.described)

    @property
    def by_age(self) -> tuple[str, ...]:
        """Those of the signals that come from life tables."""
        return tuple(signal.name for signal in self.described if signal.is_by_age)

    def for_console(self) -> dict[str, dict[str, Any]]:
        """By name of a signal, what the page has to know of it."""
        return {
            signal.name: {
                "kind": signal.kind,
                "funnel": signal.funnel,
                "unit": signal.unit,
                "better": "high" if signal.higher_is_better else "low",
                "by_age": signal.is_by_age,
            }
            for signal in self.described
        }

    def rules_for_console(self) -> dict[str, dict[str, Any]]:
        """By name of a rule, what it asks."""
        return {
            rule.name: {
                "change": rule.change,
                "least": rule.least,
                "windows_s": [window // 1_000 for window in rule.windows_ms],
                "for_s": rule.for_ms // 1_000,
                "false_rate": rule.false_rate,
            }
            for rule in self.rules
        }


def _is_at_till(opening: OnSettings) -> bool:
    return opening.channel == "pos" or opening.type in _AT_TILLS


def catalogue(settings: Settings) -> Catalogue:
    """Of the pipeline with these settings."""
    funnels = funnel_names(settings)
    moments = load_moment_rules(settings.moments.rules, funnels, vocabulary(settings))
    about_persons = tuple(rule.name for rule in moments)
    return Catalogue(
        described=signals_of(funnels, about_persons),
        funnels=funnels,
        dimensions=tuple("|".join(sorted(some)) or "all" for some in settings.segments.combinations),
        known_dimensions=vocabulary(settings).dimensions,
        known=dict(settings.segments.known),
        currency=settings.pipeline.currency,
        moments=moments,
        places=load_places(settings.web.stores),
        till_funnels=tuple(
            name for name, funnel in settings.funnels.followed().items() if all(map(_is_at_till, funnel.opens_on))
        ),
        rules=load_rules(settings.alerts.rules, funnels, about_persons),
        timeouts_s={name: funnel.timeout_s for name, funnel in settings.funnels.followed().items()},
    )
