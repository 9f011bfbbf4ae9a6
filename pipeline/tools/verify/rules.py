"""The settings as ``naive`` needs them."""

import itertools
from collections.abc import Iterable

from pipeline.settings import OnSettings, Settings, vocabulary
from pipeline.settings.moment_rules import load_moment_rules
from pipeline.tools.verify.naive_types import EventRule, FunnelRule, MomentRule, NaiveRules, Wanted


def _events(events: Iterable[OnSettings]) -> list[EventRule]:
    return [EventRule(on.type, on.step, on.channel) for on in events]


def naive_rules(
    settings: Settings, listed: Iterable[tuple[str, str]] = (), erased: frozenset[str] = frozenset()
) -> NaiveRules:
    """``listed``: of ``cx.values`` the values, in its order. ``erased``: the marks of who is."""
    most = settings.segments.most_values
    admitted: dict[str, dict[str, None]] = {}
    for dimension, value in listed:
        admitted.setdefault(dimension, {})[value] = None
    return NaiveRules(
        funnels=[
            FunnelRule(
                name,
                opens=_events(f.opens_on),
                completes=_events(f.completes_on),
                abandons=_events(f.abandons_on),
                timeout_ms=round(f.timeout_s * 1000),
                fills=_events(f.lines[0]),
                empties=_events(f.lines[1]),
            )
            for name, f in settings.funnels.followed().items()
        ],
        segments=settings.segments.combinations,
        known=settings.segments.known,
        lateness_ms={
            channel: round(settings.pipeline.own_lateness_s.get(channel, settings.pipeline.lateness_s) * 1000)
            for channel in ("web", "app", "pos")
        },
        currency=settings.pipeline.currency,
        words=vocabulary(settings),
        most_later=settings.pipeline.session_events,
        most_values=most,
        admitted={name: frozenset(itertools.islice(values, most)) for name, values in admitted.items()},
        customer_key=settings.privacy.customer_key.get_secret_value().encode(),
        moments=_moments(settings),
        erased=erased,
    )


def _moments(settings: Settings) -> list[MomentRule]:
    found = []
    names = tuple(settings.funnels.followed())
    for rule in load_moment_rules(settings.moments.rules, names, vocabulary(settings)):
        wanted = [
            Wanted(
                types=one.types,
                funnel=one.journey,
                outcome=one.outcome,
                step=one.step,
                channel=one.channel,
                survey=one.survey,
                scores=(one.least_score, one.most_score),
                value=one.least_value,
                least=one.count,
            )
            for one in rule.conditions
        ]
        rest = rule.within_ms, rule.unless, rule.cooldown_ms, rule.is_of_session
        found.append(MomentRule(rule.name, wanted, *rest))
    return found
