"""What of the settings decides the content of states and outputs."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from pipeline.model.dimensions import Values
from pipeline.model.funnels import Funnel, Funnels, Occasions, On
from pipeline.model.holdout import Holdout
from pipeline.model.moments import MomentRule
from pipeline.model.privacy import pseudonym
from pipeline.model.rules import Rules
from pipeline.model.segments import Segmenter
from pipeline.settings.moment_rules import load_moment_rules
from pipeline.settings.root import Settings
from pipeline.settings.shop import OnSettings
from schemas.vocabulary import CONTRACT, Vocabulary

_STATE_LAYOUT: Final = 15
"""Rises when checkpoints hold something else than before: older ones do not fit."""


def rules_digest(settings: Settings) -> str:
    """Of what decides the content of a state: one made under other rules does not fit."""
    decisive = [
        _STATE_LAYOUT,
        {
            name: {
                "opens_on": _written(funnel.opens_on),
                "completes_on": _written(funnel.completes_on),
                "abandons_on": _written(funnel.abandons_on),
                "timeout_s": funnel.timeout_s,
                "lines": [_written(events) for events in funnel.lines],
            }
            for name, funnel in settings.funnels.followed().items()
        },
        settings.segments.model_dump(exclude={"attributes"}),
        settings.pipeline.lateness_s,
        settings.pipeline.currency,
        settings.pipeline.session_events,
    ]
    if settings.pipeline.own_lateness_s:
        decisive.append(settings.pipeline.own_lateness_s)
    if vocabulary(settings) != CONTRACT:
        decisive.append([settings.events.types, settings.segments.attributes])
    if moments := load_moment_rules(settings.moments.rules, funnel_names(settings), vocabulary(settings)):
        decisive.append([_decisive(rule) for rule in moments])
    text = json.dumps(decisive, sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decisive(rule: MomentRule) -> dict[str, Any]:
    """Of a rule what decides whether it fires."""
    found = dataclasses.asdict(dataclasses.replace(rule, says=""))
    del found["holdout"], found["holdout_since_ms"], found["needed"], found["least"]
    return found


def _written(events: Sequence[OnSettings]) -> list[Any]:
    return [on.type if on.step is None and on.channel is None else [on.type, on.step, on.channel] for on in events]


def customers_digest(settings: Settings) -> str:
    """The same of what only decides how customers appear: in the states of sessions, nowhere else."""
    key = settings.privacy.customer_key.get_secret_value()
    return f"-{pseudonym(key.encode(), 'which key')[:8]}" if key else ""


def funnel_names(settings: Settings) -> tuple[str, ...]:
    return tuple(settings.funnels.followed())


def moment_names(settings: Settings) -> tuple[str, ...]:
    """Of the rules of moments. Raises MomentRulesError."""
    found = load_moment_rules(settings.moments.rules, funnel_names(settings), vocabulary(settings))
    return tuple(rule.name for rule in found)


def vocabulary(settings: Settings) -> Vocabulary:
    """The words of the shop's events."""
    found = Vocabulary(settings.events.types, settings.segments.attributes)
    return CONTRACT if found == CONTRACT else found


def _occasions(events: Sequence[OnSettings]) -> Occasions:
    return Occasions([On(on.type, on.step, on.channel) for on in events])


def holdout(settings: Settings) -> Holdout:
    """Who is held out of which rule."""
    found = load_moment_rules(settings.moments.rules, funnel_names(settings), vocabulary(settings))
    return Holdout(found, settings.moments.holdout_key.get_secret_value().encode())


def rules(settings: Settings) -> Rules:
    """The part of the settings that decides what is computed."""
    funnels = Funnels(
        Funnel(
            name,
            _occasions(f.opens_on),
            _occasions(f.completes_on),
            _occasions(f.abandons_on),
            round(f.timeout_s * 1000),
            *(_occasions(events) for events in f.lines),
        )
        for name, f in settings.funnels.followed().items()
    )
    words = vocabulary(settings)
    pipeline, segments = settings.pipeline, settings.segments
    return Rules(
        funnels=funnels,
        segmenter=Segmenter(segments.combinations, Values(segments.most_values, segments.known), words),
        lateness_ms=round(pipeline.lateness_s * 1000),
        own_lateness_ms={channel: round(own * 1000) for channel, own in pipeline.own_lateness_s.items()},
        currency=pipeline.currency,
        generation=pipeline.generation,
        vocabulary=words,
        most_later=pipeline.session_events,
        moments=load_moment_rules(settings.moments.rules, funnel_names(settings), words),
        customer_key=settings.privacy.customer_key.get_secret_value().encode(),
    )
